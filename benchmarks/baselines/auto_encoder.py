"""The variational auto-encoder on von Mises-Fisher shells as one writes it in plain torch."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from .von_mises_fisher import VonMisesFisher


class AutoEncoder(nn.Module):
    """ReLU networks, a loop over shells with uniform priors, Bernoulli pixels.

    The parameterization is the paper's (Davidson et al. 2019): kappa = softplus(raw) + 1, and a
    decoder that sees unit vectors.

    Args:
        pixels: D, inputs of the encoder and outputs of the decoder.
        dims: ambient dimension of each shell.
        hidden: widths of the encoder's layers; the decoder has them in reverse.
    """

    def __init__(self, pixels: int, dims: Sequence[int], hidden: Sequence[int]) -> None:
        super().__init__()
        self.dims = list(dims)
        self.encoder = nn.Sequential(_layers([pixels, *hidden]), nn.ReLU())
        self.direction = nn.Linear(hidden[-1], sum(dims))
        self.concentration = nn.Linear(hidden[-1], len(dims))
        self.decoder = _layers([sum(dims), *reversed(hidden), pixels])

    def posteriors(self, images: Tensor) -> list[VonMisesFisher]:
        """One for each shell of images [R, D], floating point."""
        features = self.encoder(images)
        kappa = functional.softplus(self.concentration(features)) + 1
        directions = self.direction(features).split(self.dims, -1)
        return [
            VonMisesFisher(raw / raw.norm(dim=-1, keepdim=True), kappa[:, shell, None])
            for shell, raw in enumerate(directions)
        ]

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """The parts of the ELBO of images [R, D], uint8 or floating point, with one draw of each.

        Returns:
            [R], log p(x | z), and [R, shells], the KL of each posterior from the uniform; nats.
        """
        target = images.to(self.direction.weight.dtype)
        posteriors = self.posteriors(target)
        logits = self.decoder(torch.cat([posterior.rsample() for posterior in posteriors], -1))
        error = functional.binary_cross_entropy_with_logits(logits, target, reduction="none")
        kl = torch.cat([posterior.kl_uniform() for posterior in posteriors], -1)
        return -error.sum(-1), kl


def _layers(widths: Sequence[int]) -> nn.Sequential:
    """Linear layers with ReLU between."""
    modules: list[nn.Module] = []
    for inputs, outputs in zip(widths[:-1], widths[1:], strict=True):
        modules += [nn.Linear(inputs, outputs), nn.ReLU()]
    return nn.Sequential(*modules[:-1])
