"""Negative binomial counts with an observed library size, of single cells (Lopez et al. 2018)."""

from typing import Any

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
        """log (x + t - 1 over x) - x log(1 + t/m) - t log(1 + m/t)."""
        counts, log_t = x.to(parameters.dtype), self.log_dispersion
        t = log_t.exp()
        log_library = counts.sum(-1, keepdim=True).clamp(min=1).log()
        log_odds = self._log_proportions(parameters) + (log_library - log_t)
        cost: Tensor = _Cost.apply(log_odds, counts, t)  # type: ignore[no-untyped-call]
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


class _Cost(torch.autograd.Function):
    """sum_j x_j softplus(-a_j) + t_j softplus(a_j) of log odds a [K, R, D], both without loss.

    softplus(a) = log(1 + e^-|a|) + relu(a). The slopes are t sigmoid(a) - x sigmoid(-a) in a and
    softplus(a) in t, with as few numbers [K, R, D] on the way as torch allows.
    """

    @staticmethod
    def forward(ctx: Any, a: Tensor, x: Tensor, t: Tensor) -> Tensor:
        near, above = a.abs().neg_().exp_().log1p_(), a.relu()
        cost: Tensor = torch.linalg.vecdot((above - a).add_(near), x)
        softplus = above.add_(near)
        cost = cost + softplus @ t
        ctx.save_for_backward(a, x, t, softplus)
        return cost

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, Tensor]:
        grad_a, grad_t = _CostGradient.apply(grad, *ctx.saved_tensors)  # type: ignore[no-untyped-call]
        return grad_a, None, grad_t


class _CostGradient(torch.autograd.Function):
    """Its gradients, which depend on a and t and have no derivative themselves."""

    @staticmethod
    def forward(
        ctx: Any, grad: Tensor, a: Tensor, x: Tensor, t: Tensor, softplus: Tensor
    ) -> tuple[Tensor, Tensor]:
        slope = a.sigmoid().mul_(t).sub_(softplus.neg().exp_().mul_(x))
        return slope.mul_(grad[..., None]), grad.flatten() @ softplus.flatten(0, -2)

    @staticmethod
    def backward(ctx: Any, *_: Tensor) -> None:
        raise RuntimeError("the negative binomial likelihood of hvae has no second derivative")
