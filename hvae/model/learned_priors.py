"""Priors that are trained with the networks: mixtures over the whole latent space.

`mixture`: the components are parameters. `vamp`: they are the posteriors of learned pseudo-rows
(Tomczak and Welling 2018, "VAE with a VampPrior", equation 9). Weights are learned in both.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable

import torch
from torch import Tensor, nn

from hvae import random
from hvae.description import DataDescription, Kind
from hvae.latent import Mixture, Product

Encode = Callable[[Tensor], Tensor]

_INSIDE = 0.05  # how far a pseudo-row begins from 0 and 1, beyond which it has no gradient


class LearnedPrior(nn.Module, ABC):
    """C components and their weights.

    Args:
        space: the latent space.
        components: C, at least 1.
        seen: what the encoder sees of a row.

    Attributes:
        log_weights: parameter [C], normalised where they are used; 0 at the start.
    """

    def __init__(self, space: Product, components: int, seen: DataDescription) -> None:
        super().__init__()
        self.components = components
        self.seen = seen
        self.log_weights = nn.Parameter(torch.zeros(components))

    def on(self, space: Product, encode: Encode) -> Mixture:
        """The prior as it is now.

        Args:
            space: the latent space.
            encode: from what the encoder sees [C, seen.size] to raw parameters [C, raw_width].
        """
        return Mixture(space, self.raw(encode), self.log_weights)

    @abstractmethod
    def raw(self, encode: Encode) -> Tensor:
        """[C, raw_width], raw parameters of the components, with gradients."""

    def observe(self, seen: Tensor, seed: int) -> None:
        """Look at what the encoder sees of some training rows, [N, seen.size], before training."""

    @abstractmethod
    def reset_parameters(self) -> None:
        """Initial values, from torch's generator."""


class FreeMixture(LearnedPrior):
    """Raw parameters are standard normal at the start.

    Attributes:
        points: parameter [C, raw_width].
    """

    def __init__(self, space: Product, components: int, seen: DataDescription) -> None:
        super().__init__(space, components, seen)
        self.points = nn.Parameter(torch.zeros(components, space.raw_width))

    def raw(self, encode: Encode) -> Tensor:
        return self.points

    @torch.no_grad()
    def reset_parameters(self) -> None:
        self.log_weights.zero_()
        self.points.normal_()


class VampPrior(LearnedPrior):
    """Pseudo-rows are training rows at the start.

    Attributes:
        rows: parameter [C, seen.size], as the encoder sees rows; binary and unit-interval data are
            clamped to [0, 1].
    """

    def __init__(self, space: Product, components: int, seen: DataDescription) -> None:
        super().__init__(space, components, seen)
        self.rows = nn.Parameter(torch.zeros(components, seen.size))
        self.clamped = seen.kind in (Kind.BINARY, Kind.UNIT)

    def raw(self, encode: Encode) -> Tensor:
        return encode(self.rows.clamp(0, 1) if self.clamped else self.rows)

    @torch.no_grad()
    def observe(self, seen: Tensor, seed: int) -> None:
        generator = torch.Generator().manual_seed(random.seed_of(random.stream(seed, "prior")))
        chosen = torch.randint(len(seen), (self.components,), generator=generator)
        rows = seen[chosen].to(self.rows.dtype)
        if self.clamped:
            rows = _INSIDE + (1 - 2 * _INSIDE) * rows
        self.rows.copy_(rows)

    @torch.no_grad()
    def reset_parameters(self) -> None:
        self.log_weights.zero_()
        self.rows.uniform_(_INSIDE, 1 - _INSIDE)


PRIORS: dict[str, type[LearnedPrior] | None] = {
    "uniform": None,
    "mixture": FreeMixture,
    "vamp": VampPrior,
}
