"""The components of a mixture, and what a row says of them.

The logarithm of weight times density of a component at x is

    log w + (k - L) - k v - log |S|,    v = 1 - mu.x = |x - mu|^2 / 2,

L as in `hvae.ops.vmf`. v comes of one matrix product, whose rounding moves it by about eps. Where
k eps counts (`Components.narrow`), v of every component that may have a part in a row is computed
again from x - mu, which keeps its digits.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from hvae import ops
from hvae.mixture.rows import UnitRows, blocks

_SMALL_ERROR = 1e-3  # of a logarithm, as k times eps
_NEGLIGIBLE = 40.0  # nats below the largest term: 4e-18 of it


@dataclass(frozen=True)
class Components:
    """C von Mises-Fisher distributions and their weights.

    Attributes:
        means: [C, m], float64, unit vectors.
        concentrations: [C], float64, k.
        weights: [C], float64, w, whose sum is 1.
    """

    means: Tensor
    concentrations: Tensor
    weights: Tensor

    @property
    def constants(self) -> Tensor:
        """log w + (k - L) - log |S|, [C]."""
        m = self.means.shape[1]
        rest = ops.vmf(self.concentrations[:, None], (m,), "k_minus_L")[0][:, 0]
        return self.weights.log() + rest - ops.log_area(m)

    def narrow(self, dtype: torch.dtype) -> bool:
        """Whether the rounding of a product in dtype would be seen in a logarithm."""
        return bool(self.concentrations.max() * torch.finfo(dtype).eps > _SMALL_ERROR)


@dataclass(frozen=True)
class Statistics:
    """Sums over rows, weighted by the shares of the components.

    Attributes:
        counts: [C], of the shares p; sums: [C, m], of p x; spreads: [C], of p v, where v is of the
            means that the shares were computed with. float64.
        log_likelihood: sum of log p(x), float64.
    """

    counts: Tensor
    sums: Tensor
    spreads: Tensor
    log_likelihood: float


@dataclass(frozen=True)
class Pairs:
    """Rows and components that have a part in each other, sorted by row.

    Attributes:
        row, component: [p], int64; v, logarithm: [p], of the pair, in the dtype of the rows.
    """

    row: Tensor
    component: Tensor
    v: Tensor
    logarithm: Tensor


def shared(rows: UnitRows, components: Components) -> Statistics:
    """The sums of an EM step, with the shares that each component has in a row."""
    if components.narrow(rows.dtype):
        found = near_pairs(rows, components)
        totals = totals_of(found, len(rows))
        share = (found.logarithm - totals[found.row]).exp()
        return _of_pairs(rows, components, found, share, totals)
    weight = (components.concentrations[:, None] * components.means).T.to(rows.dtype)
    bias = (components.constants - components.concentrations).to(rows.dtype)
    totals, counts, sums = rows.shared_sums(weight.contiguous(), bias)
    sums = sums.double()
    spreads = counts.double() - (sums * components.means).sum(1)
    return Statistics(counts.double(), sums, spreads, totals.double().sum().item())


def assigned(rows: UnitRows, components: Components) -> tuple[Statistics, Tensor]:
    """The sums where every row belongs to its likeliest component alone, and which that is [n]."""
    labels, best, v = likeliest(rows, components)
    everything = torch.arange(len(rows), device=rows.device)
    pairs = Pairs(everything, labels, v, best)
    return _of_pairs(rows, components, pairs, torch.ones_like(best), best), labels


def _of_pairs(
    rows: UnitRows, components: Components, pairs: Pairs, share: Tensor, totals: Tensor
) -> Statistics:
    count = len(components.weights)
    zeros = torch.zeros(count, dtype=torch.float64, device=rows.device)
    wide = share.double()
    return Statistics(
        zeros.index_add(0, pairs.component, wide),
        rows.sums(pairs.row, pairs.component, share, count).double(),
        zeros.index_add(0, pairs.component, wide * pairs.v.double()),
        totals.double().sum().item(),
    )


def likeliest(rows: UnitRows, components: Components) -> tuple[Tensor, Tensor, Tensor]:
    """The component of the largest logarithm, that logarithm and v, [n] each."""
    if components.narrow(rows.dtype):
        pairs = near_pairs(rows, components)
        start = pairs.logarithm.new_full((len(rows),), -math.inf)
        best = start.scatter_reduce(0, pairs.row, pairs.logarithm, "amax")
        first = (pairs.logarithm == best[pairs.row]).nonzero()[:, 0].flip(0)
        labels, v = torch.zeros_like(best, dtype=torch.int64), torch.zeros_like(best)
        labels[pairs.row[first]], v[pairs.row[first]] = pairs.component[first], pairs.v[first]
        return labels, best, v
    concentrations, constants = _in_dtype(rows, components)
    labels = torch.empty(len(rows), dtype=torch.int64, device=rows.device)
    best, v = (torch.empty(len(rows), dtype=rows.dtype, device=rows.device) for _ in range(2))
    means = components.means.to(rows.dtype)
    for part, cosine in rows.products(means):
        logarithm = torch.addcmul(constants - concentrations, cosine, concentrations)
        best[part], labels[part] = logarithm.max(1)
        v[part] = 1 - cosine.gather(1, labels[part, None])[:, 0]
    return labels, best, v


def logarithms(rows: UnitRows, components: Components) -> Tensor:
    """[n, C], log w + log density; of what is negligible in a row, to the rounding of a product."""
    concentrations, constants = _in_dtype(rows, components)
    parts = [
        torch.addcmul(constants - concentrations, cosine, concentrations)
        for _, cosine in rows.products(components.means.to(rows.dtype))
    ]
    found = torch.cat(parts) if parts else constants.new_empty(0, len(constants))
    if components.narrow(rows.dtype):
        pairs = near_pairs(rows, components)
        found[pairs.row, pairs.component] = pairs.logarithm
    return found


def log_likelihoods(rows: UnitRows, components: Components) -> Tensor:
    """log p(x) of every row, [n]."""
    if components.narrow(rows.dtype):
        return totals_of(near_pairs(rows, components), len(rows))
    concentrations, constants = _in_dtype(rows, components)
    found = torch.empty(len(rows), dtype=rows.dtype, device=rows.device)
    for part, cosine in rows.products(components.means.to(rows.dtype)):
        found[part] = torch.addcmul(constants - concentrations, cosine, concentrations).logsumexp(1)
    return found


def near_pairs(rows: UnitRows, components: Components) -> Pairs:
    """Every pair that may have a part in its row, with v from x - mu."""
    means = components.means.to(rows.dtype)
    concentrations, constants = _in_dtype(rows, components)
    # A product of unit vectors is off by less than 2 sqrt(m) eps (blocked summation, generously).
    slack = 2 * math.sqrt(rows.m) * torch.finfo(rows.dtype).eps * concentrations
    found = []
    for part, cosine in rows.products(means):
        logarithm = torch.addcmul(constants - concentrations, cosine, concentrations)
        floor = (logarithm - slack).amax(1, keepdim=True) - _NEGLIGIBLE
        near = (logarithm + slack >= floor).nonzero()
        found.append(near + torch.tensor([part.start, 0], device=rows.device))
    row, component = torch.cat(found).unbind(1)
    v = torch.empty(len(row), dtype=rows.dtype, device=rows.device)
    for part in blocks(len(row), rows.m):
        x = rows.dense(row[part])
        apart = (x - means[component[part]]).square().sum(1) / 2
        v[part] = torch.where(x.any(1), apart, 1)  # a row of zeros is at a right angle
    return Pairs(row, component, v, constants[component] - concentrations[component] * v)


def totals_of(pairs: Pairs, rows: int) -> Tensor:
    """The log-sum-exp of the logarithms of every row, [rows]."""
    start = pairs.logarithm.new_full((rows,), -math.inf)
    highest = start.scatter_reduce(0, pairs.row, pairs.logarithm, "amax")
    terms = (pairs.logarithm - highest[pairs.row]).exp()
    return highest + torch.zeros_like(highest).index_add(0, pairs.row, terms).log()


def _in_dtype(rows: UnitRows, components: Components) -> tuple[Tensor, Tensor]:
    return components.concentrations.to(rows.dtype), components.constants.to(rows.dtype)
