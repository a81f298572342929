"""hvae.model.gated: linear * sigmoid(linear)."""

import torch
from torch import nn

from hvae.description import DataDescription, Kind
from hvae.model.gated import Gated
from hvae.model.initial_weights import initialize


def gated_by_hand(layer, x):
    """The first half of a layer's outputs times the sigmoid of the second."""
    value, gate = layer.weight.chunk(2)
    value_bias, gate_bias = layer.bias.chunk(2)
    return (x @ value.T + value_bias) * torch.sigmoid(x @ gate.T + gate_bias)


def network(hidden):
    one = Gated.build(DataDescription((2, 3), Kind.REAL, ("a=b",)), 5, 11, hidden)
    for part in (one.encoder, one.decoder):
        part.double()
        initialize(part, 3)
    return one


def test_a_layer_is_a_product_of_two_linear_ones():
    """To 16 roundings of sums of at most 8 terms below 4."""
    one, generator = network((8, 4)), torch.Generator().manual_seed(0)
    x = torch.randn(6, 7, dtype=torch.float64, generator=generator)
    z = torch.randn(6, 5, dtype=torch.float64, generator=generator)
    first, _, second, _ = one.encoder
    expected = gated_by_hand(second, gated_by_hand(first, x))
    torch.testing.assert_close(one.encoder(x), expected, rtol=0, atol=32 * 16 * 2.0**-52)
    first, _, second, _, last = one.decoder
    expected = gated_by_hand(second, gated_by_hand(first, z)) @ last.weight.T + last.bias
    torch.testing.assert_close(one.decoder(z), expected, rtol=0, atol=32 * 16 * 2.0**-52)


def test_the_decoder_mirrors_the_encoder():
    one = network((8, 4))
    shapes = [
        [(layer.in_features, layer.out_features) for layer in part if isinstance(layer, nn.Linear)]
        for part in (one.encoder, one.decoder)
    ]
    assert shapes == [[(7, 16), (8, 8)], [(5, 8), (4, 16), (8, 11)]]
    assert one.features == 4


def test_parameters():
    one = network((8, 4))
    count = sum(p.numel() for part in (one.encoder, one.decoder) for p in part.parameters())
    assert count == (7 + 1) * 16 + (8 + 1) * 8 + (5 + 1) * 8 + (4 + 1) * 16 + (8 + 1) * 11
