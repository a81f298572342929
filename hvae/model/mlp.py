"""Multilayer perceptrons with ReLU."""

from collections.abc import Sequence
from itertools import pairwise

from torch import nn

from hvae.description import DataDescription
from hvae.model.linear import Linear
from hvae.model.network import Network


def perceptron(widths: Sequence[int]) -> nn.Sequential:
    """Linear layers with ReLU between."""
    modules: list[nn.Module] = []
    for inputs, outputs in pairwise(widths):
        modules += [Linear(inputs, outputs), nn.ReLU(inplace=True)]
    return nn.Sequential(*modules[:-1])


class MLP(Network):
    """The encoder has the hidden widths, the decoder has them in reverse."""

    title = "fully connected layers with ReLU"

    @classmethod
    def build(
        cls, data: DataDescription, latent_size: int, outputs: int, hidden: Sequence[int]
    ) -> "MLP":
        encoder = perceptron([data.width, *hidden])
        encoder.append(nn.ReLU(inplace=True))
        return cls(encoder, hidden[-1], perceptron([latent_size, *reversed(hidden), outputs]))
