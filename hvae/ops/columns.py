"""The op `columns`: a quantity of the concentration, one order a column."""

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from hvae.ops.checks import ambient_dimensions, check_real, index_of
from hvae.ops.compiled import C
from hvae.ops.derivatives import register_derivatives
from hvae.ops.quantities import VMF_QUANTITIES, gradient, pushed, second_derivative


def log_area(m: int) -> float:
    """log of the area of the unit sphere S^{m-1} in R^m: log 2 + (m/2) log pi - lgamma(m/2).

    Args:
        m: ambient dimension, at least 1.
    """
    return math.log(2) + m / 2 * math.log(math.pi) - math.lgamma(m / 2)


def vmf(kappa: Tensor, dims: Sequence[int], quantity: str) -> tuple[Tensor, Tensor]:
    """A quantity of von Mises-Fisher distributions and its derivative in the concentration.

    With L = log 0F1(; m/2; kappa^2/4) the density on a shell is exp(kappa mu.z - L) / |S^{m-1}|:

    - "L"; "k_minus_L", kappa - L computed as itself, for importance weights;
    - "A" = dL/dkappa = I_{m/2}(kappa) / I_{m/2-1}(kappa), the mean resultant length;
      "one_minus_A"; "dA" = dA/dkappa;
    - "KL" = kappa A - L, the divergence to the uniform distribution; "dKL" = kappa dA.

    Args:
        kappa: [..., shells], concentrations, float32 or float64.
        dims: ambient dimension of each shell.
        quantity: one of the names above.

    Returns:
        (value, derivative), each of the shape of kappa; NaN where kappa < 0 or NaN, the limits at 0
        and infinity. Both are differentiable; third derivatives of L are good to about 1e-9, and
        there are none beyond.

    Raises:
        ValueError, TypeError: for a wrong name, shape or dtype.

    Accuracy: L, A and 1 - A to 1.5e-15 relative in float64 (5e-7 in float32), KL to 2e-15 (1e-6),
    dA and dKL to 3e-15 (3e-6), for m from 2 to 4096 and kappa from 1e-8 to 1e8. DLMF 10.25.2,
    10.41.3.
    """
    index = index_of(quantity, VMF_QUANTITIES, "quantity")
    dims = ambient_dimensions(dims)
    check_real("kappa", kappa)
    if kappa.dim() < 1 or kappa.shape[-1] != len(dims):
        raise ValueError(
            f"kappa has shape {tuple(kappa.shape)}; allowed: [..., {len(dims)}], "
            "one concentration for each of dims"
        )
    value, slope = C.columns(kappa, [m / 2 - 1 for m in dims], index)
    return value, slope


def _shapes(k: Tensor, orders: list[float], quantity: int) -> tuple[Tensor, Tensor]:
    k = k.contiguous()
    return torch.empty_like(k), torch.empty_like(k)


def _remember(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    k, ctx.orders, ctx.quantity = inputs
    ctx.save_for_backward(k, output[1])
    ctx.set_materialize_grads(False)


def _backward(
    ctx: Any, grad_value: Tensor | None, grad_slope: Tensor | None
) -> tuple[Tensor | None, None, None]:
    k, slope = ctx.saved_tensors

    def evaluate(quantity: int) -> tuple[Tensor, Tensor]:
        value, slope = C.columns(k, ctx.orders, quantity)
        return value, slope

    def second() -> Tensor:
        return second_derivative(evaluate, ctx.quantity, _filled(k, ctx.orders), k)

    return gradient(grad_value, grad_slope, slope, second), None, None


def _filled(like: Tensor, values: Sequence[float]) -> Tensor:
    """[n], without a copy from the host, which a CUDA graph could not hold."""
    return torch.stack([like.new_full((), value) for value in values])


def _push(inputs: tuple[Any, ...], output: tuple[Tensor, Tensor], tangents: Any) -> Any:
    k, orders, quantity = inputs
    return pushed(
        tangents[0], output[1], _filled(k, orders), k, quantity, lambda q: C.columns(k, orders, q)
    )


def _batched(
    info: Any, in_dims: tuple[Any, ...], k: Tensor, orders: list[float], quantity: int
) -> tuple[tuple[Tensor, Tensor], tuple[int, int]]:
    return C.columns(k.movedim(in_dims[0], 0), orders, quantity), (0, 0)


torch.library.register_fake("hvae::columns", _shapes)
register_derivatives("columns", _remember, _backward, _push)
torch.library.register_vmap("hvae::columns", _batched)
