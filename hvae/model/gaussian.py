"""Gaussian numbers: the decoder gives the mean of each, and every feature learns its scale."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from hvae import ops
from hvae.description import DataDescription, Kind
from hvae.model.likelihood import Likelihood
from hvae.model.statistics import statistics
from hvae.rows import Rows

# Of a feature's standard deviation. Without a floor a column that the decoder gets exactly right, a
# constant one above all, would have an infinite likelihood.
FLOOR = 1e-3
_ONE = math.log(math.e - 1)  # softplus of it is 1
_LOG_TAU = math.log(2 * math.pi)


class Gaussian(Likelihood):
    """x_j ~ N(center_j + spread_j o_j, (spread_j s_j)^2) for the decoder's output o.

    center and spread are mean and standard deviation of the training rows, so that the encoder sees
    standardized numbers and log p is in the data's units. s_j = `FLOOR` + softplus(a_j), with a_j
    learned, is 1 + `FLOOR` at the start. The spread of a column of one value is 1, and none is
    smaller than what the center's dtype resolves.
    """

    title = "gaussian"
    takes = frozenset(Kind)

    center: Tensor
    spread: Tensor

    def __init__(self, data: DataDescription) -> None:
        super().__init__(data)
        self.raw_scale = nn.Parameter(torch.empty(data.size))
        self.register_buffer("center", torch.zeros(data.size))
        self.register_buffer("spread", torch.ones(data.size))

    def reset_parameters(self) -> None:
        """Every scale is that of the data."""
        nn.init.constant_(self.raw_scale, _ONE)

    def observe(self, train: Rows) -> None:
        mean, deviation, _ = statistics(train, self.data.size)
        resolved = torch.finfo(self.center.dtype).eps * mean.abs()
        spread = torch.where(deviation == 0, 1.0, deviation).maximum(resolved)
        self.center.copy_(mean)
        self.spread.copy_(spread.clamp(min=torch.finfo(self.spread.dtype).tiny))

    @property
    def outputs(self) -> int:
        return self.data.size

    @property
    def scale(self) -> Tensor:
        """[D], s, in units of the spread."""
        return FLOOR + functional.softplus(self.raw_scale)

    def encoder_input(self, x: Tensor) -> Tensor:
        """Standardized, in the wider of the dtypes of x and of the model."""
        return (x - self.center) / self.spread

    def log_prob(self, parameters: Tensor, x: Tensor) -> Tensor:
        scale = self.scale
        residual = (self.encoder_input(x).to(parameters.dtype) - parameters) / scale
        logs = (scale.log() + self.spread.log()).sum() + 0.5 * self.data.size * _LOG_TAU
        square: Tensor = torch.linalg.vecdot(residual, residual)
        return -0.5 * square - logs

    def mean(self, parameters: Tensor) -> Tensor:
        return self.center + self.spread * parameters

    def sample(self, parameters: Tensor, rng: Tensor) -> Tensor:
        samples, rows, numbers = parameters.shape
        noise = ops.normal(rng, samples, rows, numbers, dtype=parameters.dtype)
        return self.mean(parameters + self.scale * noise)
