"""Binomial counts up to a known maximum, such as grey levels."""

import torch
from torch import Tensor

from hvae import ops
from hvae.description import DataDescription, Kind
from hvae.errors import Refused
from hvae.model.likelihood import Likelihood


class Binomial(Likelihood):
    """x_j ~ Binomial(n, sigmoid(l_j)), n the largest count of the data; the encoder sees x / n."""

    title = "binomial"
    takes = frozenset({Kind.COUNTS, Kind.BINARY})

    def __init__(self, data: DataDescription) -> None:
        super().__init__(data)
        self.total = 1 if data.kind is Kind.BINARY else max(data.maxima or (0,))
        if self.total < 1:
            raise Refused("--likelihood: binomial needs counts above 0; these have none")

    @property
    def outputs(self) -> int:
        return self.data.size

    def encoder_input(self, x: Tensor) -> Tensor:
        return x / self.total

    def log_prob(self, parameters: Tensor, x: Tensor) -> Tensor:
        """n (x/n l - softplus(l)) + log (n over x), the first by the Bernoulli kernel."""
        counts, n = x.to(parameters.dtype), self.total
        choices = torch.lgamma(counts + 1) + torch.lgamma(n - counts + 1)
        constant = self.data.size * torch.lgamma(counts.new_tensor(n + 1.0)) - choices.sum(-1)
        return n * ops.bernoulli_log_prob(parameters, counts / n) + constant

    def mean(self, parameters: Tensor) -> Tensor:
        return self.total * parameters.sigmoid()

    def sample(self, parameters: Tensor, rng: Tensor) -> Tensor:
        """The sum of n coins, one a block of columns of the stream."""
        samples, rows, numbers = parameters.shape
        probability, drawn = parameters.sigmoid(), torch.zeros_like(parameters)
        uniform = ops.uniform(rng, samples, rows, numbers * self.total, dtype=parameters.dtype)
        for coin in uniform.split(numbers, -1):
            drawn += coin < probability
        return drawn
