"""Power Spherical shells (De Cao and Aziz 2020): density proportional to (1 + mu.z)^(2 kappa)."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import normalize

from hvae import ops
from hvae.distributions.power_spherical import PowerSpherical
from hvae.distributions.rotational import RotationallySymmetric
from hvae.latent.component import LatentOptions
from hvae.latent.symmetric_sphere import SymmetricSpheres

_ANGLES = 65534  # the place in the stream of the narrowest shells' angles; wider ones go before it


class PowerSphericalSpheres(SymmetricSpheres):
    """Power Spherical posteriors of concentration 2 kappa."""

    title = "a Power Spherical one"

    rows_by_width: Tensor

    def __init__(self, sizes: Sequence[int], first: int, options: LatentOptions) -> None:
        super().__init__(sizes, first, options)
        factors = [[1, 1, sizes.count(m), 1] for m in self.widths]  # of key, step, row, sample
        self.register_buffer("rows_by_width", torch.tensor(factors), persistent=False)

    def distribution(self, mean: Tensor, kappa: Tensor) -> RotationallySymmetric:
        return PowerSpherical(mean, 2 * kappa, validate_args=False)

    def numbers(self, kappa: Tensor, rng: Tensor, samples: int) -> tuple[Tensor, Tensor]:
        """Normal numbers for every coordinate, and for every shell its angle from the mean.

        A shell of a row is a row of the launch of its width, so that numbers are those of its place
        as long as rows times shells is below 2^32.
        """
        normal = ops.normal(rng, samples, len(kappa), sum(self.dims), self.first, kappa.dtype)
        angles = []
        for i, part in enumerate(self.by_width(2 * kappa)):
            place = rng * self.rows_by_width[i]
            theta = ops.power_angle(part.flatten(), self.widths[i], place, samples, _ANGLES - i)
            angles.append(theta.unflatten(1, part.shape))
        return normal, self.in_order(angles)

    def placed(self, q: RotationallySymmetric, x: Tensor, y: Tensor) -> Tensor:
        """cos(y) mu + sin(y) t, t along P x; it turns with mu by the smallest rotation."""
        mean = q.loc
        with torch.no_grad():
            x = _across(_across(x, mean), mean)  # once leaves eps |x| / |Px|
            direction = normalize(_across(normalize(x, dim=-1), mean), dim=-1)
        angle = y[..., None]
        return angle.cos() * mean + angle.sin() * _across(direction, mean)


def _across(x: Tensor, mean: Tensor) -> Tensor:
    """x less its part along mean."""
    return x - (x * mean).sum(-1, keepdim=True) * mean
