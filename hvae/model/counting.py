"""Logarithms of counting: factorials and binomial coefficients in the form that a density needs.

torch.lgamma takes as long as twenty products, torch.digamma longer, and differences of them lose
all digits at large counts. Here both arguments of a difference go through Stirling's series (DLMF
5.11.1) together: lgamma(y) = lgamma(y + 4) - log y (y + 1) (y + 2) (y + 3), where the series with
five terms is good to 5e-10 (its next term, 691/360360 y^-11, at y = 4).
"""

import math
from typing import Any

import torch
from torch import Tensor

_SERIES = (1 / 12, -1 / 360, 1 / 1260, -1 / 1680, 1 / 1188)  # DLMF 5.11.1, in odd powers of 1/y
_HALF_LOG_TAU = 0.5 * math.log(2 * math.pi)


def log_choose(x: Tensor, t: Tensor) -> Tensor:
    """log Gamma(x + t) - log Gamma(t) - log x!, summed over the last dimension.

    For an integer t that is the logarithm of x + t - 1 over x. The error of a term is at most 2e-9
    beside a few roundings of its largest part, which is about t log(1 + x/t) + x log(1 + t/x).

    Args:
        x: [..., D], counts; there is no gradient in them.
        t: [D] or [..., D], above 0, in the dtype of x.

    Returns:
        [...]; differentiable once in t.
    """
    summed: Tensor = _LogChoose.apply(x, t)
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
        a, b, s = t + 4, x + 5, x + t
        inverse = 1 / (s + 4)
        log_ratio = (x / a).log1p_()
        terms = log_ratio * (a - 0.5)
        terms += x * ((t - 1) / b).log1p_()
        terms -= 4.5 * b.log()
        terms += _series(inverse)
        terms -= _series(1 / b)
        u, v, w = s * (s + 3), (x + 1) * (x + 4), t * (t + 3)  # P(s) = u (u + 2)
        terms += ((v / u) * ((v + 2) / (u + 2))).log_()
        of_t = w.log() + (w + 2).log() - _series(1 / a) + (5 - _HALF_LOG_TAU)
        terms += of_t
        if ctx.needs_input_grad[1]:
            of_t = 0.5 / a - _series_slope(1 / a) + _product_slope(t, w)
            log_ratio -= 0.5 * inverse
            log_ratio += _series_slope(inverse)
            log_ratio -= _product_slope(s, u)
            ctx.save_for_backward(log_ratio + of_t, t)
        return terms.sum(-1)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[None, Tensor | None]:
        if not ctx.needs_input_grad[1]:
            return None, None
        return None, _Gradient.apply(grad, *ctx.saved_tensors)


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
    value = torch.full_like(square, _SERIES[-1])
    for coefficient in reversed(_SERIES[:-1]):
        value.mul_(square).add_(coefficient)
    return value.mul_(inverse)


def _series_slope(inverse: Tensor) -> Tensor:
    """r'(y) at 1/y."""
    square = inverse * inverse
    slopes = [-(2 * i + 1) * coefficient for i, coefficient in enumerate(_SERIES)]
    value = torch.full_like(square, slopes[-1])
    for coefficient in reversed(slopes[:-1]):
        value.mul_(square).add_(coefficient)
    return value.mul_(square)


def _product_slope(y: Tensor, u: Tensor) -> Tensor:
    """P'(y)/P(y) with u = y (y + 3): (2 y + 3) (1/u + 1/(u + 2))."""
    return (2 * y + 3) * (1 / u + 1 / (u + 2))


def log_poisson_mode(x: Tensor) -> Tensor:
    """x log x - x - log x!, summed over the last dimension: the largest log p of counts [..., D].

    With B = x + 5 a term is -x log(B/x) - 9/2 log B + 5 - log(2 pi)/2 - r(B) + log P(x + 1), good
    to 1e-9 beside a few roundings of 9/2 log B. There is no gradient.
    """
    with torch.no_grad():
        b = x + 5
        terms = -4.5 * b.log()
        terms -= x * (5 / x.clamp(min=1)).log1p_()
        terms -= _series(1 / b)
        v = (x + 1) * (x + 4)
        terms += v.log() + (v + 2).log()
        return terms.sum(-1) + x.shape[-1] * (5 - _HALF_LOG_TAU)
