"""The moment generating function of the chi distribution, a parabolic cylinder function.

With r = |g| for a standard normal g in R^m, n = m - 1 and

    I_n(t) = integral_0^inf r^n exp(-r^2/2 + r t) dr = n! exp(t^2/4) U(n + 1/2, -t)  (DLMF 12.5.1),

E exp(t r) = I_n(t) / I_n(0).
"""

import math
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

NODES = 48
_DROP = 38.0  # what is left out of the integral is below exp(-38) = 3e-17 of its peak
_NEAR = 0.1  # below it the change from t = 0 is computed as such


def log_chi_moment(t: Tensor, m: int) -> Tensor:
    """log E exp(t r) - max(t, 0)^2 / 2 for r chi-distributed with m degrees of freedom.

    Args:
        t: [...], float64, |t| <= 1e150.
        m: 2 to 32768.

    Returns:
        [...], float64; its derivative is E_t[r] - max(t, 0), E_t the mean under the density
        r^n exp(-r^2/2 + r t) / I_n(t), and so on to any order, in any mode of differentiation.

    With r0 = (t + sqrt(t^2 + 4n))/2, the mode, and r = r0 (1 + y) the integrand of I_n is
    exp(h(r0) - n (y - log(1 + y)) - r0^2 y^2/2), of two terms that are never positive, and

        h(r0; t) - h(r0; 0) = n s + t r0/2 = t^2/2 + n s + n t/(2 r0),   s = asinh(t/(2 sqrt(n))),

    where t^2/2 is left out by algebra for t > 0: nothing cancels for either sign. The integrand is
    entire in y, since n is an integer, and Gauss-Legendre of 48 nodes over the interval where it is
    above exp(-38) of its peak is good to 2e-14 relative (a bound by Bernstein ellipses, Trefethen
    2013, theorem 19.3, which the tests compute).
    """
    near = t.detach().abs() < _NEAR
    fixed = torch.where(near, 0, t.detach())
    value, log_weight, ahead = _quadrature(fixed, m - 1)
    zero, zero_weight, _ = _quadrature(t.new_zeros(()), m - 1)
    value = value - zero + log_weight.logsumexp(-1) - zero_weight.logsumexp(-1)
    # The nodes stay where they are: by t the integrand changes as exp((t - fixed) r).
    step = t - fixed
    change = torch.expm1(step[..., None] * ahead)
    change = torch.log1p((log_weight.softmax(-1) * change).sum(-1))
    square = torch.where(fixed > 0, step, torch.where(near, t.clamp(min=0), 0)).square() / 2
    return torch.where(near, 0, value) + change - square


def _quadrature(t: Tensor, n: int) -> tuple[Tensor, Tensor, Tensor]:
    """h(r0; t) - h(r0; 0) less max(t, 0)^2/2, and at nodes log weights and r - max(t, 0)."""
    root = torch.hypot(t, torch.full_like(t, 2 * math.sqrt(n)))
    mode = torch.where(t > 0, (t + root) / 2, 2 * n / (root - t))
    s = torch.asinh(t / (2 * math.sqrt(n)))
    half = torch.where(t > 0, n * t / (2 * mode), t * mode / 2)
    square = mode.square()
    low, high = _interval(square, n)
    x, log_weight = (torch.tensor(a, dtype=t.dtype, device=t.device) for a in _rule())
    width = (high - low)[..., None]
    y = low[..., None] + width * x
    exponent = -n * (y - torch.log1p(y)) - square[..., None] * y.square() / 2
    past = torch.where(t > 0, n / mode, mode)  # r0 - max(t, 0)
    ahead = past[..., None] + mode[..., None] * y
    return n * s + half, log_weight + (mode[..., None] * width).log() + exponent, ahead


def _interval(square: Tensor, n: int) -> tuple[Tensor, Tensor]:
    """Where f(y) = n (y - log(1 + y)) + a y^2/2, a = r0^2, is below `_DROP`, or a little more.

    f is convex and y - log(1 + y) is at least y^2/(2 + 4y/3) for y > 0 and y^2/2 for y < 0. From
    beyond the root that this gives Newton's steps come nearer and stay beyond.
    """

    def nearer(y: Tensor) -> Tensor:
        excess = n * (y - torch.log1p(y)) + square * y.square() / 2 - _DROP
        return y - excess / (n * y / (1 + y) + square * y)

    most = (2 * _DROP / 3 + math.sqrt(4 * _DROP**2 / 9 + 2 * _DROP * n)) / n
    high = torch.sqrt(2 * _DROP / square).clamp(max=most)
    low = -torch.sqrt(2 * _DROP / (n + square))
    inside = low > -1
    start = torch.where(inside, low, -0.5)
    for _ in range(3):
        high = nearer(high)
        start = torch.where(inside, nearer(start).clamp(min=-1 + 1e-9), start)
    return torch.where(inside, start, -1.0), high


@lru_cache(maxsize=1)
def _rule() -> tuple[np.ndarray, np.ndarray]:
    """Nodes and logarithms of weights of Gauss-Legendre on [0, 1]."""
    x, weight = np.polynomial.legendre.leggauss(NODES)
    return (x + 1) / 2, np.log(weight / 2)
