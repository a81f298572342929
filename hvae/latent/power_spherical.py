"""Power Spherical shells (De Cao and Aziz 2020): density proportional to (1 + mu.z)^(2 kappa)."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import normalize

from hvae import ops
from hvae.distributions.gamma import standard_gamma
from hvae.distributions.power_spherical import PowerSpherical
from hvae.distributions.rotational import RotationallySymmetric
from hvae.latent.component import LatentOptions
from hvae.latent.symmetric_sphere import SymmetricSpheres

_GAMMA = (
    65533  # the place in the stream of gamma variates, above that of every shell; they take two
)


class PowerSphericalSpheres(SymmetricSpheres):
    """Power Spherical posteriors of concentration 2 kappa, drawn without rejection of a point."""

    title = "a Power Spherical one"

    rows_by_shell: Tensor

    def __init__(self, sizes: Sequence[int], first: int, options: LatentOptions) -> None:
        super().__init__(sizes, first, options)
        factors = torch.tensor([1, 1, len(sizes), 1])  # of key, step, row, sample
        self.register_buffer("rows_by_shell", factors, persistent=False)

    def distribution(self, mean: Tensor, kappa: Tensor) -> RotationallySymmetric:
        return PowerSpherical(mean, 2 * kappa, validate_args=False)

    def numbers(self, kappa: Tensor, rng: Tensor, samples: int) -> tuple[Tensor, Tensor]:
        """Normal numbers for every coordinate, a gamma variate 2 kappa + (m - 1)/2 for every shell.

        A shell of a row is a row of the launch of gamma variates, so that numbers are those of its
        place as long as rows times shells is below 2^32.
        """
        rows, shells = kappa.shape
        normal = ops.normal(rng, samples, rows, sum(self.dims), self.first, kappa.dtype)
        shape = 2 * kappa + (self.m - 1) / 2
        gamma = standard_gamma(shape.flatten(), rng * self.rows_by_shell, samples, _GAMMA)
        return normal, gamma.unflatten(1, (rows, shells))

    def placed(self, q: RotationallySymmetric, x: Tensor, y: Tensor) -> Tensor:
        """(1 + mu.z)/2 = y/(y + |Px|^2/2), a Beta variate, with P x across mu for the direction.

        |Px|^2/2 is a gamma variate (m - 1)/2 and independent of the direction of Px. With the
        numbers held fixed z turns with mu by the smallest rotation.
        """
        mean = q.loc
        with torch.no_grad():
            x = _across(_across(x, mean), mean)  # once leaves eps |x| / |Px|
            far = x.square().sum(-1) / 2
            direction = normalize(_across(normalize(x, dim=-1), mean), dim=-1)
        whole = y + far
        along, aside = (y - far) / whole, 2 * torch.sqrt(y * far) / whole
        return along[..., None] * mean + aside[..., None] * _across(direction, mean)


def _across(x: Tensor, mean: Tensor) -> Tensor:
    """x less its part along mean."""
    return x - (x * mean).sum(-1, keepdim=True) * mean
