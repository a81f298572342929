"""Shells whose posterior is another distribution that is symmetric around a mean direction.

What such kinds share: their raw parameters and prior are those of von Mises-Fisher shells, and all
shells of one width are one tensor [R, n, m].
"""

import itertools
from abc import abstractmethod
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from hvae.distributions.packed import log_area
from hvae.distributions.rotational import RotationallySymmetric
from hvae.latent.component import ComponentFamily, Draw, LatentOptions
from hvae.latent.sphere import Spheres, VonMisesFisherShells


class SymmetricSpheres(Spheres):
    """Raw parameters: raw mean directions [R, sum of m] and raw concentrations [R, S].

    A concentration kappa is that of `Spheres`, and a posterior has the curvature of a von
    Mises-Fisher distribution of that kappa at its mode: -kappa is the second derivative of its log
    density along the sphere. So `--parameterization` means the same for every kind of shell, and
    `--kappa-grad` nothing for these, whose gradients are unbiased without it.
    """

    shells_by_width: Tensor
    shells_in_order: Tensor
    columns_by_width: Tensor
    columns_in_order: Tensor

    def __init__(self, sizes: Sequence[int], first: int, options: LatentOptions) -> None:
        super().__init__(sizes, first, options)
        self.widths = sorted(set(sizes))
        grouped = [i for m in self.widths for i, size in enumerate(sizes) if size == m]
        starts = list(itertools.accumulate(sizes, initial=0))
        columns = [j for i in grouped for j in range(starts[i], starts[i] + sizes[i])]
        for name, places in (("shells", grouped), ("columns", columns)):
            back = sorted(range(len(places)), key=places.__getitem__)
            self.register_buffer(f"{name}_by_width", torch.tensor(places), persistent=False)
            self.register_buffer(f"{name}_in_order", torch.tensor(back), persistent=False)

    def posterior(self, raw: Sequence[Tensor]) -> "SymmetricShells":
        raw_direction, raw_concentration = raw
        return SymmetricShells(self, raw_direction, self.kappa(raw_concentration, self.m))

    @abstractmethod
    def distribution(self, mean: Tensor, kappa: Tensor) -> RotationallySymmetric:
        """The posterior of shells of one width, from mean directions [R, n, m] and kappa [R, n]."""

    @abstractmethod
    def numbers(self, kappa: Tensor, rng: Tensor, samples: int) -> tuple[Tensor, Tensor]:
        """What `placed` makes draws of, for all shells in one launch: [K, R, sum of m], [K, R, S].

        Args:
            kappa: [R, S].
            rng, samples: as in `Posterior.draw`.
        """

    @abstractmethod
    def placed(self, q: RotationallySymmetric, x: Tensor, y: Tensor) -> Tensor:
        """Draws [K, R, n, m] of shells of one width from their numbers [K, R, n, m], [K, R, n]."""

    @classmethod
    def auto_kl_weights(cls, sizes: Sequence[int]) -> list[float]:
        """1: the ELBO."""
        return [1.0] * len(sizes)

    def features(self, z: Tensor) -> Tensor:
        return ComponentFamily.features(self, z)

    def ratio(self, raw: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        return ComponentFamily.ratio(self, raw)

    def members(self, raw: Sequence[Tensor]) -> VonMisesFisherShells:
        raise self._no_mixture()

    def by_width(self, x: Tensor) -> Iterator[Tensor]:
        """[..., sum of m] or [..., S] as [..., n, m] or [..., n] of each width, in ascending order.

        Nothing is copied where there is one width.
        """
        packed = x.shape[-1] == sum(self.dims)
        if len(self.widths) > 1:
            x = x.index_select(-1, self.columns_by_width if packed else self.shells_by_width)
        counts = [self.dims.count(m) for m in self.widths]
        sizes = [n * m for n, m in zip(counts, self.widths, strict=True)] if packed else counts
        for part, m in zip(x.split(sizes, -1), self.widths, strict=True):
            yield part.unflatten(-1, (-1, m)) if packed else part

    def joined(self, points: Sequence[Tensor]) -> Tensor:
        """[..., sum of m], in the order of the shells, from [..., n, m] of each width."""
        packed = torch.cat([x.flatten(-2) for x in points], -1)
        return packed if len(points) == 1 else packed.index_select(-1, self.columns_in_order)

    def in_order(self, numbers: Sequence[Tensor]) -> Tensor:
        """[..., S], in the order of the shells, from [..., n] of each width."""
        each = torch.cat(list(numbers), -1)
        return each if len(numbers) == 1 else each.index_select(-1, self.shells_in_order)


class SymmetricShells(VonMisesFisherShells):
    """A distribution that is symmetric around a mean direction on each of S shells."""

    family: SymmetricSpheres

    def draw(self, rng: Tensor, samples: int = 1, with_log_weights: bool = False) -> Draw:
        family = self.family
        packed = self.raw_direction, self.kappa, *family.numbers(self.kappa, rng, samples)
        points, divergences, log_weight = [], [], None
        for raw, kappa, x, y in zip(*map(family.by_width, packed), strict=True):
            q = family.distribution(unit(raw), kappa)
            points.append(family.placed(q, x, y))
            divergences.append(q.kl_to_uniform())
            if with_log_weights:
                log_q = q.log_prob(points[-1]).sum(-1)
                log_weight = -log_q if log_weight is None else log_weight - log_q
        if log_weight is not None:
            log_weight = log_weight - log_area(family.dims)
        return Draw(family.joined(points), family.in_order(divergences), log_weight)


def unit(raw: Tensor) -> Tensor:
    """raw [..., m] over its length, whatever that is; e_1 for zeros."""
    largest = raw.detach().abs().amax(-1, keepdim=True)
    first = (torch.arange(raw.shape[-1], device=raw.device) == 0).to(raw.dtype)
    scaled = torch.where(largest > 0, raw / torch.where(largest > 0, largest, 1), first)
    return scaled / scaled.square().sum(-1, keepdim=True).sqrt()
