"""Binomial counts up to a known maximum, such as grey levels."""

import torch
from torch import Tensor

from hvae import ops
from hvae.description import DataDescription, Kind
from hvae.errors import Refused
from hvae.model.counting import log_choose
from hvae.model.likelihood import Likelihood, generator_of


class Binomial(Likelihood):
    """x_j ~ Binomial(n, sigmoid(l_j)), n the largest count of the data; the encoder sees x / n.

    A count above n, in a row that was not among the data, has log p = -inf.

    Raises:
        Refused: the largest count of the data is not known, or 0.
    """

    title = "binomial"
    takes = frozenset({Kind.COUNTS, Kind.BINARY})

    def __init__(self, data: DataDescription) -> None:
        super().__init__(data)
        self.total = 1 if data.kind is Kind.BINARY else max(data.maxima or (0,))
        if self.total < 1:
            what = "0" if data.maxima else "not known"
            raise Refused(
                f"--likelihood: the largest count of the data is {what}; allowed for binomial: 1 "
                "or more"
            )

    @property
    def outputs(self) -> int:
        return self.data.size

    def encoder_input(self, x: Tensor) -> Tensor:
        return x / self.total

    def log_prob(self, parameters: Tensor, x: Tensor) -> Tensor:
        """n (x/n l - softplus(l)) + log (n over x), the first by the Bernoulli kernel."""
        counts, n = x.to(parameters.dtype), self.total
        allowed = counts.clamp(max=n)
        choices = log_choose(allowed, n + 1 - allowed)
        choices = choices.masked_fill((counts > n).any(-1), -torch.inf)
        return n * ops.bernoulli_log_prob(parameters, allowed / n) + choices

    def mean(self, parameters: Tensor) -> Tensor:
        return self.total * parameters.sigmoid()

    def sample(self, parameters: Tensor, rng: Tensor) -> Tensor:
        probability = parameters.sigmoid().cpu()
        total = torch.full_like(probability, self.total)
        return torch.binomial(total, probability, generator_of(rng)).to(parameters.device)
