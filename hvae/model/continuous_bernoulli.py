"""Continuous Bernoulli (Loaiza-Ganem, Cunningham 2019): a density on the unit interval."""

from torch import Tensor
from torch.distributions import ContinuousBernoulli as TorchContinuousBernoulli

from hvae import ops
from hvae.description import Kind
from hvae.model.likelihood import Likelihood


class ContinuousBernoulli(Likelihood):
    """p(x_j) = C(l_j) exp(l_j x_j), the decoder gives l_j; torch's formula, with its expansion
    about l = 0.
    """

    title = "continuous-bernoulli"
    takes = frozenset({Kind.UNIT, Kind.BINARY})

    @property
    def outputs(self) -> int:
        return self.data.size

    def log_prob(self, parameters: Tensor, x: Tensor) -> Tensor:
        terms: Tensor = _density(parameters).log_prob(x.to(parameters.dtype))
        return terms.sum(-1)

    def mean(self, parameters: Tensor) -> Tensor:
        return _density(parameters).mean

    def sample(self, parameters: Tensor, rng: Tensor) -> Tensor:
        """By the inverse of the distribution function."""
        samples, rows, numbers = parameters.shape
        uniform = ops.uniform(rng, samples, rows, numbers, dtype=parameters.dtype)
        drawn: Tensor = _density(parameters).icdf(uniform)
        return drawn


def _density(logits: Tensor) -> TorchContinuousBernoulli:
    return TorchContinuousBernoulli(logits=logits, validate_args=False)
