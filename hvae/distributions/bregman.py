"""The Bregman divergence of L between two concentrations on one shell, without cancellation.

    KL(vMF(mu1, k1) || vMF(mu2, k2)) = B(k1, k2) + k2 A(k1) |mu1 - mu2|^2 / 2
    B(k1, k2) = L(k2) - L(k1) - A(k1) (k2 - k1) = integral from k1 to k2 of (k2 - s) A'(s) ds

with L, A = L' and A' as in `hvae.ops.vmf`. Where k1 and k2 are within a factor of 4 the integral is
taken in log s, in which A' has its nearest poles half pi away whatever the concentrations, by
16-point Gauss-Legendre: the terms are positive and the rest is below 1e-15. Further apart it is
KL(k1) less A(k1) k2 - L(k2), the latter from (k2 - L(k2)) - (1 - A(k1)) k2 where those are the
smaller terms. Either side of the factor the relative error is below 2e-14.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from hvae import ops
from hvae.ops.batching import batch_first
from hvae.ops.derivatives import Tangents, define, register_derivatives

NEAR = 4.0
_X, _W = np.polynomial.legendre.leggauss(16)
NODES, WEIGHTS = ((1 + _X) / 2).tolist(), (_W / 2).tolist()


def bregman(k1: Tensor, k2: Tensor, dims: Sequence[int]) -> Tensor:
    """B(k1, k2) of every shell, at least 0; differentiable twice.

    Args:
        k1, k2: [..., shells], concentrations of one shape, float32 or float64.
        dims: ambient dimension of each shell.

    Returns:
        [..., shells]; relative error at most 1e-13 (float32: 1e-5) where it does not underflow.
    """
    value: Tensor = torch.ops.hvae.bregman(k1, k2, list(dims))[0]
    return value


def _values(k1: Tensor, k2: Tensor, dims: Sequence[int]) -> tuple[Tensor, Tensor]:
    """(B(k1, k2), A(k2) - A(k1)); the second is the derivative of the first in k2."""
    near = (k1 < NEAR * k2) & (k2 < NEAR * k1)
    quadrature = _quadrature(torch.where(near, k1, 1), torch.where(near, k2, 1), dims)
    value, rise = (
        torch.where(near, q, d) for q, d in zip(quadrature, _direct(k1, k2, dims), strict=True)
    )
    return value, rise


def _shapes(k1: Tensor, k2: Tensor, dims: Sequence[int]) -> tuple[Tensor, Tensor]:
    return k1.new_empty(k1.shape), k1.new_empty(k1.shape)


def _remember(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    k1, k2, ctx.dims = inputs
    ctx.save_for_backward(k1, k2, output[1])


def _backward(ctx: Any, grad_value: Tensor, grad_rise: Tensor) -> tuple[Tensor, Tensor, None]:
    k1, k2, rise = ctx.saved_tensors
    slope1, slope2 = (ops.vmf(k, ctx.dims, "dA")[0] for k in (k1, k2))
    grad_k1 = -slope1 * (grad_value * (k2 - k1) + grad_rise)
    return grad_k1, grad_value * rise + grad_rise * slope2, None


def _push(
    inputs: tuple[Any, ...], output: tuple[Tensor, Tensor], tangents: Tangents
) -> tuple[Tensor, Tensor]:
    k1, k2, dims = inputs
    first, second = (
        torch.zeros_like(k) if t is None else t for k, t in zip((k1, k2), tangents[:2], strict=True)
    )
    slope1, slope2 = (ops.vmf(k, dims, "dA")[0] for k in (k1, k2))
    fall = slope1 * first
    return output[1] * second - fall * (k2 - k1), slope2 * second - fall


def _batched(
    info: Any, in_dims: tuple[Any, ...], k1: Tensor, k2: Tensor, dims: Sequence[int]
) -> tuple[tuple[Tensor, Tensor], tuple[int, int]]:
    k1, k2 = (
        batch_first(k, i, info.batch_size) for k, i in zip((k1, k2), in_dims[:2], strict=True)
    )
    return torch.ops.hvae.bregman(k1, k2, dims), (0, 0)


def _quadrature(k1: Tensor, k2: Tensor, dims: Sequence[int]) -> tuple[Tensor, Tensor]:
    """The integrals of (k2 - s) A'(s) and of A'(s), in log s."""
    shape = (-1, *[1] * k1.dim())
    x, w = (k1.new_tensor(numbers).reshape(shape) for numbers in (NODES, WEIGHTS))
    span = torch.log1p((k2 - k1) / k1)
    s = k1 * torch.exp(span * x)  # [nodes, ..., shells]
    rise = span * w * s * ops.vmf(s, dims, "dA")[0]
    return (rise * s * torch.expm1(span * (1 - x))).sum(0), rise.sum(0)


def _direct(k1: Tensor, k2: Tensor, dims: Sequence[int]) -> tuple[Tensor, Tensor]:
    """The differences themselves, of the smaller of two pairs of terms."""
    (_, mean1), (norm2, mean2) = (ops.vmf(k, dims, "L") for k in (k1, k2))
    (_, rest1), (complement2, rest2) = (ops.vmf(k, dims, "k_minus_L") for k in (k1, k2))
    plain, complementary = (mean1 * k2, norm2), (complement2, rest1 * k2)
    smaller = torch.maximum(*plain) <= torch.maximum(*complementary)
    tangent = torch.where(smaller, plain[0] - plain[1], complementary[0] - complementary[1])
    value = ops.vmf(k1, dims, "KL")[0] - tangent
    rise = torch.where(torch.maximum(mean1, mean2) < 0.5, mean2 - mean1, rest1 - rest2)
    return value, rise


define("bregman(Tensor k1, Tensor k2, int[] dims) -> (Tensor, Tensor)", _values, _shapes)
register_derivatives("bregman", _remember, _backward, _push)
torch.library.register_vmap("hvae::bregman", _batched)
