"""Negative binomial counts with an observed library size, of single cells (Lopez et al. 2018)."""

import torch
from torch import Tensor, nn

from hvae.description import DataDescription, Kind
from hvae.model.counting import log_choose
from hvae.model.likelihood import Likelihood, generator_of
from hvae.model.statistics import statistics
from hvae.rows import Rows

MIN_SHARE = 1e-8  # of a feature in all counts, for one that no training row has


class NegativeBinomial(Likelihood):
    """x_j ~ NB(mean m_j = l p_j, dispersion t_j), of variance m_j + m_j^2 / t_j.

    l = sum_j x_j is the row's library size, taken as known (1 for a row of zeros), p the softmax of
    the decoder's output about the features' shares in the training rows (at least `MIN_SHARE`), t
    learned, one a feature. Where no row is given, in `mean` and `sample`, l is the median of the
    training rows, at least 1. The encoder sees log(1 + x).
    """

    title = "negative-binomial"
    takes = frozenset({Kind.COUNTS})

    log_share: Tensor
    library: Tensor

    def __init__(self, data: DataDescription) -> None:
        super().__init__(data)
        self.log_dispersion = nn.Parameter(torch.empty(data.size))
        self.register_buffer("log_share", torch.zeros(data.size))
        self.register_buffer("library", torch.ones(()))

    def reset_parameters(self) -> None:
        """Dispersions of 1."""
        nn.init.zeros_(self.log_dispersion)

    def observe(self, train: Rows) -> None:
        mean, _, libraries = statistics(train, self.data.size)
        share = mean / mean.sum().clamp(min=torch.finfo(mean.dtype).tiny)
        self.log_share.copy_(share.clamp(min=MIN_SHARE).log())
        self.library.copy_(libraries.median().clamp(min=1))

    @property
    def outputs(self) -> int:
        return self.data.size

    def encoder_input(self, x: Tensor) -> Tensor:
        return x.to(self.log_share.dtype).log1p()

    def log_prob(self, parameters: Tensor, x: Tensor) -> Tensor:
        """log (x + t - 1 over x) - x log(1 + t/m) - t log(1 + m/t), without cancellation.

        The two logarithms are softplus of -a and of a, for a = log m - log t.
        """
        counts, log_t = x.to(parameters.dtype), self.log_dispersion
        t = log_t.exp()
        log_library = counts.sum(-1, keepdim=True).clamp(min=1).log()
        a = self._log_proportions(parameters) + (log_library - log_t)
        near = (-a.abs()).exp().log1p()  # softplus(a) = near + relu(a)
        cost: Tensor = torch.linalg.vecdot(counts + t, near)
        cost = cost + torch.linalg.vecdot(counts, (-a).relu()) + torch.linalg.vecdot(t, a.relu())
        return log_choose(counts, t) - cost

    def mean(self, parameters: Tensor) -> Tensor:
        """Of a row whose library size is the median."""
        return self.library * self._log_proportions(parameters).exp()

    def sample(self, parameters: Tensor, rng: Tensor) -> Tensor:
        """A Poisson draw of a gamma draw, of a row whose library size is the median."""
        generator, t = generator_of(rng), self.log_dispersion.detach().exp().cpu()
        mean = self.mean(parameters).cpu()
        gamma = torch._standard_gamma(t.expand_as(mean).contiguous(), generator)
        return torch.poisson(gamma * mean / t, generator).to(parameters.device)

    def _log_proportions(self, parameters: Tensor) -> Tensor:
        return (parameters + self.log_share).log_softmax(-1)
