"""The variational auto-encoder: an MLP to the posteriors of a latent space, and an MLP back."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from hvae import ops, random
from hvae.config import TrainConfig
from hvae.latent import Product
from hvae.shells import Shell, parse


class Terms(NamedTuple):
    """The parts of the ELBO of R images with K samples, and what an importance weight adds.

    Attributes:
        log_likelihood: [K, R], log p(x | z) in nats.
        kl: [R, n], nats, a column a component.
        log_weight: [K, R], log p(z) - log q(z | x), or None.
        score: [K, R], as in `hvae.latent.Draw`, or None.
    """

    log_likelihood: Tensor
    kl: Tensor
    log_weight: Tensor | None
    score: Tensor | None


class VAE(nn.Module):
    """Bernoulli pixels, ReLU networks, a product latent space.

    One linear layer gives all heads, whose views go to the kernels without a copy.

    Args:
        pixels: D, inputs of the encoder and outputs of the decoder.
        shells: the components of the latent space.
        hidden: widths of the encoder's layers; the decoder has them in reverse.
        parameterization, kappa_grad: see `hvae.latent.Product`.

    The weights are not set: call `initialize` or load a state.
    """

    def __init__(
        self,
        pixels: int,
        shells: Sequence[Shell],
        hidden: Sequence[int] = (256, 128),
        parameterization: str = "exponential",
        kappa_grad: str = "implicit",
    ) -> None:
        super().__init__()
        self.pixels = pixels
        self.latent = Product(shells, parameterization, kappa_grad)
        self.encoder = _layers([pixels, *hidden])
        self.encoder.append(nn.ReLU(inplace=True))
        self.head = _linear(hidden[-1], self.latent.heads)
        self.decoder = _layers([self.latent.size, *reversed(hidden), pixels])

    @classmethod
    def like(cls, config: TrainConfig, pixels: int) -> "VAE":
        """The network that a configuration describes, for images of so many pixels."""
        shells = parse(config.shells)
        return cls(pixels, shells, config.hidden, config.parameterization, config.kappa_grad)

    @torch.no_grad()
    def initialize(self, seed: int) -> None:
        """Weights and biases uniform on +-1/sqrt(fan in), torch's own choice for a linear layer.

        Layer i draws from the stream (seed, "weights", step=i); a row's last number is its bias.
        """
        linear = [module for module in self.modules() if isinstance(module, nn.Linear)]
        for step, layer in enumerate(linear):
            rng = random.stream(seed, "weights", step=step, device=layer.weight.device)
            shape = (layer.out_features, layer.in_features + 1)
            uniform = ops.uniform(rng, 1, *shape, dtype=layer.weight.dtype)[0]
            drawn = (2 * uniform - 1) / math.sqrt(layer.in_features)
            layer.weight.copy_(drawn[:, :-1])
            layer.bias.copy_(drawn[:, -1])

    def encode(self, images: Tensor) -> Tensor:
        """The head [R, heads] of images [R, D] (0/1, uint8 or floating point)."""
        return self.head(self.encoder(images.to(self.head.weight.dtype)))

    def decode(self, z: Tensor) -> Tensor:
        """Logits [..., D] of latent points [..., m], whose shells have length 1; the decoder sees
        them on spheres of the parameterization's radius.
        """
        radius = self.latent.radius
        return self.decoder(z if radius is None else z * radius)

    def terms(
        self, head: Tensor, images: Tensor, rng: Tensor, samples: int = 1, weigh: bool = False
    ) -> Terms:
        """The parts of the ELBO.

        Args:
            head: [R, heads], what `encode` gave for the images.
            images: [R, D], uint8 or the model's dtype.
            rng: the stream of the draws.
            samples: K.
            weigh: whether to compute the log weights.
        """
        z, kl, log_weight, score = self.latent.draw(head, rng, samples, weigh)
        logits = self.decode(z.flatten(0, 1)).unflatten(0, (samples, len(images)))
        return Terms(ops.bernoulli_log_prob(logits, images), kl, log_weight, score)


def _linear(inputs: int, outputs: int) -> nn.Linear:
    """A layer without torch's initialization, which would draw from the global generator."""
    return nn.Linear(inputs, outputs, device="meta").to_empty(device=torch.get_default_device())


def _layers(widths: Sequence[int]) -> nn.Sequential:
    """Linear layers with ReLU between."""
    modules: list[nn.Module] = []
    for inputs, outputs in zip(widths[:-1], widths[1:], strict=True):
        modules += [_linear(inputs, outputs), nn.ReLU(inplace=True)]
    return nn.Sequential(*modules[:-1])
