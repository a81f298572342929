"""The quantities of `hvae.ops.vmf`: L(k) = log 0F1(; nu+1; k^2/4), nu = m/2 - 1, and its family."""

import functools
import math
from collections.abc import Sequence
from fractions import Fraction

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from hvae.errors import Refused

SERIES_TERMS = 80
DEBYE_TERMS = 14
SERIES_RADIUS = 32.0


def log_area(m: int) -> float:
    """log |S^(m-1)|, the area of the unit sphere in R^m (a circle's circumference at m = 2)."""
    return math.log(2) + m / 2 * math.log(math.pi) - math.lgamma(m / 2)


@functools.lru_cache
def _debye_coefficients() -> npt.NDArray[np.float64]:
    """c[k, i] with log sum_k U_k(t)/nu^k = sum_k r^-k sum_i c[k, i] t^(2i), t = nu/r (DLMF 10.41).

    U_k by the recurrence DLMF 10.41.9, the logarithm by k D_k = k U_k - sum_{j<k} j D_j U_{k-j}.
    """
    debye = [{0: Fraction(1)}]  # polynomials in t: {power: coefficient}
    for _ in range(DEBYE_TERMS):
        following: dict[int, Fraction] = {}
        for p, c in debye[-1].items():
            for power, factor in (
                (p + 1, Fraction(p, 2) + Fraction(1, 8 * (p + 1))),
                (p + 3, -Fraction(p, 2) - Fraction(5, 8 * (p + 3))),
            ):
                following[power] = following.get(power, Fraction(0)) + c * factor
        debye.append(following)
    logs: list[dict[int, Fraction]] = [{}]
    table = np.zeros((DEBYE_TERMS + 1, DEBYE_TERMS + 1))
    for k in range(1, DEBYE_TERMS + 1):
        row = dict(debye[k])
        for j in range(1, k):
            for p, a in logs[j].items():
                for q, b in debye[k - j].items():
                    row[p + q] = row.get(p + q, Fraction(0)) - Fraction(j, k) * a * b
        logs.append(row)
        for power, c in row.items():
            table[k, (power - k) // 2] = float(c)
    return table


def _stirling_remainder(nu: float) -> float:
    """lgamma(nu+1) - (log(2 pi nu)/2 + nu log nu - nu), DLMF 5.11.1, for nu > 0."""
    if nu < 10:
        return math.lgamma(nu + 1) - (math.log(2 * math.pi * nu) / 2 + nu * math.log(nu) - nu)
    bernoulli = (1 / 12, -1 / 360, 1 / 1260, -1 / 1680, 1 / 1188, -691 / 360360, 1 / 156)
    return sum(c / nu ** (2 * i + 1) for i, c in enumerate(bernoulli))


def _series(nu: float, k: Tensor) -> dict[str, Tensor]:
    """Small arguments: f_n = F^(n)(y)/F(y) with F = 0F1(; nu+1; .) (DLMF 16.2.1) and y = k^2/4."""
    y = k * k / 4
    j = torch.arange(1, SERIES_TERMS, dtype=torch.float64, device=k.device)

    def tail(b: float) -> Tensor:
        """0F1(; b; y) - 1."""
        return torch.cumprod(y[..., None] / (j * (b - 1 + j)), -1).sum(-1)

    excess = tail(nu + 1)
    f1 = (1 + tail(nu + 2)) / ((nu + 1) * (1 + excess))
    f2 = (1 + tail(nu + 3)) / ((nu + 1) * (nu + 2) * (1 + excess))
    f3 = (1 + tail(nu + 4)) / ((nu + 1) * (nu + 2) * (nu + 3) * (1 + excess))
    second, third = f2 - f1**2, f3 - 3 * f1 * f2 + 2 * f1**3  # derivatives of log F
    log_norm = torch.log1p(excess)
    return {
        "L": log_norm,
        "k_minus_L": k - log_norm,
        "A/k": f1 / 2,
        "A'": f1 / 2 + y * second,
        "A''": k / 2 * (1.5 * second + y * third),
        "KL": 2 * y * f1 - log_norm,
    }


def _uniform_expansion(nu: float, k: Tensor) -> dict[str, Tensor]:
    """Large r = sqrt(nu^2 + k^2): the logarithm of DLMF 10.41.3, in 1/r and T = (nu/r)^2.

    k d/dk of r^-a T^i is -(a + 2i) q r^-a T^i with q = (k/r)^2, so D and its derivatives are the
    same double sum weighted with powers of a + 2i: s_0 = D, k ds_n/dk = -q s_{n+1}.
    """
    r = torch.hypot(k, torch.full_like(k, nu))
    q, t = (k / r) ** 2, nu / r
    c = torch.from_numpy(_debye_coefficients()).to(k.device)
    powers = torch.arange(DEBYE_TERMS + 1, dtype=torch.float64, device=k.device)
    weight = powers[:, None] + 2 * powers
    basis = r[..., None] ** -powers
    in_t = t[..., None] ** (2 * powers)
    s0, s1, s2, s3 = (
        torch.einsum("...a,ai,...i->...", basis, c * weight**n, in_t) for n in range(4)
    )
    growth = k * k / (r + nu)  # r - nu
    big_t, log_r = t * t, torch.log(r)
    if nu < 1:  # nu log((r+nu)/(2 nu)) + log(r/nu)/2 - delta, with no division by nu
        gap = nu * torch.log((r + nu) / 2) + (log_r + math.log(2 * math.pi)) / 2
        gap = gap - math.lgamma(nu + 1) - nu
    else:
        d = growth / nu
        gap = nu * torch.log1p(d / 2) + torch.log1p(d) / 2 - _stirling_remainder(nu)
    k_mean = growth - q / 2 - q * s1
    slope = nu * growth / r + q * (0.5 - big_t) + q * (1 - 2 * big_t) * s1 + q * q * s2  # k^2 A'
    curl = (  # k d(k^2 A')/dk
        nu * t * q
        + 2 * big_t * q * (0.5 - big_t + q)
        + (2 * big_t * (1 - 2 * big_t) + 4 * big_t * q) * q * s1
        + (4 * big_t - (1 - 2 * big_t)) * q * q * s2
        - q**3 * s3
    )
    return {
        "L": growth - gap + s0,
        "k_minus_L": nu * (r + k - nu) / (r + k) + gap - s0,
        "A/k": k_mean / k**2,
        "A'": slope / k**2,
        "A''": (curl - 2 * slope) / k**3,
        "KL": gap - q / 2 - q * s1 - s0,
    }


def _log_norm_family(m: int, k: Tensor) -> dict[str, Tensor]:
    """L, k - L, A/k, A', A'' and KL at one ambient dimension m; k float64 of any shape."""
    nu = m / 2 - 1
    k = torch.where(k >= 0, k, torch.nan)
    small = (torch.hypot(k, torch.full_like(k, nu)) < SERIES_RADIUS) | (k * k < 32 * (nu + 1))
    near = _series(nu, torch.where(small, k, 0.0))
    # The branch not taken gets a harmless argument, so that its gradient stays finite.
    far = _uniform_expansion(nu, torch.where(small, SERIES_RADIUS + 8 * math.sqrt(nu + 1), k))
    return {name: torch.where(small, near[name], far[name]) for name in near}


def _value_and_derivative(m: int, k: Tensor, quantity: str) -> tuple[Tensor, Tensor]:
    family = _log_norm_family(m, k)
    slope, curvature = family["A'"], family["A''"]
    mean = k * family["A/k"]
    one_minus = (slope + (m - 1) * family["A/k"]) / (1 + mean)
    pairs = {
        "L": (family["L"], mean),
        "k_minus_L": (family["k_minus_L"], one_minus),
        "A": (mean, slope),
        "one_minus_A": (one_minus, -slope),
        "dA": (slope, curvature),
        "KL": (family["KL"], k * slope),
        "dKL": (k * slope, slope + k * curvature),
    }
    if quantity not in pairs:
        raise Refused(f"quantity {quantity!r} is unknown; allowed: {', '.join(pairs)}")
    return pairs[quantity]


def vmf(kappa: Tensor, dims: Sequence[int], quantity: str) -> tuple[Tensor, Tensor]:
    """A quantity of vMF shells and its derivative in kappa.

    L = log 0F1(; m/2; kappa^2/4), so that the density on the sphere is exp(kappa mu.z - L)/area;
    A = L' = E[mu.z]; dA = A'; KL = kappa A - L, the divergence from the uniform distribution.

    Args:
        kappa: [..., S] concentrations, float32 or float64.
        dims: S ambient dimensions, each >= 2.
        quantity: "L", "k_minus_L", "A", "one_minus_A", "dA", "KL" or "dKL".

    Returns:
        (value, derivative), each [..., S] in kappa's dtype, both differentiable.
    """
    columns = [
        _value_and_derivative(m, k, quantity)
        for m, k in zip(dims, kappa.double().unbind(-1), strict=True)
    ]
    value, derivative = (torch.stack(c, -1).to(kappa.dtype) for c in zip(*columns, strict=True))
    return value, derivative
