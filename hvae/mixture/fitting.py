"""Expectation and maximization of a mixture of von Mises-Fisher distributions.

Banerjee, Dhillon, Ghosh, Sra (2005), with the concentrations of the exact likelihood equation
A_m(k) = R, and in batches the stochastic approximation of Cappe and Moulines (2009).
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from hvae.distributions.fit import concentration_of
from hvae.mixture.components import Components, Statistics, assigned, likeliest, shared
from hvae.mixture.rows import UnitRows

_SEEDING_ROWS = 256  # for each component
_FORGETTING = 0.6  # exponent of the weight of a batch; in (1/2, 1]


@dataclass(frozen=True)
class Rules:
    """What a fit is free to choose.

    Attributes:
        hard: whether a row belongs to its likeliest component alone.
        own: whether every component has a concentration of its own.
        equal_weights: whether all weights are 1/C.
        most: the largest concentration.
    """

    hard: bool
    own: bool
    equal_weights: bool
    most: float

    def parameters(self, components: int, m: int) -> int:
        """How many numbers are fitted."""
        weights = 0 if self.equal_weights else components - 1
        return components * (m - 1) + (components if self.own else 1) + weights


@dataclass(frozen=True)
class Progress:
    """Where a fit is after an iteration: the log-likelihood a row is that before its update."""

    components: Components
    log_likelihood: float
    iterations: int
    converged: bool


def seeded(rows: UnitRows, count: int, rules: Rules, generator: torch.Generator) -> Components:
    """k-means++ (Arthur and Vassilvitskii 2007) with |x - mu|^2 on the sphere, then one hard step.

    It looks at `_SEEDING_ROWS` rows for each component, drawn without replacement.
    """
    kept = min(len(rows), max(1, _SEEDING_ROWS * count))
    chosen = torch.randperm(len(rows), generator=generator)[:kept].to(rows.device)
    some = rows.take(chosen)
    means = _spread_out(some, count, generator)
    even = torch.full((count,), 1.0, dtype=torch.float64, device=rows.device)
    start = Components(means, even, even / count)
    statistics, _ = assigned(some, start)
    alike = replace(rules, own=False, equal_weights=True)  # or a lone row draws no other to it
    return maximized(statistics, start, alike)


def _spread_out(rows: UnitRows, count: int, generator: torch.Generator) -> Tensor:
    """[count, m], float64: rows, each drawn in proportion to the distance to the nearest before.

    Of a few such rows the one is taken that brings all rows nearest, as scikit-learn does.
    """
    tries = 2 + int(math.log(count))
    nearest = torch.ones(len(rows), dtype=torch.float64, device=rows.device)
    means = []
    for i in range(count):
        usable = nearest if nearest.sum() > 0 else torch.ones_like(nearest)
        picks = torch.multinomial(usable.cpu(), tries if i else 1, True, generator=generator)
        candidates = rows.dense(picks.to(rows.device))
        cosines = torch.cat([cosine for _, cosine in rows.products(candidates)])
        distances = (1 - cosines.double()).clamp(min=0)
        if i:
            distances = torch.minimum(nearest[:, None], distances)
        best = int(distances.sum(0).argmin())
        nearest = distances[:, best]
        nearest[picks[best]] = 0
        means.append(candidates[best].double())
    found = torch.stack(means)
    normalised: Tensor = found / found.norm(dim=1, keepdim=True)
    return normalised


def maximized(statistics: Statistics, before: Components, rules: Rules) -> Components:
    """The components of the largest expected log-likelihood; an empty one keeps its direction."""
    counts, sums = statistics.counts, statistics.sums
    there = counts > 0
    share = torch.where(there, counts, 1)
    resultant = sums / share[:, None]
    length = resultant.norm(dim=1)
    means = torch.where((length > 0)[:, None], resultant / length[:, None], before.means)
    # The mean of 1 - mu.x: that of the former mean, less what the new one gains.
    gain = length - (before.means * resultant).sum(1)
    complement = (statistics.spreads / share - gain).clamp(min=0)
    if not rules.own:
        complement = ((counts * complement).sum() / counts.sum()).expand_as(counts)
    concentrations = _concentrations(complement, means.shape[1], rules.most)
    concentrations = torch.where(there | (not rules.own), concentrations, before.concentrations)
    weights = counts / counts.sum()
    if rules.equal_weights:
        weights = torch.full_like(counts, 1 / len(counts))
    return Components(means, concentrations, weights)


def _concentrations(complement: Tensor, m: int, most: float) -> Tensor:
    # (m - 1) / (2 k) is 1 - A at a large k, so that below this floor k is beyond `most`.
    floor = (m - 1) / (4 * most)
    safe = complement.clamp(floor, 1.0)
    found: Tensor = concentration_of(1 - safe, safe, m).clamp(0, most)
    return found


def expected(rows: UnitRows, components: Components, rules: Rules) -> tuple[Statistics, Components]:
    """The statistics of an iteration; a hard one moves empty components to the worst rows first."""
    if not rules.hard:
        return shared(rows, components), components
    statistics, _ = assigned(rows, components)
    empty = (statistics.counts == 0).nonzero()[:, 0]
    if len(empty) and len(rows) > len(components.weights):
        components = _moved(rows, components, empty)
        statistics, _ = assigned(rows, components)
    return statistics, components


def _moved(rows: UnitRows, components: Components, empty: Tensor) -> Components:
    _, _, v = likeliest(rows, components)
    worst = rows.dense(v.topk(len(empty)).indices).double()
    means = components.means.clone()
    means[empty] = worst / worst.norm(dim=1, keepdim=True)
    weights = components.weights.clone()
    weights[empty] = 1 / len(rows)
    return Components(means, components.concentrations, weights / weights.sum())


def iterations(
    rows: UnitRows, start: Components, rules: Rules, most: int, tolerance: float
) -> Iterator[Progress]:
    """EM over all rows, until the mean log-likelihood rises by less than `tolerance`."""
    components, before = start, -math.inf
    for iteration in range(1, most + 1):
        statistics, components = expected(rows, components, rules)
        likelihood = statistics.log_likelihood / len(rows)
        components = maximized(statistics, components, rules)
        done = likelihood - before < tolerance
        yield Progress(components, likelihood, iteration, done)
        if done:
            return
        before = likelihood


class Running:
    """EM in batches: statistics that forget, n^-0.6 being the weight of the n-th batch."""

    def __init__(self, start: Components, rules: Rules) -> None:
        self.components, self.rules = start, rules
        self.batches = 0
        self._kept: Statistics | None = None

    def see(self, rows: UnitRows) -> float:
        """An update by a batch; its mean log-likelihood before."""
        statistics, _ = (
            assigned(rows, self.components)
            if self.rules.hard
            else (shared(rows, self.components), None)
        )
        self.batches += 1
        self._kept = _blended(self._kept, statistics, len(rows), self.batches**-_FORGETTING)
        before = self.components
        self.components = maximized(self._kept, before, self.rules)
        # The spreads are of the means that are there now.
        moved = ((self.components.means - before.means) * self._kept.sums).sum(1)
        self._kept = replace(self._kept, spreads=self._kept.spreads - moved)
        return statistics.log_likelihood / len(rows)


def _blended(kept: Statistics | None, new: Statistics, rows: int, weight: float) -> Statistics:
    """By row, `weight` of the new ones and the rest of those before."""
    scaled = Statistics(
        new.counts / rows, new.sums / rows, new.spreads / rows, new.log_likelihood / rows
    )
    if kept is None:
        return scaled
    parts = (
        getattr(kept, name) + weight * (getattr(scaled, name) - getattr(kept, name))
        for name in ("counts", "sums", "spreads", "log_likelihood")
    )
    return Statistics(*parts)
