"""A convolution of stride 2 in the encoder, fully connected layers in the decoder."""

from torch import nn

from hvae.errors import Refused
from hvae.model import Network
from hvae.model.mlp import perceptron

CHANNELS = 8


class OneConvolution(Network):
    """For images [height, width]; the decoder's hidden widths are those of `--hidden`, reversed."""

    title = "one convolution"

    @classmethod
    def build(cls, data, latent_size, outputs, hidden):
        if len(data.shape) != 2:
            raise Refused("--network: one-convolution takes images; allowed: height x width")
        height, width = data.shape
        encoder = nn.Sequential(
            nn.Unflatten(1, (1, height, width)),
            nn.Conv2d(1, CHANNELS, 3, stride=2, padding=1),
            nn.ReLU(),
            nn.Flatten(),
        )
        features = CHANNELS * -(-height // 2) * -(-width // 2)
        return cls(encoder, features, perceptron([latent_size, *reversed(hidden), outputs]))
