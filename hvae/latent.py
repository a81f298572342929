"""Latent spaces: products of components, each with a posterior, a prior and the KL between them.

All components of one kind form a family and go through the kernels packed: no loop runs over
shells. The protocol of a family, for R rows (images), K samples and n components with m
coordinates in all:

    kind                           the row of `hvae.shells.KINDS` that it serves
    head_sizes                     how many outputs of the network each of its heads takes
    owner                          for each of those outputs, the component that it belongs to
    radii                          for each coordinate, what the decoder sees it multiplied by
    draw(heads, rng, samples, weigh) -> Draw
    location(heads) -> [R, m]      the posterior's mode
    concentration(heads) -> [R, n]
    prior(rng, samples, rows, dtype) -> [K, R, m]

Another topology is one such class in `FAMILIES` and one row in the parser's table.
"""

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from hvae import ops
from hvae.score import surrogate
from hvae.shells import EUCLIDEAN, SPHERE, Shell


class Draw(NamedTuple):
    """Posterior samples.

    Attributes:
        z: [K, R, m], with gradients.
        kl: [R, n], the KL of each component's posterior from its prior in nats, with gradients.
        log_weight: [K, R], log p(z) - log q(z | x); None unless asked for.
        score: [K, R], zeros whose gradient is that of log q of the random numbers behind z, None
            where they depend on no weight: E[f(z)] has the gradient of the mean of
            f(z) + (f(z) - baseline) score, with f(z) - baseline held fixed in the second term.
    """

    z: Tensor
    kl: Tensor
    log_weight: Tensor | None
    score: Tensor | None = None


class Parameterization(NamedTuple):
    """How a head becomes a concentration, and how large the decoder sees a sphere.

    Attributes:
        kappa: (raw [R, S], m [S]) -> kappa [R, S].
        radius: m -> the radius of S^{m-1} before the decoder.
    """

    kappa: Callable[[Tensor, Tensor], Tensor]
    radius: Callable[[int], float]


def _exponential(raw: Tensor, m: Tensor) -> Tensor:
    return (0.5 * raw).exp() * m


def _scaled(raw: Tensor, m: Tensor) -> Tensor:
    return functional.softplus(raw) * (4.0 * m) + 0.01


def _paper(raw: Tensor, m: Tensor) -> Tensor:
    return functional.softplus(raw).add_(1.0)


# A radius of sqrt(m) gives every coordinate unit variance under the prior, as a Gaussian's.
# What was measured with each: results/expressivity.
PARAMETERIZATIONS = {
    "exponential": Parameterization(_exponential, math.sqrt),
    "scaled": Parameterization(_scaled, math.sqrt),
    "paper": Parameterization(_paper, lambda m: 1.0),
}


class Spheres(nn.Module):
    """von Mises-Fisher posteriors on hyperspheres S^{m-1} in R^m, with uniform priors.

    Heads: raw mean directions [R, sum of m] and raw concentrations [R, S].

    Args:
        shells: the components.
        first: index of the first of them in the random stream, 0 here: the kernel counts from 0.
        parameterization: a key of `PARAMETERIZATIONS`.
        kappa_grad: "implicit", "naive" (`hvae.ops.sample`), or "reinforce": naive, and the score of
            its proposals (`hvae.score`).
    """

    kind = SPHERE

    def __init__(
        self, shells: Sequence[Shell], first: int, parameterization: str, kappa_grad: str
    ) -> None:
        super().__init__()
        self.first = first
        self.dims = [shell.size for shell in shells]
        self.head_sizes = (sum(self.dims), len(self.dims))
        self.kappa, radius = PARAMETERIZATIONS[parameterization]
        self.scored = kappa_grad == "reinforce"
        self.kappa_grad = "naive" if self.scored else kappa_grad
        owner = [*_owners(self.dims), *range(len(self.dims))]
        self.radii = [radius(m) for m in self.dims for _ in range(m)]
        self.register_buffer("m", torch.tensor(self.dims, dtype=torch.float32), persistent=False)
        self.register_buffer("owner", torch.tensor(owner), persistent=False)

    def draw(self, heads: Sequence[Tensor], rng: Tensor, samples: int, weigh: bool) -> Draw:
        kappa = self.concentration(heads)
        z, v, _, kl = ops.sample(heads[0], kappa, self.dims, rng, samples, self.kappa_grad)
        log_weight = self._log_weight(kappa, v) if weigh else None
        scored = self.scored and kappa.requires_grad
        return Draw(z, kl, log_weight, surrogate(kappa, v, self.dims) if scored else None)

    def _log_weight(self, kappa: Tensor, v: Tensor) -> Tensor:
        """log q - log p = (k - L) - k v, v = 1 - w: k w - L would lose every digit at large k."""
        constant, _ = ops.vmf(kappa, self.dims, "k_minus_L")
        return torch.einsum("krs,rs->kr", v, kappa) - constant.sum(-1)

    def location(self, heads: Sequence[Tensor]) -> Tensor:
        """Mean directions; e_1 for a head of zeros, as in the kernel."""
        raw, owner = heads[0].double(), self.owner[: self.head_sizes[0]]
        square = raw.new_zeros(len(raw), len(self.dims)).index_add_(1, owner, raw.square())
        norm = square.sqrt()[:, owner]
        leads = torch.diff(owner, prepend=owner.new_full((1,), -1)).to(raw.dtype)
        return torch.where(norm > 0, raw / norm, leads).to(heads[0].dtype)

    def concentration(self, heads: Sequence[Tensor]) -> Tensor:
        """kappa."""
        return self.kappa(heads[1], self.m)

    def prior(self, rng: Tensor, samples: int, rows: int, dtype: torch.dtype) -> Tensor:
        """Uniform on each sphere: the posterior at concentration 0."""
        direction, kappa = (
            torch.zeros(rows, size, dtype=dtype, device=rng.device) for size in self.head_sizes
        )
        return ops.sample(direction, kappa, self.dims, rng, samples)[0]


class Euclidean(nn.Module):
    """Diagonal Gaussian posteriors on R^m, with standard normal priors.

    Heads: means [R, sum of m] and log variances [R, sum of m]. The arguments are `Spheres`'.
    """

    kind = EUCLIDEAN

    def __init__(
        self, shells: Sequence[Shell], first: int, parameterization: str, kappa_grad: str
    ) -> None:
        super().__init__()
        owner = torch.tensor(_owners([shell.size for shell in shells]))
        halves = 0.5 * (owner[:, None] == torch.arange(len(shells)))
        self.first = first
        self.head_sizes = (len(owner),) * 2
        self.radii = [1.0] * len(owner)
        self.register_buffer("owner", owner.repeat(2), persistent=False)
        self.register_buffer("halves", halves, persistent=False)
        self.register_buffer("minus_half_m", -halves.sum(0), persistent=False)

    def draw(self, heads: Sequence[Tensor], rng: Tensor, samples: int, weigh: bool) -> Draw:
        mean, log_variance = heads
        noise = ops.normal(rng, samples, *mean.shape, shell=self.first, dtype=mean.dtype)
        half_log = 0.5 * log_variance
        deviation = half_log.exp()
        z = torch.addcmul(mean, deviation, noise)
        twice = torch.addcmul(deviation.square() - log_variance, mean, mean)
        kl = torch.addmm(self.minus_half_m, twice, self.halves)
        if not weigh:
            return Draw(z, kl, None)
        return Draw(z, kl, (half_log + 0.5 * (noise.square() - z.square())).sum(-1))

    def location(self, heads: Sequence[Tensor]) -> Tensor:
        """Means."""
        return heads[0]

    def concentration(self, heads: Sequence[Tensor]) -> Tensor:
        """The precision 1 / variance, averaged over a component's coordinates."""
        return -(heads[1].neg().exp() @ self.halves) / self.minus_half_m

    def prior(self, rng: Tensor, samples: int, rows: int, dtype: torch.dtype) -> Tensor:
        return ops.normal(rng, samples, rows, self.head_sizes[0], shell=self.first, dtype=dtype)


def _owners(sizes: Sequence[int]) -> list[int]:
    """For every coordinate of components of these sizes, the index of its component."""
    return [i for i, size in enumerate(sizes) for _ in range(size)]


# In the order of the network's head. The spheres are first: their kernel counts shells from 0.
FAMILIES = (Spheres, Euclidean)


class Product(nn.Module):
    """The product of the components of a list.

    Draws and KL come in the order of the list. A list that keeps every kind together, spheres
    first, is stored in that order; any other costs an index_select.

    Args:
        shells: the components.
        parameterization: how a head becomes a concentration, a key of `PARAMETERIZATIONS`.
        kappa_grad: the gradient of a draw by its concentration, as in `Spheres`.

    Attributes:
        size: m, the number of coordinates of z.
        radius: [m], what the decoder sees every coordinate multiplied by; None for 1.
        heads: the number of outputs that the network gives.
    """

    def __init__(
        self,
        shells: Sequence[Shell],
        parameterization: str = "exponential",
        kappa_grad: str = "implicit",
    ) -> None:
        super().__init__()
        self.shells = tuple(shells)
        self.size = sum(shell.size for shell in shells)
        packed: list[int] = []
        self.families = nn.ModuleList()
        for family in FAMILIES:
            members = [i for i, shell in enumerate(shells) if shell.kind == family.kind]
            if members:
                group = [shells[i] for i in members]
                self.families.append(family(group, len(packed), parameterization, kappa_grad))
                packed += members
        self.head_sizes = [size for family in self.families for size in family.head_sizes]
        self.heads = sum(self.head_sizes)
        self._register_order(packed)

    def _register_order(self, packed: Sequence[int]) -> None:
        """From the packed order of the families to the order of the list, and back."""
        sizes = [self.shells[i].size for i in packed]
        starts = list(itertools.accumulate(sizes, initial=0))
        order = sorted(range(len(packed)), key=packed.__getitem__)
        coordinates = [starts[i] + j for i in order for j in range(sizes[i])]
        listed = torch.tensor(packed)
        owners = [listed[family.first + family.owner] for family in self.families]
        self.reordered = order != list(range(len(order)))
        self.register_buffer("order", torch.tensor(order), persistent=False)
        self.register_buffer("coordinates", torch.tensor(coordinates), persistent=False)
        self.register_buffer("owner", torch.cat(owners), persistent=False)
        radii = [radius for family in self.families for radius in family.radii]
        radius = torch.tensor([radii[i] for i in coordinates]) if set(radii) != {1.0} else None
        self.register_buffer("radius", radius, persistent=False)

    def draw(self, head: Tensor, rng: Tensor, samples: int = 1, weigh: bool = False) -> Draw:
        """Posterior samples and KL.

        Args:
            head: [R, heads], the network's raw output.
            rng: a stream (`hvae.random.stream`): row and sample are those of the first drawn.
            samples: K.
            weigh: whether to compute the log weights.
        """
        draws = [family.draw(heads, rng, samples, weigh) for family, heads in self._split(head)]
        if len(draws) == 1:
            return draws[0]
        z = self._join([draw.z for draw in draws], self.coordinates)
        kl = self._join([draw.kl for draw in draws], self.order)
        log_weight = sum(draw.log_weight for draw in draws) if weigh else None
        scores = [draw.score for draw in draws if draw.score is not None]
        return Draw(z, kl, log_weight, sum(scores) if scores else None)

    def location(self, head: Tensor) -> Tensor:
        """The posteriors' modes [R, m]: mean directions, means."""
        parts = [family.location(heads) for family, heads in self._split(head)]
        return self._join(parts, self.coordinates)

    def concentration(self, head: Tensor) -> Tensor:
        """[R, n]: a shell's kappa; a Gaussian component's precision, averaged over coordinates."""
        parts = [family.concentration(heads) for family, heads in self._split(head)]
        return self._join(parts, self.order)

    def prior(
        self, rng: Tensor, samples: int, rows: int, dtype: torch.dtype = torch.float32
    ) -> Tensor:
        """Prior samples [K, R, m]."""
        parts = [family.prior(rng, samples, rows, dtype) for family in self.families]
        return self._join(parts, self.coordinates)

    def components(self, columns: Tensor) -> Tensor:
        """bool [n]: the components that own a marked column of the head; columns: bool [heads]."""
        marked = torch.zeros(len(self.shells), dtype=torch.bool, device=columns.device)
        marked[self.owner[columns]] = True
        return marked

    def _split(self, head: Tensor) -> Iterator[tuple[nn.Module, Sequence[Tensor]]]:
        """Every family with its heads, which are views; one op, so that backward is one too."""
        parts = iter(head.split(self.head_sizes, -1))
        for family in self.families:
            yield family, [next(parts) for _ in family.head_sizes]

    def _join(self, parts: Sequence[Tensor], order: Tensor) -> Tensor:
        if len(parts) == 1:
            return parts[0]
        packed = torch.cat(list(parts), -1)
        return packed.index_select(-1, order) if self.reordered else packed
