"""Directions as `torch.distributions`: von Mises-Fisher, uniform, and packed products of them.

    VonMisesFisher(loc, concentration)                  on S^{m-1}, m = loc.shape[-1]
    ScaledVonMisesFisher(loc, concentration, scale)     on S^{m-1}, a width for every direction
    PowerSpherical(loc, concentration)                  on S^{m-1}
    SphericalCauchy(loc, rho)                           on S^{m-1}, with heavy tails
    ProjectedNormal(loc, concentration)                 on S^{m-1}: a normal vector's direction
    HypersphericalUniform(dim)                          on S^{dim-1}
    VonMisesFisherProduct(loc, concentration, dims)     on S^{m1-1} x S^{m2-1} x ..., one launch
    HypersphericalUniformProduct(dims)                  its uniform distribution

Every dimension is the AMBIENT one, from 2 to 32768. A concentration is any number in [0, infinity)
(to 1e8 in float32), and 0 is the uniform distribution. A loc is any unit vector, the first basis
vector and its negative included. m = 2 is the von Mises distribution of an angle.

With L and A as in `hvae.ops.vmf`, the density with respect to area is exp(k mu.z - L) / |S^{m-1}|.
`log_prob` evaluates (k - L) - k v - log |S^{m-1}|, v = |z - mu|^2 / 2, in which nothing cancels
at a high concentration. Draws come from Wood's rejection (1994). One torch.randint keys their
random numbers, so torch.manual_seed governs them. Their gradient is unbiased (Figurnov, Mohamed,
Mnih 2018) and is not the derivative of a function, so there is no second derivative of a draw.

Parameters are float32 or float64. Those in float16 and bfloat16 are converted to float32, loc is
normalised anew, and results are float32. `kl_divergence` of torch takes every pair of these on the
same spheres. Values are validated as everywhere in torch.distributions, but never under
torch.compile.
"""

# These two register divergences and transforms with torch.
import hvae.distributions.divergences
import hvae.distributions.transforms  # noqa: F401
from hvae.distributions.power_spherical import PowerSpherical
from hvae.distributions.product import HypersphericalUniformProduct, VonMisesFisherProduct
from hvae.distributions.projected_normal import ProjectedNormal
from hvae.distributions.scaled_von_mises_fisher import ScaledVonMisesFisher
from hvae.distributions.spherical_cauchy import SphericalCauchy
from hvae.distributions.uniform import HypersphericalUniform
from hvae.distributions.von_mises_fisher import VonMisesFisher

__all__ = [
    "HypersphericalUniform",
    "HypersphericalUniformProduct",
    "PowerSpherical",
    "ProjectedNormal",
    "ScaledVonMisesFisher",
    "SphericalCauchy",
    "VonMisesFisher",
    "VonMisesFisherProduct",
]
