"""Parts such as another package may offer: a latent component, a likelihood and networks."""

import math

import torch
from torch import nn

from hvae import ops
from hvae.description import DataDescription, Kind
from hvae.errors import Refused
from hvae.latent.component import Draw
from hvae.latent.euclidean import DiagonalGaussian, Euclidean
from hvae.model import Likelihood, Network


class EstimatedGaussian(Euclidean):
    """A Gaussian component whose KL is an estimate from its draws, with a start of its own."""

    title = "a Gaussian component with an estimated KL"
    least = 2

    def posterior(self, raw):
        return _Estimated(self, *raw)

    @classmethod
    def auto_kl_weights(cls, sizes):
        return [1 / size for size in sizes]

    def radii(self):
        return [float(size) for size in self.sizes for _ in range(size)]

    def initialize(self, weight, bias):
        """Means of 1 and variances of exp(-2), whatever the row of data."""
        m = sum(self.sizes)
        weight.zero_()
        bias[:m], bias[m:] = 1.0, -2.0


class _Estimated(DiagonalGaussian):
    def draw(self, rng, samples=1, with_log_weights=False):
        """The KL of a component is the mean over these samples of its log q(z | x) - log p(z)."""
        z, _, log_weight, *_ = super().draw(rng, samples, with_log_weights)
        standard = (z - self.mean).square() / self.log_variance.exp()
        terms = (z.square() - standard - self.log_variance) @ self.family.halves
        return Draw(z, terms.mean(0), log_weight)


class Gaussian(Likelihood):
    """Numbers with one standard deviation for all, which is trained."""

    title = "gaussian"
    takes = frozenset({Kind.REAL, Kind.UNIT})

    def __init__(self, data):
        super().__init__(data)
        self.log_deviation = nn.Parameter(torch.zeros(()))

    @property
    def outputs(self):
        return self.data.size

    def encoder_input(self, x):
        return x

    def log_prob(self, parameters, x):
        z = (x - parameters) * (-self.log_deviation).exp()
        constant = self.log_deviation + 0.5 * math.log(2 * math.pi)
        return (-0.5 * z.square() - constant).sum(-1)

    def mean(self, parameters):
        return parameters

    def sample(self, parameters, rng):
        noise = ops.normal(rng, *parameters.shape, dtype=parameters.dtype)
        return parameters + self.log_deviation.exp() * noise


class Convolutions(Network):
    """Convolutions with batch normalization, for images of 8 x 8."""

    title = "convolutions"

    @classmethod
    def build(cls, data, latent_size, outputs, hidden):
        if data.shape != (8, 8):
            shape = " x ".join(map(str, data.shape))
            raise Refused(f"--network: convolutional on {shape}; allowed: images of 8 x 8")
        encoder = nn.Sequential(
            nn.Unflatten(1, (1, 8, 8)),
            nn.Conv2d(1, 3, 4, stride=2, padding=1),
            nn.BatchNorm2d(3),
            nn.ReLU(),
            nn.Conv2d(3, 5, 4, stride=2, padding=1),
            nn.ReLU(inplace=True),
            nn.Flatten(),
        )
        decoder = nn.Sequential(
            nn.Linear(latent_size, 20),
            nn.ReLU(inplace=True),
            nn.Unflatten(1, (5, 2, 2)),
            nn.ConvTranspose2d(5, 3, 4, stride=2, padding=1),
            nn.BatchNorm2d(3),
            nn.ReLU(),
            nn.ConvTranspose2d(3, outputs // 64, 4, stride=2, padding=1),
            nn.Flatten(),
        )
        return cls(encoder, 20, decoder)


def convolutions(latent_size):
    """`Convolutions` of the embedded digits for a Bernoulli likelihood."""
    return Convolutions.build(DataDescription((8, 8), Kind.BINARY), latent_size, 64, ())
