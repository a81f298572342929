"""Poisson counts: the decoder gives the logarithm of each rate, relative to the feature's mean."""

import torch
from torch import Tensor

from hvae.description import DataDescription, Kind
from hvae.model.likelihood import Likelihood, generator_of
from hvae.model.statistics import mean_and_deviation
from hvae.rows import Rows

MIN_MEAN = 1e-4  # of a feature, for one that no training row has


class Poisson(Likelihood):
    """x_j ~ Poisson(mean_j exp(o_j)) for the decoder's output o; the encoder sees log(1 + x)."""

    title = "poisson"
    takes = frozenset({Kind.COUNTS, Kind.BINARY})

    log_mean: Tensor

    def __init__(self, data: DataDescription) -> None:
        super().__init__(data)
        self.register_buffer("log_mean", torch.zeros(data.size))

    def observe(self, train: Rows) -> None:
        mean, _ = mean_and_deviation(train, self.data.size)
        self.log_mean.copy_(mean.clamp(min=MIN_MEAN).log())

    @property
    def outputs(self) -> int:
        return self.data.size

    def encoder_input(self, x: Tensor) -> Tensor:
        return x.to(self.log_mean.dtype).log1p()

    def log_prob(self, parameters: Tensor, x: Tensor) -> Tensor:
        counts = x.to(parameters.dtype)
        log_rate = parameters + self.log_mean
        factorials = torch.lgamma(counts + 1).sum(-1)
        matched: Tensor = torch.linalg.vecdot(counts, log_rate)
        return matched - log_rate.exp().sum(-1) - factorials

    def mean(self, parameters: Tensor) -> Tensor:
        return (parameters + self.log_mean).exp()

    def sample(self, parameters: Tensor, rng: Tensor) -> Tensor:
        return torch.poisson(self.mean(parameters).cpu(), generator_of(rng)).to(parameters.device)
