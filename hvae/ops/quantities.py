"""The functions of the concentration that `columns` and `elements` compute, and their derivatives.

Every quantity comes with its first derivative. Its second is the first of another quantity where
its first is one: L' = A (DLMF 10.29.4), (k - L)' = 1 - A, KL' = k A'.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor

# In the order of `enum class Quantity` (csrc/math/quantity.h).
QUANTITIES = ("L", "k_minus_L", "A", "one_minus_A", "dA", "KL", "dKL", "log_iv", "log_ive")
VMF_QUANTITIES = QUANTITIES[:7]

# The quantity that the derivative of a quantity is, and its sign. There is none for A', k A' and
# the logarithms of Bessel functions.
_DERIVATIVE = {
    "L": ("A", 1.0),
    "k_minus_L": ("one_minus_A", 1.0),
    "A": ("dA", 1.0),
    "one_minus_A": ("dA", -1.0),
    "KL": ("dKL", 1.0),
}
_WITHOUT_SECOND = ("dA", "dKL")


def second_derivative(
    evaluate: Callable[[int], tuple[Tensor, Tensor]], quantity: int, order: Tensor, k: Tensor
) -> Tensor:
    """The derivative of a quantity's derivative. That of log I and of log(e^-k I) is A' - nu/k^2.

    Args:
        evaluate: gives (value, derivative) at k of the quantity of a number.
        quantity: a number, the index of `QUANTITIES`.
        order: nu, of a shape that broadcasts with that of k.
        k: concentrations.

    Raises:
        RuntimeError: for dA and dKL, whose second derivative is not offered.
    """
    name = QUANTITIES[quantity]
    if name in ("log_iv", "log_ive"):
        slope_of_ratio = evaluate(QUANTITIES.index("A"))[1]
        return slope_of_ratio - torch.where(order == 0, 0, order / k**2)
    if name in _WITHOUT_SECOND:
        raise RuntimeError(f"{name} of hvae has no derivative beyond the first")
    derivative, sign = _DERIVATIVE[name]
    return sign * evaluate(QUANTITIES.index(derivative))[1]


def gradient(
    grad_value: Tensor | None,
    grad_slope: Tensor | None,
    slope: Tensor,
    second: Callable[[], Tensor],
) -> Tensor | None:
    """The gradient in k of an op that returned a value and its slope.

    Args:
        grad_value, grad_slope: the gradients that arrive at the two; None for zero.
        slope: the derivative of the value.
        second: computes the derivative of the slope; called only if it is needed.
    """
    grad = None
    if grad_value is not None:
        grad = grad_value * slope
    if grad_slope is not None:
        from_slope = grad_slope * second()
        grad = from_slope if grad is None else grad + from_slope
    return grad


def pushed(
    tangent: Tensor,
    slope: Tensor,
    order: Tensor,
    k: Tensor,
    quantity: int,
    evaluate: Callable[[int], tuple[Tensor, Tensor]],
) -> tuple[Tensor, Tensor]:
    """The tangents of the value and of its slope (forward mode).

    That of the slope of dA and dKL, which has no derivative, is NaN: whether it will be used is not
    known here.

    Args:
        tangent: of k.
        slope: the derivative of the value.
        order, k, quantity, evaluate: as in `second_derivative`.
    """
    if QUANTITIES[quantity] in _WITHOUT_SECOND:
        return tangent * slope, torch.full_like(slope, math.nan)
    return tangent * slope, tangent * second_derivative(evaluate, quantity, order, k)
