"""What a kind of latent component has to say: the seam behind which every topology stands.

A latent space is a product of components, and a component of one kind is a line of the grammar such
as `10` or `e21`. All components of one kind form a family and are computed packed, along one axis:
no loop runs over them. Shapes are for R rows, K samples, and n components of a family with m
coordinates in all; every size of a sphere is its AMBIENT dimension.

Another topology is one file with a subclass of `ComponentFamily` and one entry in
`hvae.latent.kinds`, or an entry point of another package (docs/extending.md).
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor, nn

from hvae.errors import Refused

# The highest bound on concentrations and precisions of a mixture's components: in float32
# kappa mu.z - L is then good to 2e-3 nats, and worse in proportion above.
MOST_PRECISE = 1e4


@dataclass(frozen=True)
class LatentOptions:
    """What a user chooses for a latent space beside its components.

    Attributes:
        parameterization: of a concentration, a key of `hvae.latent.PARAMETERIZATIONS`.
        kappa_grad: the gradient of a draw by its concentration, one of
            `hvae.latent.KAPPA_GRADIENTS`.
        scale_frame: in which frame a scaled shell is stretched, one of `hvae.latent.SCALE_FRAMES`.
        prior_precision: what concentrations and precisions of a mixture's components stay below,
            in (0, `MOST_PRECISE`].
    """

    parameterization: str = "exponential"
    kappa_grad: str = "implicit"
    scale_frame: str = "mean"
    prior_precision: float = MOST_PRECISE


class Draw(NamedTuple):
    """Posterior samples.

    Attributes:
        z: [K, R, m], with gradients.
        kl: [R, n], the KL of each component's posterior from its prior in nats, with gradients: in
            closed form, or an unbiased estimate that is a mean over these K samples.
        log_weight: [K, R], log p(z) - log q(z | x); None unless asked for.
        score: [K, R], zeros whose gradient is that of log q of the random numbers behind z, None
            where these depend on no weight: E[f(z)] has the gradient of the mean of
            f(z) + (f(z) - baseline) score, with f(z) - baseline held fixed in the second term.
        sampled_kl: [K, R, n], without gradients: what each draw had a part in of `kl`, up to a
            constant, so that it belongs to the f of `score`. None where all of `kl` is in closed
            form, or without `score`.
    """

    z: Tensor
    kl: Tensor
    log_weight: Tensor | None
    score: Tensor | None = None
    sampled_kl: Tensor | None = None


class Posterior(ABC):
    """q(z | x) of R rows, made once from what the network says of them."""

    @property
    @abstractmethod
    def concentration(self) -> Tensor:
        """[R, n], how narrow each component is: kappa, or a mean precision."""

    @abstractmethod
    def mode(self) -> Tensor:
        """[R, m], the most probable points."""

    @abstractmethod
    def draw(self, rng: Tensor, samples: int = 1, with_log_weights: bool = False) -> Draw:
        """Posterior samples and the KL.

        Args:
            rng: a stream (`hvae.random.stream`): row and sample are those of the first drawn.
            samples: K.
            with_log_weights: whether to compute `Draw.log_weight`.
        """


class Prior(ABC):
    """p(z), which no row has a part in."""

    @abstractmethod
    def sample(
        self, rng: Tensor, samples: int, rows: int, dtype: torch.dtype = torch.float32
    ) -> Tensor:
        """[K, R, m] draws, of the stream `rng` and on its device."""

    @abstractmethod
    def log_prob(self, z: Tensor) -> Tensor:
        """[...] nats at points [..., m], with respect to area (spheres) and volume (R^m)."""


class ComponentFamily(nn.Module, ABC):
    """All components of one kind in a latent space, packed along one axis.

    A subclass sets `title` and `least`, gives `raw_sizes` and `raw_owner`, and makes posteriors and
    the prior. The rest has defaults.

    Args:
        sizes: coordinates of each component, as the grammar has them.
        first: index of the first of them in the random stream. A draw of component i of the family
            must use the shell index first + i, so that no two components share random numbers.
        options: what the user chose.

    Attributes:
        title: what one is, for help texts.
        least: the smallest size that the grammar allows.
        on_sphere: whether the points of a component have length 1.
        raw_sizes: how many outputs of the network each part of the family's raw parameters takes.
        raw_owner: int64 [sum(raw_sizes)], for each of those outputs the component it belongs to.
    """

    title: ClassVar[str]
    least: ClassVar[int]
    on_sphere: ClassVar[bool] = False

    raw_sizes: tuple[int, ...]
    raw_owner: Tensor

    def __init__(self, sizes: Sequence[int], first: int, options: LatentOptions) -> None:
        super().__init__()
        self.sizes = tuple(sizes)
        self.first = first
        self.options = options

    @abstractmethod
    def posterior(self, raw: Sequence[Tensor]) -> Posterior:
        """q(z | x) from raw parameters, a tensor [R, size] for each of `raw_sizes`."""

    @property
    @abstractmethod
    def prior(self) -> Prior:
        """p(z)."""

    @classmethod
    def auto_kl_weights(cls, sizes: Sequence[int]) -> list[float]:
        """What the KL of each component weighs in the loss under `--kl-weights auto`."""
        return [1.0] * len(sizes)

    def radii(self) -> list[float]:
        """[m], by what each coordinate is multiplied before the decoder sees it."""
        return [1.0] * sum(self.sizes)

    def features(self, z: Tensor) -> Tensor:
        """Statistics [..., f] of points [..., m], in which `ratio` is linear.

        Raises:
            Refused: the family has no distributions for a mixture.
        """
        raise self._no_mixture()

    def ratio(self, raw: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """The logarithm of the density of C members of the family over that of the prior.

        Args:
            raw: as in `posterior`, of C rows; concentrations and precisions are bounded by
                `LatentOptions.prior_precision`.

        Returns:
            (a [C, f], b [C]): it is features(z) @ a + b.

        Raises:
            Refused: as `features`.
        """
        raise self._no_mixture()

    def members(self, raw: Sequence[Tensor]) -> Posterior:
        """Those members themselves.

        Raises:
            Refused: as `features`.
        """
        raise self._no_mixture()

    def _no_mixture(self) -> Refused:
        return Refused(f"--prior: {self.title} has no mixture; allowed: uniform")

    @torch.no_grad()
    def initialize(self, weight: Tensor, bias: Tensor) -> None:
        """Change the initial weights of the layer that gives the raw parameters, if need be.

        Args:
            weight: [sum(raw_sizes), features], uniform on +-1/sqrt(features) before.
            bias: [sum(raw_sizes)], likewise.
        """


def bounded(precision: Tensor, most: float = MOST_PRECISE) -> Tensor:
    """A concentration or precision x as x / (1 + x / most): nearly x where small, below most."""
    return precision / (1 + precision / most)


def owners(sizes: Sequence[int]) -> list[int]:
    """For every coordinate of components of these sizes, the index of its component."""
    return [i for i, size in enumerate(sizes) for _ in range(size)]
