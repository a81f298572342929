"""Poisson counts: the decoder gives the logarithm of each rate, relative to the feature's mean."""

import torch
from torch import Tensor

from hvae.description import DataDescription, Kind
from hvae.model.counting import log_poisson_mode
from hvae.model.likelihood import Likelihood, generator_of
from hvae.model.statistics import statistics
from hvae.rows import Rows

MIN_MEAN = 1e-4  # of a feature, for one that no training row has


class Poisson(Likelihood):
    """x_j ~ Poisson(mean_j exp(o_j)) for the decoder's output o; the encoder sees log(1 + x).

    mean_j is that of the training rows, at least `MIN_MEAN`.
    """

    title = "poisson"
    takes = frozenset({Kind.COUNTS, Kind.BINARY})

    log_mean: Tensor

    def __init__(self, data: DataDescription) -> None:
        super().__init__(data)
        self.register_buffer("log_mean", torch.zeros(data.size))

    def observe(self, train: Rows) -> None:
        self.log_mean.copy_(statistics(train, self.data.size).mean.clamp(min=MIN_MEAN).log())

    @property
    def outputs(self) -> int:
        return self.data.size

    def encoder_input(self, x: Tensor) -> Tensor:
        return x.to(self.log_mean.dtype).log1p()

    def log_prob(self, parameters: Tensor, x: Tensor) -> Tensor:
        """From the largest log p of each count, so that large counts lose no digits (Loader 2000).

        With c = max(x, 1) and d = log rate - log c it is x d - c (e^d - 1) beside what x decides.
        """
        counts = x.to(parameters.dtype)
        at_least_1 = counts.clamp(min=1)
        mode = log_poisson_mode(counts) + (counts - at_least_1).sum(-1)
        d = parameters + (self.log_mean - at_least_1.log())
        matched: Tensor = torch.linalg.vecdot(counts, d)
        missed: Tensor = torch.linalg.vecdot(at_least_1, d.expm1())
        return mode + matched - missed

    def mean(self, parameters: Tensor) -> Tensor:
        """The rates."""
        return (parameters + self.log_mean).exp()

    def sample(self, parameters: Tensor, rng: Tensor) -> Tensor:
        return torch.poisson(self.mean(parameters).cpu(), generator_of(rng)).to(parameters.device)
