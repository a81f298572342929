"""Bernoulli pixels: the decoder gives a logit for each."""

import torch
from torch import Tensor

from hvae import ops
from hvae.description import Kind
from hvae.model.likelihood import Likelihood


class Bernoulli(Likelihood):
    """x_j = 1 with probability sigmoid(l_j), independent of each other given z.

    Data of the unit interval are binarized by the data set, anew in every epoch.
    """

    title = "bernoulli"
    takes = frozenset({Kind.BINARY, Kind.UNIT})
    binarizes = True

    @property
    def outputs(self) -> int:
        return self.data.size

    def log_prob(self, parameters: Tensor, x: Tensor) -> Tensor:
        """sum_j x_j l_j - softplus(l_j), in one pass over the logits."""
        x = x if x.dtype == torch.uint8 else x.to(parameters.dtype)
        return ops.bernoulli_log_prob(parameters, x)

    def mean(self, parameters: Tensor) -> Tensor:
        """The probabilities that a pixel is 1."""
        return parameters.sigmoid()

    def sample(self, parameters: Tensor, rng: Tensor) -> Tensor:
        samples, rows, pixels = parameters.shape
        uniform = ops.uniform(rng, samples, rows, pixels, dtype=parameters.dtype)
        return (uniform < parameters.sigmoid()).to(torch.uint8)
