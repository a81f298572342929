"""Convolutions of stride 2 and their transposes, for images of any shape."""

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from hvae.description import DataDescription
from hvae.errors import Refused, refused_option
from hvae.model.linear import Linear
from hvae.model.network import Network

_ALLOWED = "for conv the channels of one convolution or more and the width of a dense layer"


class Convolutional(Network):
    """Widths: the channels of each 3 x 3 convolution of stride 2, then the width of a dense layer.

    The decoder mirrors the encoder. Images are [height, width] or [channels, height, width], of any
    size: a convolution halves height and width, rounded up.
    """

    title = "convolutions, for images"
    widths = (32, 64, 256)

    @classmethod
    def build(
        cls, data: DataDescription, latent_size: int, outputs: int, hidden: Sequence[int]
    ) -> "Convolutional":
        if len(data.shape) not in (2, 3):
            shape = "x".join(map(str, data.shape))
            raise Refused(
                f"--network: conv does not take rows of shape {shape}; allowed: images, height x "
                "width or channels x height x width (--image-shape says what a row is)"
            )
        if len(hidden) < 2:
            raise refused_option("hidden", hidden[0], _ALLOWED)
        image = data.shape if len(data.shape) == 3 else (1, *data.shape)
        *channels, dense = hidden
        encoder = _Encoder(image, channels, dense, len(data.covariates))
        return cls(encoder, dense, _Decoder(image, channels, dense, latent_size, outputs))


class _Encoder(nn.Module):
    """Rows [R, pixels + covariates] to features [R, dense]."""

    def __init__(
        self, image: Sequence[int], channels: Sequence[int], dense: int, covariates: int
    ) -> None:
        super().__init__()
        self.image = tuple(image)
        self.pixels = math.prod(image)
        layers: list[nn.Module] = []
        for inputs, outputs in pairwise([image[0], *channels]):
            layers += [nn.Conv2d(inputs, outputs, 3, stride=2, padding=1), nn.ReLU(inplace=True)]
        self.convolutions = nn.Sequential(*layers, nn.Flatten())
        height, width = _sizes(image, len(channels))[-1]
        self.dense = Linear(channels[-1] * height * width + covariates, dense)

    def forward(self, x: Tensor) -> Tensor:
        images = x[:, : self.pixels].unflatten(1, self.image)
        features = torch.cat([self.convolutions(images), x[:, self.pixels :]], 1)
        dense: Tensor = self.dense(features)
        return dense.relu_()


class _Decoder(nn.Module):
    """Points [N, m] to parameters [N, outputs], as many for every pixel, which stand together."""

    def __init__(
        self,
        image: Sequence[int],
        channels: Sequence[int],
        dense: int,
        latent_size: int,
        outputs: int,
    ) -> None:
        super().__init__()
        pixels = math.prod(image)
        if outputs % pixels:
            raise Refused(
                f"--network: conv does not give {outputs} numbers for {pixels} pixels; allowed: a "
                "likelihood with as many for each pixel, or another network"
            )
        sizes = _sizes(image, len(channels))
        self.start = (channels[-1], *sizes[-1])
        self.dense = nn.Sequential(
            Linear(latent_size, dense),
            nn.ReLU(inplace=True),
            Linear(dense, math.prod(self.start)),
            nn.ReLU(inplace=True),
        )
        layers: list[nn.Module] = []
        self.of_pixel = (image[0], outputs // pixels)
        widths = pairwise([*reversed(channels), math.prod(self.of_pixel)])
        growth = pairwise(reversed(sizes))
        for (inputs, given), (small, large) in zip(widths, growth, strict=True):
            more = (large[0] - 2 * small[0] + 1, large[1] - 2 * small[1] + 1)
            layers += [
                nn.ConvTranspose2d(inputs, given, 3, stride=2, padding=1, output_padding=more),
                nn.ReLU(inplace=True),
            ]
        self.convolutions = nn.Sequential(*layers[:-1])

    def forward(self, z: Tensor) -> Tensor:
        planes: Tensor = self.convolutions(self.dense(z).unflatten(-1, self.start))
        pixels: Tensor = planes.unflatten(1, self.of_pixel).movedim(2, -1)
        return pixels.flatten(1)


def _sizes(image: Sequence[int], count: int) -> list[tuple[int, int]]:
    """Height and width before and after each of `count` convolutions: half, rounded up."""
    sizes = [(image[1], image[2])]
    for _ in range(count):
        height, width = sizes[-1]
        sizes.append((-(-height // 2), -(-width // 2)))
    return sizes
