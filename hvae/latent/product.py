"""The latent space: the product of the components of a list, computed family by family."""

import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from hvae.latent.component import ComponentFamily, Draw, LatentOptions, Posterior, Prior
from hvae.latent.grammar import Component
from hvae.latent.kinds import KINDS

if TYPE_CHECKING:
    Families = Sequence[ComponentFamily]


class Product(nn.Module):
    """The product of the components of a list.

    Draws, KL and concentrations come in the order of the list. A list that keeps every kind
    together, in the order of `hvae.latent.KINDS`, is stored in that order; any other costs an
    index_select.

    Args:
        components: those of the list.
        options: what the user chose for all of them.

    Attributes:
        size: m, the number of coordinates of z.
        raw_width: the number of outputs that the network gives: the raw parameters.
        radius: [m], what the decoder sees every coordinate multiplied by; None for 1.
    """

    order: Tensor
    coordinates: Tensor
    raw_owner: Tensor
    radius: Tensor | None

    def __init__(
        self, components: Sequence[Component], options: LatentOptions | None = None
    ) -> None:
        super().__init__()
        options = options or LatentOptions()
        self.components = tuple(components)
        self.size = sum(component.size for component in components)
        packed: list[int] = []
        families: list[ComponentFamily] = []
        for kind in self._kinds():
            members = [i for i, component in enumerate(components) if component.kind == kind]
            sizes = [components[i].size for i in members]
            families.append(KINDS[kind](sizes, len(packed), options))
            packed += members
        self.families: Families = nn.ModuleList(families)  # type: ignore[assignment]
        self.raw_sizes = [size for family in families for size in family.raw_sizes]
        self.raw_width = sum(self.raw_sizes)
        self._register_order(packed)

    def _kinds(self) -> list[str]:
        """Those that are there, in the order of the registry."""
        there = {component.kind for component in self.components}
        return [kind for kind in KINDS if kind in there]

    def _register_order(self, packed: Sequence[int]) -> None:
        """From the packed order of the families to the order of the list."""
        sizes = [self.components[i].size for i in packed]
        starts = list(itertools.accumulate(sizes, initial=0))
        order = sorted(range(len(packed)), key=packed.__getitem__)
        coordinates = [starts[i] + j for i in order for j in range(sizes[i])]
        listed = torch.tensor(packed)
        owners = [listed[family.first + family.raw_owner] for family in self.families]
        self.reordered = order != list(range(len(order)))
        self.register_buffer("order", torch.tensor(order), persistent=False)
        self.register_buffer("coordinates", torch.tensor(coordinates), persistent=False)
        self.register_buffer("raw_owner", torch.cat(owners), persistent=False)
        radii = [radius for family in self.families for radius in family.radii()]
        radius = torch.tensor([radii[i] for i in coordinates]) if set(radii) != {1.0} else None
        self.register_buffer("radius", radius, persistent=False)

    def posterior(self, raw: Tensor) -> "ProductPosterior":
        """q(z | x) from the network's output.

        Args:
            raw: [R, raw_width].
        """
        # One op for all, so that backward is one too; the parts are views.
        parts = self._by_family(raw.split(self.raw_sizes, -1))
        return ProductPosterior(
            self, raw, [f.posterior(part) for f, part in zip(self.families, parts, strict=True)]
        )

    @property
    def prior(self) -> "ProductPrior":
        """p(z)."""
        return ProductPrior(self)

    def features(self, z: Tensor) -> Tensor:
        """Statistics [..., f] of points z [..., m], in which `ratios` are linear.

        Raises:
            Refused: a family has no distributions for a mixture.
        """
        points = zip(self.families, self.split_points(z), strict=True)
        return torch.cat([family.features(part) for family, part in points], -1)

    def ratios(self, raw: Sequence[Tensor]) -> list[tuple[Tensor, Tensor]]:
        """`ComponentFamily.ratio` of every family, from parts [C, size] of `raw_sizes`."""
        return [
            family.ratio(part)
            for family, part in zip(self.families, self._by_family(raw), strict=True)
        ]

    def members(self, raw: Tensor) -> "ProductPosterior":
        """The distributions of which `ratios` has the densities, of raw parameters [R, raw_width].

        Their concentrations and precisions are bounded, unlike those of `posterior`.
        """
        parts = self._by_family(raw.split(self.raw_sizes, -1))
        return ProductPosterior(
            self, raw, [f.members(part) for f, part in zip(self.families, parts, strict=True)]
        )

    def _by_family(self, raw: Sequence[Tensor]) -> list[list[Tensor]]:
        """The parts of raw parameters that belong to every family."""
        parts = iter(raw)
        return [[next(parts) for _ in family.raw_sizes] for family in self.families]

    def to_decoder(self, z: Tensor) -> Tensor:
        """What the decoder sees of points z [..., m], in the order of the list."""
        return z if self.radius is None else z * self.radius

    def initialize(self, weight: Tensor, bias: Tensor) -> None:
        """Let every family change the weights [raw_width, features] and biases [raw_width]."""
        widths = [sum(family.raw_sizes) for family in self.families]
        parts = zip(self.families, weight.split(widths), bias.split(widths), strict=True)
        for family, rows, offsets in parts:
            family.initialize(rows, offsets)

    def owners_of(self, columns: Tensor) -> Tensor:
        """bool [n]: the components that own a marked raw number; columns: bool [raw_width]."""
        marked = torch.zeros(len(self.components), dtype=torch.bool, device=columns.device)
        marked[self.raw_owner[columns]] = True
        return marked

    def join_points(self, parts: Sequence[Tensor]) -> Tensor:
        """[..., m] in the order of the list, from the points of every family."""
        return self._joined(parts, self.coordinates)

    def join_columns(self, parts: Sequence[Tensor]) -> Tensor:
        """[..., n] in the order of the list, from a column a component of every family."""
        return self._joined(parts, self.order)

    def split_points(self, z: Tensor) -> list[Tensor]:
        """The points of every family, from points [..., m] in the order of the list."""
        if self.reordered:
            z = z.index_select(-1, self.coordinates.argsort())
        return list(z.split([sum(family.sizes) for family in self.families], -1))

    def _joined(self, parts: Sequence[Tensor], order: Tensor) -> Tensor:
        if len(parts) == 1:
            return parts[0]
        packed = torch.cat(list(parts), -1)
        return packed.index_select(-1, order) if self.reordered else packed


class ProductPosterior(Posterior):
    """q(z | x) of R rows on a product.

    Args:
        space: the latent space.
        raw: [R, raw_width], the network's output.
        parts: the posterior of every family, one of `space.families` each.
    """

    def __init__(self, space: Product, raw: Tensor, parts: Sequence[Posterior]) -> None:
        self.space = space
        self.raw = raw
        self.parts = list(parts)

    def __len__(self) -> int:
        return len(self.raw)

    def __getitem__(self, rows: slice) -> "ProductPosterior":
        """That of some of the rows."""
        return self.space.posterior(self.raw[rows])

    @property
    def concentration(self) -> Tensor:
        """[R, n]: a shell's kappa; a Gaussian component's precision, averaged over coordinates."""
        return self.space.join_columns([part.concentration for part in self.parts])

    def mode(self) -> Tensor:
        return self.space.join_points([part.mode() for part in self.parts])

    def draw(self, rng: Tensor, samples: int = 1, with_log_weights: bool = False) -> Draw:
        draws = [part.draw(rng, samples, with_log_weights) for part in self.parts]
        if len(draws) == 1:
            return draws[0]
        z = self.space.join_points([draw.z for draw in draws])
        kl = self.space.join_columns([draw.kl for draw in draws])
        log_weights = [draw.log_weight for draw in draws if draw.log_weight is not None]
        scores = [draw.score for draw in draws if draw.score is not None]
        return Draw(z, kl, _sum(log_weights), _sum(scores), self._sampled_kl(draws))

    def _sampled_kl(self, draws: Sequence[Draw]) -> Tensor | None:
        """That of all families, 0 for those that have none; None if none has any."""
        if all(draw.sampled_kl is None for draw in draws):
            return None
        nothing = [draw.kl.new_zeros(len(draw.z), *draw.kl.shape) for draw in draws]
        parts = [draw.sampled_kl for draw in draws]
        return self.space.join_columns(
            [none if part is None else part for part, none in zip(parts, nothing, strict=True)]
        )


class ProductPrior(Prior):
    """p(z) on a product."""

    def __init__(self, space: Product) -> None:
        self.space = space
        self.parts = [family.prior for family in space.families]

    def sample(
        self, rng: Tensor, samples: int, rows: int, dtype: torch.dtype = torch.float32
    ) -> Tensor:
        return self.space.join_points(
            [part.sample(rng, samples, rows, dtype) for part in self.parts]
        )

    def log_prob(self, z: Tensor) -> Tensor:
        points = self.space.split_points(z)
        parts = zip(self.parts, points, strict=True)
        return torch.stack([part.log_prob(point) for part, point in parts]).sum(0)


def _sum(parts: Sequence[Tensor]) -> Tensor | None:
    """The sum of what is there, in order; None of nothing."""
    return sum(parts[1:], start=parts[0]) if parts else None
