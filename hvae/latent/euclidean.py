"""Euclidean components: diagonal Gaussian posteriors on R^m with standard normal priors."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from hvae import ops
from hvae.latent.component import (
    ComponentFamily,
    Draw,
    LatentOptions,
    Posterior,
    Prior,
    bounded,
    owners,
)


class Euclidean(ComponentFamily):
    """Raw parameters: means [R, m] and log variances [R, m]."""

    title = "a Euclidean one"
    least = 1

    halves: Tensor
    minus_half_m: Tensor

    def __init__(self, sizes: Sequence[int], first: int, options: LatentOptions) -> None:
        super().__init__(sizes, first, options)
        owner = torch.tensor(owners(sizes))
        halves = 0.5 * (owner[:, None] == torch.arange(len(sizes)))
        self.raw_sizes = (len(owner),) * 2
        self.register_buffer("raw_owner", owner.repeat(2), persistent=False)
        self.register_buffer("halves", halves, persistent=False)
        self.register_buffer("minus_half_m", -halves.sum(0), persistent=False)

    def posterior(self, raw: Sequence[Tensor]) -> "DiagonalGaussian":
        return DiagonalGaussian(self, *raw)

    @property
    def prior(self) -> "StandardNormal":
        return StandardNormal(sum(self.sizes), self.first)

    def features(self, z: Tensor) -> Tensor:
        """The coordinates and their squares."""
        return torch.cat([z, z.square()], -1)

    def ratio(self, raw: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """With precisions p it is sum(p mean z + (1 - p) z^2/2 - p mean^2/2 + log(p)/2)."""
        members = self.members(raw)
        precision = members.log_variance.neg().exp()
        linear = precision * members.mean
        constant = -0.5 * (linear * members.mean + members.log_variance).sum(-1)
        return torch.cat([linear, 0.5 - 0.5 * precision], -1), constant

    def members(self, raw: Sequence[Tensor]) -> "DiagonalGaussian":
        mean, log_variance = raw
        precision = bounded(log_variance.neg().exp(), self.options.prior_precision)
        return DiagonalGaussian(self, mean, -precision.log())


class DiagonalGaussian(Posterior):
    """N(mean, diag(exp(log_variance))), both [R, m]."""

    def __init__(self, family: Euclidean, mean: Tensor, log_variance: Tensor) -> None:
        self.family = family
        self.mean = mean
        self.log_variance = log_variance

    @property
    def concentration(self) -> Tensor:
        """The precision 1 / variance, averaged over a component's coordinates."""
        family = self.family
        return -(self.log_variance.neg().exp() @ family.halves) / family.minus_half_m

    def mode(self) -> Tensor:
        """The means."""
        return self.mean

    def draw(self, rng: Tensor, samples: int = 1, with_log_weights: bool = False) -> Draw:
        """KL = sum over coordinates of (variance + mean^2 - log variance - 1) / 2."""
        mean, log_variance, first = self.mean, self.log_variance, self.family.first
        rows, m = mean.shape
        noise = ops.normal(rng, samples, rows, m, shell=first, dtype=mean.dtype)
        half_log = 0.5 * log_variance
        deviation = half_log.exp()
        z = torch.addcmul(mean, deviation, noise)
        twice = torch.addcmul(deviation.square() - log_variance, mean, mean)
        kl = torch.addmm(self.family.minus_half_m, twice, self.family.halves)
        if not with_log_weights:
            return Draw(z, kl, None)
        return Draw(z, kl, (half_log + 0.5 * (noise.square() - z.square())).sum(-1))


class StandardNormal(Prior):
    """N(0, I) on R^m.

    Args:
        m: the dimension.
        first: index of the first component in the random stream.
    """

    def __init__(self, m: int, first: int = 0) -> None:
        self.m = m
        self.first = first

    def sample(
        self, rng: Tensor, samples: int, rows: int, dtype: torch.dtype = torch.float32
    ) -> Tensor:
        return ops.normal(rng, samples, rows, self.m, shell=self.first, dtype=dtype)

    def log_prob(self, z: Tensor) -> Tensor:
        return -0.5 * (z.square().sum(-1) + self.m * math.log(2 * math.pi))
