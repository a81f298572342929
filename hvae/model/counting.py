"""Logarithms of counting: binomial coefficients and factorials, as densities of counts need them.

torch.lgamma takes as long as twenty products, torch.digamma longer, and differences of them lose
all digits at large counts. Here both arguments of a difference go through Stirling's series (DLMF
5.11.1) together: lgamma(y) = lgamma(y + 4) - log y (y + 1) (y + 2) (y + 3). In float64 the series
has five terms and is good to 4.6e-10 (its next term, 691/360360 y^-11, at y = 4), in float32 three
and 3.7e-8 (1/1680 y^-7).
"""

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

_SERIES = (1 / 12, -1 / 360, 1 / 1260, -1 / 1680, 1 / 1188)  # in odd powers of 1/y
_TERMS = {torch.float32: 3, torch.float64: 5}
_HALF_LOG_TAU = 0.5 * math.log(2 * math.pi)


def log_choose(x: Tensor, t: Tensor) -> Tensor:
    """log Gamma(x + t) - log Gamma(t) - log x!, summed over the last dimension.

    For an integer t that is the logarithm of x + t - 1 over x. The error of a term is at most that
    of three series beside a few roundings of its largest part, which is about
    t log(1 + x/t) + x log(1 + t/x).

    Args:
        x: [..., D], counts; there is no gradient in them.
        t: [D] or [..., D], above 0, in the dtype of x.

    Returns:
        [...]; differentiable once in t.
    """
    summed: Tensor = _LogChoose.apply(x, t)  # type: ignore[no-untyped-call]
    return summed


class _LogChoose(torch.autograd.Function):
    """Value and slope in one pass.

    With A = t + 4, B = x + 5, S = x + t + 4, P(y) = y (y + 1) (y + 2) (y + 3) and the series r,

    (A - 1/2) log(S/A) + x log(S/B) - 9/2 log B + 5 - log(2 pi)/2 + r(S) - r(A) - r(B)
        + log P(t) P(x + 1) / P(x + t),

    whose derivative in t is

    log(S/A) + 1/(2A) - 1/(2S) + r'(S) - r'(A) + P'(t)/P(t) - P'(x + t)/P(x + t).
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, t: Tensor) -> Tensor:
        s, over_a, over_b = x + t, 1 / (t + 4), 1 / (x + 5)
        over_s = 1 / (s + 4)
        log_ratio = (x * over_a).log1p_()
        terms = log_ratio * (t + 3.5)
        terms += ((t - 1) * over_b).log1p_().mul_(x)
        terms += over_b.log().mul_(4.5)
        terms += _series(over_s)
        terms -= _series(over_b)
        u, v, w = s * (s + 3), (x + 1) * (x + 4), t * (t + 3)  # P(s) = u (u + 2)
        over_u, over_u2 = 1 / u, 1 / (u + 2)
        terms += (v * over_u).mul_((v + 2).mul_(over_u2)).log_()
        terms += w.log() + (w + 2).log() - _series(over_a) + (5 - _HALF_LOG_TAU)
        if ctx.needs_input_grad[1]:
            slope = log_ratio.add_(over_s, alpha=-0.5)
            slope += _series_slope(over_s)
            slope -= over_u.add_(over_u2).mul_(2 * s + 3)
            slope += 0.5 * over_a - _series_slope(over_a) + (2 * t + 3) * (1 / w + 1 / (w + 2))
            ctx.save_for_backward(slope, t)
        return terms.sum(-1)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[None, Tensor | None]:
        if not ctx.needs_input_grad[1]:
            return None, None
        slope, t = ctx.saved_tensors
        return None, _Gradient.apply(grad, slope, t)  # type: ignore[no-untyped-call]


class _Gradient(torch.autograd.Function):
    """The gradient in t, which knows that it depends on t and has no derivative itself."""

    @staticmethod
    def forward(ctx: Any, grad: Tensor, slope: Tensor, t: Tensor) -> Tensor:
        return (grad[..., None] * slope).sum_to_size(t.shape)

    @staticmethod
    def backward(ctx: Any, *_: Tensor) -> None:
        raise RuntimeError("log_choose of hvae has no second derivative")


def _series(inverse: Tensor) -> Tensor:
    """r(y) = log Gamma(y) - (y - 1/2) log y + y - log(2 pi)/2 at 1/y."""
    square = inverse * inverse
    return _polynomial(square, _SERIES).mul_(inverse)


def _series_slope(inverse: Tensor) -> Tensor:
    """r'(y) at 1/y."""
    square = inverse * inverse
    slopes = [-(2 * i + 1) * coefficient for i, coefficient in enumerate(_SERIES)]
    return _polynomial(square, slopes).mul_(square)


def _polynomial(x: Tensor, coefficients: Sequence[float]) -> Tensor:
    """sum_i c_i x^i, of as many terms as the dtype needs (Horner)."""
    *lower, last = coefficients[: _TERMS[x.dtype]]
    value = last * x
    for coefficient in reversed(lower[1:]):
        value.add_(coefficient).mul_(x)
    return value.add_(lower[0])


def log_poisson_mode(x: Tensor) -> Tensor:
    """x log x - x - log x!, summed over the last dimension: the largest log p of counts [..., D].

    With B = x + 5 a term is -x log(B/x) - 9/2 log B + 5 - log(2 pi)/2 - r(B) + log P(x + 1), good
    to that of the series beside a few roundings of 9/2 log B. There is no gradient.
    """
    with torch.no_grad():
        b = x + 5
        terms = -4.5 * b.log()
        terms -= x * (5 / x.clamp(min=1)).log1p_()
        terms -= _series(1 / b)
        v = (x + 1) * (x + 4)
        terms += v.log() + (v + 2).log()
        return terms.sum(-1) + x.shape[-1] * (5 - _HALF_LOG_TAU)
