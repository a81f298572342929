"""Gated layers, linear * sigmoid(linear) (Dauphin, Fan, Auli, Grangier 2017).

Two of 300 are what the auto-encoders of Tomczak, Welling (2018) have.
"""

from collections.abc import Sequence
from itertools import pairwise

from torch import nn

from hvae.description import DataDescription
from hvae.model.linear import Linear
from hvae.model.network import Network


def gated_layers(widths: Sequence[int]) -> nn.Sequential:
    """Gated layers of these widths; value and gate of a layer are one matrix product."""
    modules: list[nn.Module] = []
    for inputs, outputs in pairwise(widths):
        modules += [Linear(inputs, 2 * outputs), nn.GLU(-1)]
    return nn.Sequential(*modules)


class Gated(Network):
    """The encoder has the widths, the decoder has them in reverse and then a linear layer."""

    title = "fully connected gated layers"
    widths = (300, 300)

    @classmethod
    def build(
        cls, data: DataDescription, latent_size: int, outputs: int, hidden: Sequence[int]
    ) -> "Gated":
        decoder = gated_layers([latent_size, *reversed(hidden)])
        decoder.append(Linear(hidden[0], outputs))
        return cls(gated_layers([data.width, *hidden]), hidden[-1], decoder)
