"""Gaussian numbers of variance 1: the decoder gives the means."""

import math

from hvae import ops
from hvae.description import Kind
from hvae.model import Likelihood


class UnitGaussian(Likelihood):
    """x_j ~ N(o_j, 1) for the decoder's output o."""

    title = "unit-gaussian"
    takes = frozenset({Kind.BINARY, Kind.UNIT, Kind.REAL})

    @property
    def outputs(self):
        return self.data.size

    def encoder_input(self, x):
        return x

    def log_prob(self, parameters, x):
        square = (x - parameters).square().sum(-1)
        return -0.5 * (square + self.data.size * math.log(2 * math.pi))

    def mean(self, parameters):
        return parameters

    def sample(self, parameters, rng):
        return parameters + ops.normal(rng, *parameters.shape, dtype=parameters.dtype)
