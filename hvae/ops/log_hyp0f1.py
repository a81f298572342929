"""The ops `log_hyp0f1` and `log_hyp0f1_slope`: log 0F1(; b; x) and its derivative in x.

They are made of the quantities of `hvae.ops.bessel` at k = 2 sqrt(x). As ops of their own they have
derivatives in which no square root is left to differentiate at x = 0.
"""

import math
from typing import Any

import torch
from torch import Tensor

from hvae.ops.batching import batch_first
from hvae.ops.compiled import C
from hvae.ops.derivatives import Tangents, define, register_derivatives
from hvae.ops.elements import NO_DERIVATIVE_IN_ORDER, bessel


def log_hyp0f1(b: float | Tensor, x: Tensor) -> Tensor:
    """log 0F1(; b; x) for b > 0 and x >= 0, NaN elsewhere (DLMF 16.2.1, 10.39.9).

    Args:
        b: a number, or a tensor of the shape, dtype and device of x. There is no derivative in it:
            asking for one raises.
        x: [...], float32 or float64.

    Returns:
        the shape of x, differentiable in x any number of times. `hvae.special.log_hyp0f1` has the
        accuracy.
    """
    number, order = (0.0, b) if isinstance(b, Tensor) else (float(b), None)
    value: Tensor = C.log_hyp0f1(x, order, number)
    return value


def _value(x: Tensor, order: Tensor | None, number: float) -> Tensor:
    """L at k = 2 sqrt(x); below b = 1 from 0F1(b) = 0F1(b + 1) (1 + k A_b / (2 b))."""
    k = 2 * torch.sqrt(x)
    if order is None:
        if number >= 1:
            return bessel(number - 1, k, "L")[0]
        b = number if number > 0 else math.nan
        value, ratio = bessel(b, k, "L")
        return value + _log_quotient(k * ratio / 2, k.new_tensor(b))
    order = torch.where(order > 0, order, math.nan)
    below = order < 1
    value, ratio = bessel(torch.where(below, order, order - 1), k, "L")
    return torch.where(below, value + _log_quotient(k * ratio / 2, order), value)


def _log_quotient(u: Tensor, b: Tensor) -> Tensor:
    """log(1 + u/b), where u/b may overflow."""
    quotient = u / b
    apart = u.log() - b.log()
    return torch.where(quotient < math.inf, quotient.log1p(), torch.where(u < math.inf, apart, u))


def _slope(x: Tensor, order: Tensor | None, number: float) -> Tensor:
    """s_b = 1/(b + x s_{b+1}), DLMF 16.3.6, with x s_{b+1} = k A_b(k) / 2."""
    k = 2 * torch.sqrt(x)
    b = number if order is None else order
    return 1 / (b + k * bessel(b, k, "A")[0] / 2)


def _shape(x: Tensor, order: Tensor | None, number: float) -> Tensor:
    return torch.empty_like(x)


def _remember(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    x, order, ctx.number = inputs
    ctx.save_for_backward(x, output, *(() if order is None else (order,)))


def _recall(ctx: Any) -> tuple[Tensor, Tensor, Tensor | None]:
    """x, what was returned, the order."""
    if ctx.needs_input_grad[1]:
        raise RuntimeError(NO_DERIVATIVE_IN_ORDER)
    x, output, *order = ctx.saved_tensors
    return x, output, order[0] if order else None


def _backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
    x, _, order = _recall(ctx)
    return grad * C.log_hyp0f1_slope(x, order, ctx.number), None, None


def _backward_of_slope(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
    x, slope, order = _recall(ctx)
    return grad * _second(x, order, ctx.number, slope), None, None


def _second(x: Tensor, order: Tensor | None, number: float, slope: Tensor) -> Tensor:
    """s_b' = s_b (s_{b+1} - s_b)."""
    following = None if order is None else order + 1
    second: Tensor = slope * (C.log_hyp0f1_slope(x, following, number + 1) - slope)
    return second


def _push(inputs: tuple[Any, ...], output: Tensor, tangents: Tangents) -> Tensor:
    moved: Tensor = _tangent_of_x(tangents) * C.log_hyp0f1_slope(*inputs)
    return moved


def _push_slope(inputs: tuple[Any, ...], output: Tensor, tangents: Tangents) -> Tensor:
    x, order, number = inputs
    return _tangent_of_x(tangents) * _second(x, order, number, output)


def _tangent_of_x(tangents: Tangents) -> Tensor:
    if tangents[1] is not None or tangents[0] is None:
        raise RuntimeError(NO_DERIVATIVE_IN_ORDER)
    return tangents[0]


def _batched(op: Any) -> Any:
    def rule(
        info: Any, in_dims: tuple[int | None, ...], x: Tensor, order: Tensor | None, number: float
    ) -> tuple[Tensor, int]:
        x = batch_first(x, in_dims[0], info.batch_size)
        if order is not None:
            order = batch_first(order, in_dims[1], info.batch_size)
        return op(x, order, number), 0

    return rule


define("log_hyp0f1(Tensor x, Tensor? order, float number) -> Tensor", _value, _shape)
define("log_hyp0f1_slope(Tensor x, Tensor? order, float number) -> Tensor", _slope, _shape)
register_derivatives("log_hyp0f1", _remember, _backward, _push)
register_derivatives("log_hyp0f1_slope", _remember, _backward_of_slope, _push_slope)
for _op in ("log_hyp0f1", "log_hyp0f1_slope"):
    torch.library.register_vmap(f"hvae::{_op}", _batched(getattr(C, _op)))
