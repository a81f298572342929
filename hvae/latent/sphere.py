"""Hyperspherical shells: von Mises-Fisher posteriors on S^{m-1} in R^m with uniform priors."""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from hvae import ops
from hvae.distributions.density import log_density_to_uniform
from hvae.distributions.draws import uniform_draws
from hvae.latent.component import (
    ComponentFamily,
    Draw,
    LatentOptions,
    Posterior,
    Prior,
    bounded,
    owners,
)
from hvae.latent.reinforce import surrogate

# `reinforce` is naive, with the score of its proposals (`hvae.latent.reinforce`).
KAPPA_GRADIENTS = (*ops.KAPPA_GRADIENTS, "reinforce")


_LEAST_NORM = 1e-12  # of a raw direction of a mixture


class Parameterization(NamedTuple):
    """How a raw number becomes a concentration, and how large the decoder sees a sphere.

    Attributes:
        kappa: (raw [R, S], m [S]) -> kappa [R, S].
        radius: m -> the radius of S^{m-1} before the decoder.
    """

    kappa: Callable[[Tensor, Tensor], Tensor]
    radius: Callable[[int], float]


def _exponential(raw: Tensor, m: Tensor) -> Tensor:
    return (0.5 * raw).exp() * m


def _scaled(raw: Tensor, m: Tensor) -> Tensor:
    return functional.softplus(raw) * (4.0 * m) + 0.01


def _paper(raw: Tensor, m: Tensor) -> Tensor:
    return functional.softplus(raw).add_(1.0)


# A radius of sqrt(m) gives every coordinate unit variance under the prior, as a Gaussian's.
# What was measured with each: results/expressivity.
PARAMETERIZATIONS = {
    "exponential": Parameterization(_exponential, math.sqrt),
    "scaled": Parameterization(_scaled, math.sqrt),
    "paper": Parameterization(_paper, lambda m: 1.0),
}


class Spheres(ComponentFamily):
    """Raw parameters: raw mean directions [R, sum of m] and raw concentrations [R, S]."""

    title = "a von Mises-Fisher shell"
    least = 2
    on_sphere = True

    m: Tensor

    def __init__(self, sizes: Sequence[int], first: int, options: LatentOptions) -> None:
        super().__init__(sizes, first, options)
        self.dims = list(sizes)
        self.raw_sizes = (sum(sizes), len(sizes))
        self.kappa, self.radius = PARAMETERIZATIONS[options.parameterization]
        owner = [*owners(sizes), *range(len(sizes))]
        self.register_buffer("m", torch.tensor(sizes, dtype=torch.float32), persistent=False)
        self.register_buffer("raw_owner", torch.tensor(owner), persistent=False)

    def posterior(self, raw: Sequence[Tensor]) -> "VonMisesFisherShells":
        raw_direction, raw_concentration = raw
        return VonMisesFisherShells(self, raw_direction, self.kappa(raw_concentration, self.m))

    @property
    def prior(self) -> "UniformShells":
        return UniformShells(self.dims, self.first)

    @classmethod
    def auto_kl_weights(cls, sizes: Sequence[int]) -> list[float]:
        """2 - least d / d for a shell of dimension d = m - 1: from 1 for the smallest to below 2.

        A von Mises-Fisher posterior is as wide in one direction as in every other, so that all d
        pay for the precision that some need: what a small shell can hold is cheaper there, and the
        large one is for the rest. Measured in results/expressivity.
        """
        least = min(sizes) - 1
        return [2.0 - least / (size - 1) for size in sizes]

    def radii(self) -> list[float]:
        return [self.radius(m) for m in self.dims for _ in range(m)]

    def features(self, z: Tensor) -> Tensor:
        return z

    def ratio(self, raw: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """kappa mu.z - L(kappa), over the uniform density."""
        members = self.members(raw)
        log_normalizer, _ = ops.vmf(members.kappa, self.dims, "L")
        return members.natural(), -log_normalizer.sum(-1)

    def members(self, raw: Sequence[Tensor]) -> "VonMisesFisherShells":
        raw_direction, raw_concentration = raw
        kappa = bounded(self.kappa(raw_concentration, self.m), self.options.prior_precision)
        return VonMisesFisherShells(self, raw_direction, kappa)


class VonMisesFisherShells(Posterior):
    """vMF(mean direction, kappa) on each of S shells.

    Args:
        family: whose shells these are.
        raw_direction: [R, sum of m], normalised shell by shell in the kernel.
        kappa: [R, S].
    """

    def __init__(self, family: Spheres, raw_direction: Tensor, kappa: Tensor) -> None:
        self.family = family
        self.raw_direction = raw_direction
        self.kappa = kappa

    @property
    def concentration(self) -> Tensor:
        """kappa."""
        return self.kappa

    def mode(self) -> Tensor:
        """Mean directions; e_1 for a raw direction of zeros, as in the kernel."""
        owner, raw = self._owner, self.raw_direction.double()
        norm = self._square(raw).sqrt()[:, owner]
        leads = torch.diff(owner, prepend=owner.new_full((1,), -1)).to(raw.dtype)
        return torch.where(norm > 0, raw / norm, leads).to(self.raw_direction.dtype)

    def natural(self) -> Tensor:
        """kappa mu of every shell, [R, sum of m], with gradients."""
        square = self._square(self.raw_direction) + _LEAST_NORM**2  # whose root has a slope at 0
        return self.raw_direction * (self.kappa * square.rsqrt())[:, self._owner]

    @property
    def _owner(self) -> Tensor:
        """For every coordinate the index of its shell."""
        return self.family.raw_owner[: self.family.raw_sizes[0]]

    def _square(self, raw: Tensor) -> Tensor:
        """Squares of the lengths [R, S] of raw directions."""
        zeros = raw.new_zeros(len(raw), len(self.family.dims))
        return zeros.index_add(1, self._owner, raw.square())

    def draw(self, rng: Tensor, samples: int = 1, with_log_weights: bool = False) -> Draw:
        dims, kappa, kappa_grad = self.family.dims, self.kappa, self.family.options.kappa_grad
        scored = kappa_grad == "reinforce"
        ops_grad, first = "naive" if scored else kappa_grad, self.family.first
        z, v, _, kl = ops.sample(
            self.raw_direction, kappa, dims, rng, samples, ops_grad, shell=first
        )
        log_weight = -log_density_to_uniform(kappa, v, dims) if with_log_weights else None
        has_score = scored and kappa.requires_grad
        return Draw(z, kl, log_weight, surrogate(kappa, v, dims) if has_score else None)


class UniformShells(Prior):
    """The uniform distribution on a product of spheres: the posterior at concentration 0.

    Args:
        dims: ambient dimension of each shell.
        first: index of the first shell in the random stream.
    """

    def __init__(self, dims: Sequence[int], first: int = 0) -> None:
        self.dims = list(dims)
        self.first = first

    def sample(
        self, rng: Tensor, samples: int, rows: int, dtype: torch.dtype = torch.float32
    ) -> Tensor:
        return uniform_draws(self.dims, rng, samples, rows, dtype, shell=self.first)

    def log_prob(self, z: Tensor) -> Tensor:
        return z.new_full(z.shape[:-1], -sum(ops.log_area(m) for m in self.dims))
