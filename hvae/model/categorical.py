"""Categorical columns: integer codes, with a softmax over the codes of each."""

import torch
from torch import Tensor
from torch.nn import functional

from hvae import ops
from hvae.description import DataDescription, Kind
from hvae.model.likelihood import Likelihood


class Categorical(Likelihood):
    """x_j is a code from 0 to the column's largest; the encoder sees each one-hot.

    The decoder gives a logit for every code of every column, one column after the other. `mean` is
    the mean of the codes; it is a code's number only where the codes are ordered.
    """

    title = "categorical"
    takes = frozenset({Kind.COUNTS, Kind.BINARY})

    place: Tensor
    missing: Tensor
    first: Tensor

    def __init__(self, data: DataDescription) -> None:
        super().__init__(data)
        largest = (1,) * data.size if data.maxima is None else data.maxima
        self.codes = [most + 1 for most in largest]
        codes, column = torch.tensor(self.codes), torch.arange(max(self.codes))
        first = codes.cumsum(0) - codes
        missing = column >= codes[:, None]
        place = (first[:, None] + column).masked_fill(missing, 0)
        self.register_buffer("place", place, persistent=False)
        self.register_buffer("missing", missing, persistent=False)
        self.register_buffer("first", first, persistent=False)

    @property
    def outputs(self) -> int:
        return sum(self.codes)

    @property
    def seen(self) -> DataDescription:
        return DataDescription((self.outputs,), Kind.BINARY, self.data.covariates)

    def encoder_input(self, x: Tensor) -> Tensor:
        one_hot = torch.zeros(len(x), self.outputs, device=x.device)
        return one_hot.scatter_(1, x.long() + self.first, 1.0)

    def log_prob(self, parameters: Tensor, x: Tensor) -> Tensor:
        """sum_j log softmax of column j at its code."""
        chosen = x.long()[..., None].expand(*parameters.shape[:-1], -1, 1)
        return self._log_probabilities(parameters).gather(-1, chosen)[..., 0].sum(-1)

    def mean(self, parameters: Tensor) -> Tensor:
        probabilities = self._log_probabilities(parameters).exp()
        return probabilities @ torch.arange(
            probabilities.shape[-1], dtype=parameters.dtype, device=parameters.device
        )

    def sample(self, parameters: Tensor, rng: Tensor) -> Tensor:
        """By the inverse of the distribution function."""
        cumulative = self._log_probabilities(parameters).exp().cumsum(-1)
        samples, rows, numbers = cumulative.shape[:-1]
        uniform = ops.uniform(rng, samples, rows, numbers, dtype=parameters.dtype)
        below = (cumulative < uniform[..., None]).sum(-1)
        largest = torch.tensor(self.codes, device=below.device) - 1
        return torch.minimum(below, largest).to(parameters.dtype)

    def _log_probabilities(self, parameters: Tensor) -> Tensor:
        """[..., D, most codes], -inf where a column has no such code."""
        logits = parameters[..., self.place].masked_fill(self.missing, -torch.inf)
        return functional.log_softmax(logits, -1)
