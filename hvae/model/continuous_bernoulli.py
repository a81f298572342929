"""Continuous Bernoulli (Loaiza-Ganem, Cunningham 2019): a density on the unit interval."""

import torch
from torch import Tensor

from hvae import ops
from hvae.description import Kind
from hvae.model.likelihood import Likelihood


class ContinuousBernoulli(Likelihood):
    """p(x_j) = exp(l_j x_j) l_j / (exp(l_j) - 1) on [0, 1], the decoder gives l_j.

    A coordinate of a uniform point of S^2 is uniform (Archimedes), so that log p is the density of
    a von Mises-Fisher shell of m = 3 with the concentration |l|/2 at height 2 x - 1, but for a
    constant: (x - 1/2) l - L(|l|/2). Its kernel holds at l = 0 and wherever l is finite.
    """

    title = "continuous-bernoulli"
    takes = frozenset({Kind.UNIT, Kind.BINARY})

    @property
    def outputs(self) -> int:
        return self.data.size

    def log_prob(self, parameters: Tensor, x: Tensor) -> Tensor:
        """Its error is a few roundings of |l|."""
        tilt: Tensor = torch.linalg.vecdot(parameters, x.to(parameters.dtype) - 0.5)
        return tilt - _of_height(parameters, "L").sum(-1)

    def mean(self, parameters: Tensor) -> Tensor:
        """1/2 + coth(l/2)/2 - 1/l."""
        return 0.5 + 0.5 * parameters.sign() * _of_height(parameters, "A")

    def sample(self, parameters: Tensor, rng: Tensor) -> Tensor:
        """By the inverse of the distribution function: 1 - x has the logit -l."""
        samples, rows, numbers = parameters.shape
        uniform = ops.uniform(rng, samples, rows, numbers, dtype=parameters.dtype)
        a = parameters.abs()
        low = (uniform * torch.expm1(-a)).log1p() / -a.clamp(min=torch.finfo(a.dtype).tiny)
        low = torch.where(a < torch.finfo(a.dtype).eps, uniform, low).clamp(0, 1)
        return torch.where(parameters > 0, 1 - low, low)


def _of_height(logits: Tensor, quantity: str) -> Tensor:
    """A quantity of the shell of m = 3 at |l|/2."""
    value, _ = ops.vmf(0.5 * logits.abs()[..., None], (3,), quantity)
    return value[..., 0]
