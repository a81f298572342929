"""The angle between a draw and its mean direction (Wood 1994; in closed form at m = 3)."""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from hvae.reference.stream import bits_of, cos_sin_turn, integers, open_uniform, places, words_at

Scheme = Callable[[int, Tensor, Tensor, int], tuple[Tensor, Tensor, Tensor, Tensor]]


def _proposal(
    rng: Tensor, row: Tensor, sample: Tensor, shell: int, p: int, dtype: torch.dtype
) -> Tensor:
    """The three integers [..., 3] of proposal p."""
    if dtype == torch.float32:
        return integers(words_at(rng, row, sample, shell, p), dtype)[..., :3]
    first, second = (words_at(rng, row, sample, shell, 2 * p + i) for i in range(2))
    return torch.cat((integers(first, dtype), integers(second, dtype)), -1)[..., :3]


def beta(m: int, n: Tensor, bits: int) -> tuple[Tensor, Tensor, Tensor]:
    """eps ~ Beta((m-1)/2, (m-1)/2) (Ulrich 1984; Devroye 1986): (eps, 1 - eps, c = 2 eps - 1)."""
    exponent = torch.tensor(-math.inf)
    if m > 2:
        exponent = 2 / (m - 2) * torch.log(open_uniform(n[..., 0], bits))
    inner, outer = torch.exp(exponent), -torch.expm1(exponent)  # V and 1 - V; V = 0 at m = 2
    cosine, sine = cos_sin_turn(n[..., 1], bits)
    c = torch.sqrt(outer) * cosine
    lesser = (inner + outer * sine**2) / (2 * (1 + c.abs()))
    upper = c > 0
    return torch.where(upper, 1 - lesser, lesser), torch.where(upper, lesser, 1 - lesser), c


def _wood(m: int, k: Tensor, n: Tensor, bits: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """A proposal of Wood (1994) at k: (accepted, v = 1 - cos theta, sin theta, theta)."""
    d = m - 1
    b = d / (2 * k + torch.sqrt(4 * k * k + d * d))
    eps, complement, c = beta(m, n, bits)
    scale = b * eps + complement
    log_ratio = -2 * k * b * c / ((1 + b) * scale) + d * torch.log1p((1 - b) * c / (2 * scale))
    # Written so that a NaN concentration is accepted.
    accepted = ~(log_ratio < torch.log(open_uniform(n[..., 2], bits)))
    theta = 2 * torch.atan2(torch.sqrt(b * eps), torch.sqrt(complement))
    sine = 2 * torch.sqrt(b * eps * complement) / scale
    return accepted, 2 * b * eps / scale, sine, theta


def _inverse_on_s2(k: Tensor, n: Tensor, bits: int) -> tuple[Tensor, Tensor, Tensor]:
    """m = 3: exp(-k v) inverted at u, 1 - p = u + (1 - u) exp(-2k); (v, sin theta, theta)."""
    u, rest = open_uniform(n, bits), open_uniform((1 << bits) - 1 - n, bits)
    p = rest * -torch.expm1(-2 * k)
    v = torch.where(p < 0.5, -torch.log1p(-p), -torch.log(u + rest * torch.exp(-2 * k))) / k
    v = torch.where(k < 1e-30, 2 * rest, v)
    far = torch.where(k < 1e-30, 2 * u, torch.log1p(u * torch.expm1((2 * k).clamp(max=80))) / k)
    far = torch.where(v <= 1, 2 - v, far)  # 1 + cos theta
    return v, torch.sqrt(v * far), 2 * torch.atan2(torch.sqrt(v), torch.sqrt(far))


def accepted(
    scheme: Scheme, m: int, k: Tensor, rng: Tensor, samples: int, shell: int, dtype: torch.dtype
) -> Tensor:
    """[3, samples, rows] float64: what the first accepted proposal of every draw stands for.

    scheme: (m, k, integers, bits) -> (accepted, v, sin theta, theta).
    """
    row, sample = torch.broadcast_tensors(*places(rng, samples, k.shape[0]))
    row, sample, k = row.flatten(), sample.flatten(), k.repeat(samples)
    drawn = k.new_empty((3, k.numel()))
    pending, p = torch.arange(k.numel(), device=k.device), 0
    while pending.numel():
        n = _proposal(rng, row[pending], sample[pending], shell, p, dtype)
        taken, *angle = scheme(m, k[pending], n, bits_of(dtype))
        drawn[:, pending] = torch.stack(angle)
        pending, p = pending[~taken], p + 1
    found: Tensor = drawn.unflatten(1, (samples, -1))
    return found


def angles(
    m: int, kappa: Tensor, rng: Tensor, samples: int, shell: int, dtype: torch.dtype
) -> tuple[Tensor, Tensor, Tensor]:
    """v = 1 - cos theta, sin theta and theta, each [samples, rows] float64, for kappa [rows].

    dtype: that of the draw, whose random integers are taken.
    """
    if m == 3:
        row, sample = torch.broadcast_tensors(*places(rng, samples, kappa.shape[0]))
        n = _proposal(rng, row, sample, shell, 0, dtype)[..., 0]
        return _inverse_on_s2(kappa.expand(samples, -1), n, bits_of(dtype))
    v, sine, theta = accepted(_wood, m, kappa, rng, samples, shell, dtype)
    return v, sine, theta
