"""hvae.model.convolutional: images of any shape."""

import pytest
import torch
from few import digits
from torch import nn

from hvae.description import DataDescription, Kind
from hvae.errors import Refused
from hvae.latent import Product, parse
from hvae.model import VAE, Bernoulli
from hvae.model.convolutional import Convolutional
from hvae.model.initial_weights import initialize
from hvae.training.step import Trainer

SHAPES = [(8, 8), (28, 28), (5, 7), (3, 32, 32), (1, 1, 9), (1, 13), (2, 6, 1), (1, 1)]


def build(shape, hidden=(4, 6, 10), outputs=None, covariates=()):
    data = DataDescription(shape, Kind.REAL, covariates)
    network = Convolutional.build(data, 5, outputs or data.size, hidden)
    for part in (network.encoder, network.decoder):
        initialize(part, 0)
    return network


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("hidden", [(4, 10), (4, 6, 10), (2, 3, 4, 5, 6, 7)])
def test_images_of_any_shape(shape, hidden):
    network = build(shape, hidden)
    size = DataDescription(shape, Kind.REAL).size
    assert network.encoder(torch.rand(3, size)).shape == (3, network.features)
    assert network.features == hidden[-1]
    assert network.decoder(torch.randn(4, 5)).shape == (4, size)
    assert network.encoder(torch.rand(0, size)).shape == (0, hidden[-1])


def test_the_encoder_sees_the_image():
    """Rows are flattened images, channel by channel; covariates go to the dense layer."""
    network = build((2, 6, 5), covariates=("a=b", "a=c"))
    x = torch.rand(3, 62)
    encoder = network.encoder
    features = encoder.convolutions(x[:, :60].reshape(3, 2, 6, 5))
    expected = torch.relu(encoder.dense(torch.cat([features, x[:, 60:]], 1)))
    assert torch.equal(encoder(x), expected)
    assert encoder.dense.in_features == 6 * 2 * 2 + 2


def test_the_decoder_gives_the_image():
    """A plane a channel, pixels in the order of the row."""
    network = build((2, 6, 5))
    z, decoder = torch.randn(3, 5), network.decoder
    planes = decoder.convolutions(decoder.dense(z).reshape(3, 6, 2, 2))
    assert planes.shape == (3, 2, 6, 5) and torch.equal(decoder(z), planes.flatten(1))


def test_several_numbers_of_a_pixel_stand_together():
    network = build((2, 6, 5), outputs=180)
    z, decoder = torch.randn(4, 5), network.decoder
    planes = decoder.convolutions(decoder.dense(z).reshape(4, 6, 2, 2))
    assert planes.shape == (4, 6, 6, 5)
    by_pixel = decoder(z).reshape(4, 2, 6, 5, 3)
    for channel in range(2):
        for number in range(3):
            plane = planes[:, 3 * channel + number]
            assert torch.equal(by_pixel[:, channel, :, :, number], plane)


def test_it_mirrors_itself():
    """Each transposed convolution gives the size that its convolution had."""
    network = build((3, 9, 6))
    sizes = []
    for part in (network.encoder, network.decoder):
        for layer in part.modules():
            if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
                layer.register_forward_hook(lambda _, x, y: sizes.append((x[0].shape, y.shape)))
    network.encoder(torch.rand(1, 162))
    network.decoder(torch.rand(1, 5))
    down, up = sizes[:2], sizes[2:]
    assert [tuple(y[1:]) for _, y in down] == [(4, 5, 3), (6, 3, 2)]
    assert [(y, x) for x, y in reversed(up)] == down


def test_parameters():
    """3 x 3 weights a pair of channels and a bias, dense layers at both ends."""
    network = build((28, 28), (4, 6, 10))
    parts = (network.encoder, network.decoder)
    count = [sum(p.numel() for p in part.parameters()) for part in parts]
    flat = 6 * 7 * 7
    assert count[0] == (9 * 1 + 1) * 4 + (9 * 4 + 1) * 6 + (flat + 1) * 10
    assert count[1] == 6 * 10 + 11 * flat + (9 * 6 * 4 + 4) + (9 * 4 * 1 + 1)


@pytest.mark.parametrize("shape", [(64,), (2, 2, 4, 4)])
def test_rows_that_are_no_images_are_refused(shape):
    with pytest.raises(Refused) as error:
        build(shape)
    assert str(error.value) == (
        f"--network: conv does not take rows of shape {'x'.join(map(str, shape))}; allowed: images,"
        " height x width or channels x height x width (--image-shape says what a row is)"
    )


def test_too_few_widths_are_refused():
    with pytest.raises(Refused) as error:
        build((8, 8), (16,))
    assert str(error.value) == (
        "--hidden: 16 is not allowed; allowed: for conv the channels of one convolution or more "
        "and the width of a dense layer"
    )


def test_outputs_that_are_not_as_many_for_each_pixel_are_refused():
    with pytest.raises(Refused) as error:
        build((8, 8), outputs=100)
    assert str(error.value) == (
        "--network: conv does not give 100 numbers for 64 pixels; allowed: a likelihood with as "
        "many for each pixel, or another network"
    )


def test_it_learns_the_digits():
    """The ELBO rises by more than 3 nats in 5 epochs."""
    latent = Product(parse("3,e2"))
    likelihood = Bernoulli(digits().description)
    network = Convolutional.build(likelihood.seen, 5, 64, (8, 16, 32))
    model = VAE(latent, network, likelihood)
    model.initialize(0)
    trainer = Trainer(model, 3e-3, 50)
    elbos = [trainer.epoch(digits().train, epoch)["elbo"] for epoch in range(1, 6)]
    assert elbos[-1] > elbos[0] + 3
