"""The op `elements`: a quantity of the concentration, an order for every element."""

import math
from typing import Any

import torch
from torch import Tensor

from hvae.ops.batching import batch_first
from hvae.ops.checks import check_real, index_of
from hvae.ops.compiled import C
from hvae.ops.derivatives import register_derivatives
from hvae.ops.quantities import QUANTITIES, gradient, pushed, second_derivative

NO_DERIVATIVE_IN_ORDER = (
    "the derivative of a Bessel function in its order is not offered; detach the order"
)

MOST_SHARED = 1e5  # beyond, the prepared polynomials of one order leave out terms that count


def bessel(order: float | Tensor, k: Tensor, quantity: str) -> tuple[Tensor, Tensor]:
    """A quantity of `vmf`, or the logarithm of a Bessel function, at real orders nu = m/2 - 1.

    Args:
        order: nu, a number for every element (the fast way: its coefficients are prepared once), or
            a tensor of the shape, dtype and device of k. There is no derivative in the order:
            asking for one raises.
        k: [...], float32 or float64.
        quantity: "log_iv", log I_nu(k); "log_ive", log(exp(-k) I_nu(k)); or a quantity of `vmf`.

    Returns:
        (value, derivative in k), each of the shape of k; NaN where the order or k is negative or
        NaN, or the order infinite.

    Raises:
        ValueError, TypeError: for a wrong name, shape or dtype.

    Accuracy: as `vmf`, for orders to 1e300 (float32: 1e38), where a value is a normal number;
    log I_nu to 1e-15 (float32: 3e-7) of the larger of its magnitude and sqrt(nu^2 + k^2). DLMF
    10.25.2, 10.41.3.
    """
    index = index_of(quantity, QUANTITIES, "quantity")
    check_real("k", k)
    if isinstance(order, Tensor):
        if order.shape != k.shape or order.dtype != k.dtype:
            raise ValueError(
                f"order has shape {tuple(order.shape)} and dtype {order.dtype}; allowed: a number, "
                f"or those of k, {tuple(k.shape)} and {k.dtype}"
            )
        value, slope = C.elements(order, k, index)
        return value, slope
    if not 0 <= order < math.inf:
        return k * math.nan, k * math.nan
    if order > MOST_SHARED:
        return bessel(torch.full_like(k, order), k, quantity)
    value, slope = C.columns(k[..., None], [float(order)], index)
    return value[..., 0], slope[..., 0]


def _shapes(order: Tensor, k: Tensor, quantity: int) -> tuple[Tensor, Tensor]:
    k = k.contiguous()
    return torch.empty_like(k), torch.empty_like(k)


def _remember(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    order, k, ctx.quantity = inputs
    ctx.save_for_backward(order, k, output[1])
    ctx.set_materialize_grads(False)


def _backward(
    ctx: Any, grad_value: Tensor | None, grad_slope: Tensor | None
) -> tuple[None, Tensor | None, None]:
    if ctx.needs_input_grad[0]:
        raise RuntimeError(NO_DERIVATIVE_IN_ORDER)
    order, k, slope = ctx.saved_tensors

    def evaluate(quantity: int) -> tuple[Tensor, Tensor]:
        value, slope = C.elements(order, k, quantity)
        return value, slope

    def second() -> Tensor:
        return second_derivative(evaluate, ctx.quantity, order, k)

    return None, gradient(grad_value, grad_slope, slope, second), None


def _push(inputs: tuple[Any, ...], output: tuple[Tensor, Tensor], tangents: Any) -> Any:
    order, k, quantity = inputs
    if tangents[0] is not None:
        raise RuntimeError(NO_DERIVATIVE_IN_ORDER)
    return pushed(tangents[1], output[1], order, k, quantity, lambda q: C.elements(order, k, q))


def _batched(
    info: Any, in_dims: tuple[Any, ...], order: Tensor, k: Tensor, quantity: int
) -> tuple[tuple[Tensor, Tensor], tuple[int, int]]:
    order = batch_first(order, in_dims[0], info.batch_size)
    k = batch_first(k, in_dims[1], info.batch_size)
    return C.elements(order, k, quantity), (0, 0)


torch.library.register_fake("hvae::elements", _shapes)
register_derivatives("elements", _remember, _backward, _push)
torch.library.register_vmap("hvae::elements", _batched)
