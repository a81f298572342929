"""The kinds of components, by what stands before the size in `--shells`."""

from hvae.latent.component import ComponentFamily
from hvae.latent.euclidean import Euclidean
from hvae.latent.scaled_sphere import ScaledSpheres
from hvae.latent.sphere import Spheres
from hvae.registry import Registry

# In the order of the network's raw output.
KINDS: Registry[ComponentFamily] = Registry(
    "hvae.components", ComponentFamily, {"": Spheres, "s": ScaledSpheres, "e": Euclidean}
)
