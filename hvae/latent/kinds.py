"""The kinds of components, by what stands before the size in `--shells`."""

from hvae.latent.component import ComponentFamily
from hvae.latent.euclidean import Euclidean
from hvae.latent.power_spherical import PowerSphericalSpheres
from hvae.latent.scaled_sphere import ScaledSpheres
from hvae.latent.sphere import Spheres
from hvae.latent.spherical_cauchy import SphericalCauchySpheres
from hvae.registry import Registry

# In the order of the network's raw output.
KINDS: Registry[ComponentFamily] = Registry(
    "hvae.components",
    ComponentFamily,
    {
        "": Spheres,
        "s": ScaledSpheres,
        "p": PowerSphericalSpheres,
        "c": SphericalCauchySpheres,
        "e": Euclidean,
    },
)
