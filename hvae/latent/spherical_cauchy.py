"""Spherical Cauchy shells (Kato and McCullagh 2020), with heavy tails."""

import torch
from torch import Tensor

from hvae.distributions.draws import uniform_draws
from hvae.distributions.rotational import RotationallySymmetric
from hvae.distributions.spherical_cauchy import SphericalCauchy, moved
from hvae.latent.symmetric_sphere import SymmetricSpheres

_MOST_CONCENTRATED = 1e8  # rho is 1.4e-4 or more away from 1, of which float32 has three digits


class SphericalCauchySpheres(SymmetricSpheres):
    """Spherical Cauchy posteriors, drawn by a Moebius transformation of a uniform point.

    kappa = 2 (m - 1) rho / (1 - rho)^2, up to 1e8.
    """

    title = "a spherical Cauchy one"

    def distribution(self, mean: Tensor, kappa: Tensor) -> RotationallySymmetric:
        ratio = kappa.clamp(max=_MOST_CONCENTRATED) / (2 * (mean.shape[-1] - 1))
        rho = 2 * ratio / (2 * ratio + 1 + torch.sqrt(4 * ratio + 1))
        return SphericalCauchy(mean, rho, validate_args=False)

    def numbers(self, kappa: Tensor, rng: Tensor, samples: int) -> tuple[Tensor, Tensor]:
        """Uniform points; nothing for a shell."""
        points = uniform_draws(self.dims, rng, samples, len(kappa), kappa.dtype, self.first)
        return points, points.new_zeros(1, 1, 1).expand(samples, *kappa.shape)

    def placed(self, q: RotationallySymmetric, x: Tensor, y: Tensor) -> Tensor:
        return moved(x, q.loc, q._number)
