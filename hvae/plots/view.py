"""What pictures of a run are made from, computed once: rows, their labels, what the model says."""

import functools
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from hvae import random
from hvae.description import DataDescription
from hvae.model import VAE
from hvae.plots.neighbours import leave_one_out_accuracy

IGNORED = 0.1  # nats of KL: the component says at most 0.14 bit of a row
_BATCH = 500
SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def plain(text: str, most: int) -> str:
    """A user's text on one line, what cannot be printed left out, cut to `most` characters."""
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return line if len(line) <= most else f"{line[: most - 1]}…"


@dataclass(frozen=True)
class Part:
    """A component of the latent space.

    Attributes:
        index: in the list, from 0; a picture counts from 1.
        kind: as in `--shells`, such as "" for a von Mises-Fisher shell, "e" for a Euclidean one.
        size: how many coordinates; of a shell the ambient dimension m.
        start: the first of them in z.
        is_shell: whether it is a sphere.
    """

    index: int
    kind: str
    size: int
    start: int
    is_shell: bool = False

    @property
    def columns(self) -> slice:
        """Its coordinates in z."""
        return slice(self.start, self.start + self.size)

    @property
    def symbol(self) -> str:
        """S² of the shell `3`, R⁴ of `e4`; of another kind the text of the list."""
        if self.is_shell:
            return "S" + str(self.size - 1).translate(SUPERSCRIPTS)
        if self.kind == "e":
            return "R" + str(self.size).translate(SUPERSCRIPTS)
        return f"{self.kind}{self.size}"

    @property
    def name(self) -> str:
        """Such as "2: S⁹"."""
        return f"{self.index + 1}: {self.symbol}"


@dataclass(frozen=True, eq=False)
class RunView:
    """A trained model and N rows to show it on.

    Attributes:
        name: of the run, for titles.
        model: in evaluation mode.
        rows: [N, W], N at least 1, on the CPU, drawn from a split.
        labels: int64 [N] or None; label_names: of the classes by number, or None for the numbers.
        source: which rows these are, for captions: "2000 of 10000 rows of the test split".
        metrics: the lines of metrics.jsonl.
        best_epoch: whose weights the model has; None where that is not known.
        warmup: epochs of the KL's warm-up.
        facts: what else a page says of the run, by name.
        seed: of draws.
    """

    name: str
    model: VAE
    rows: Tensor
    labels: Tensor | None
    label_names: Sequence[str] | None
    source: str
    metrics: Sequence[Mapping[str, Any]]
    best_epoch: int | None
    warmup: int
    facts: Mapping[str, str]
    seed: int = 0

    @property
    def description(self) -> DataDescription:
        """What the rows are."""
        return self.model.likelihood.data

    @functools.cached_property
    def parts(self) -> tuple[Part, ...]:
        """The components in the order of the list."""
        components = self.model.latent.components
        starts = itertools.accumulate((part.size for part in components), initial=0)
        pairs = enumerate(zip(components, starts, strict=False))
        return tuple(
            Part(i, part.kind, part.size, start, part.on_sphere) for i, (part, start) in pairs
        )

    @property
    def circles(self) -> tuple[Part, ...]:
        """The shells `2`."""
        return tuple(part for part in self.parts if part.is_shell and part.size == 2)

    @property
    def spheres(self) -> tuple[Part, ...]:
        """The shells `3`."""
        return tuple(part for part in self.parts if part.is_shell and part.size == 3)

    @property
    def wide_shells(self) -> tuple[Part, ...]:
        """The shells above `3`."""
        return tuple(part for part in self.parts if part.is_shell and part.size > 3)

    @property
    def flat(self) -> tuple[Part, ...]:
        """Euclidean components, and those of other packages, by their coordinates."""
        return tuple(part for part in self.parts if not part.is_shell)

    @functools.cached_property
    def _encoded(self) -> tuple[Tensor, Tensor, Tensor]:
        """Modes and draws [N, m] and KL [N, n], float64."""
        modes, draws, kl = [], [], []
        with torch.inference_mode():
            for first in range(0, len(self.rows), _BATCH):
                posterior = self.model.posterior(self.rows[first : first + _BATCH])
                rng = random.stream(self.seed, "user", row=first, device=self.model.device)
                modes.append(posterior.mode().double().cpu())
                draw = posterior.draw(rng)
                draws.append(draw.z[0].double().cpu())
                kl.append(draw.kl.double().cpu())
        return torch.cat(modes), torch.cat(draws), torch.cat(kl)

    @functools.cached_property
    def modes(self) -> Tensor:
        """[N, m] float64: mean directions, each shell normalised anew in float64, and means."""
        modes = self._encoded[0].clone()
        for part in self.parts:
            if part.is_shell:
                modes[:, part.columns] /= modes[:, part.columns].norm(dim=1, keepdim=True)
        return modes

    @property
    def kl(self) -> Tensor:
        """[n] float64: nats, the mean over rows."""
        return self._encoded[2].mean(0)

    @property
    def ignored(self) -> tuple[Part, ...]:
        """The components with a KL under `IGNORED`."""
        return tuple(part for part in self.parts if self.kl[part.index] < IGNORED)

    def points(self, part: Part) -> Tensor:
        """[N, size] float64: the modes in a component."""
        return self.modes[:, part.columns]

    @functools.cached_property
    def accuracy(self) -> tuple[float, ...] | None:
        """By component that of the classes from one posterior draw a row; None without classes.

        A draw and not the mode, which is a function of the row even in a component that is
        ignored: `leave_one_out_accuracy` of what the decoder sees.
        """
        if self.labels is None or len(self.labels.unique()) < 2:
            return None
        labels = self.labels.unique(return_inverse=True)[1]
        draws = self._encoded[1]
        return tuple(leave_one_out_accuracy(draws[:, part.columns], labels) for part in self.parts)

    @property
    def chance(self) -> float:
        """The share of the most frequent class; labels must be there."""
        assert self.labels is not None
        return float(self.labels.unique(return_counts=True)[1].max() / len(self.labels))

    @torch.inference_mode()
    def decode(self, z: Tensor, rows: Tensor | None = None) -> Tensor:
        """E[x | z] of points [..., m]: float64 [..., D].

        Args:
            z: the points.
            rows: int64, of the shape of z without its last dimension or one that broadcasts to it:
                whose covariates go with a point; None for those of row 0.
        """
        covariates = None
        if self.description.covariates:
            index = torch.zeros(1, dtype=torch.int64) if rows is None else rows
            covariates = self.rows[index][..., self.description.size :].to(self.model.device)
        parameters = self.model.decode(z.to(self.model.device, self.model.dtype), covariates)
        return self.model.likelihood.mean(parameters).double().cpu()

    @torch.inference_mode()
    def prior(self, count: int) -> Tensor:
        """[count, m] float64: draws from the prior."""
        rng = random.stream(self.seed, "prior", device=self.model.device)
        draws = self.model.latent.prior.sample(rng, 1, count, self.model.dtype)[0]
        return draws.double().cpu()

    def most_used(self, parts: Sequence[Part], most: int) -> tuple[Part, ...]:
        """The parts, in their order; of more than `most` those of the largest KL, none ignored.

        Where all are ignored, the one with the largest KL.
        """
        if len(parts) <= most:
            return tuple(parts)
        chosen = sorted(parts, key=lambda part: -self.kl[part.index])[:most]
        chosen = [part for part in chosen if part not in self.ignored] or chosen[:1]
        return tuple(sorted(chosen, key=lambda part: part.index))
