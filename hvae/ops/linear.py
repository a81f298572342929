"""A linear layer, with its matrix products by the library that is the faster one on a processor.

torch multiplies float32 matrices by MKL, which has no AVX-512 for processors that are not Intel's:
there the oneDNN within torch is up to twice as fast, and elsewhere it may be slower. Which is the
faster one is a matter of measurement (`hvae.runs.products`). Both round as float32 does.
"""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

PRODUCTS = ("torch", "onednn")

_LEAST_OPERATIONS = 1 << 23  # of a product: with fewer, the call costs what the loops gain
_ONEDNN = getattr(torch.ops.mkldnn, "_linear_pointwise", None)


def available_products() -> tuple[str, ...]:
    """Those of `PRODUCTS` that this build of torch has."""
    return PRODUCTS if _ONEDNN is not None else PRODUCTS[:1]


def linear(x: Tensor, weight: Tensor, bias: Tensor | None, products: str = "torch") -> Tensor:
    """x W^T + b.

    Args:
        x: [..., inputs].
        weight: [outputs, inputs]; bias: [outputs] or None.
        products: one of `PRODUCTS`: what multiplies here and in the derivatives. "torch" is
            `torch.nn.functional.linear`, to the bit. "onednn" is the same but for the rounding, and
            leaves to torch what oneDNN does not do or gains nothing from: products of less than
            2^23 operations, all that is not float32 on a CPU, and what `torch.compile` and the
            transforms of `torch.func` trace, which choose for themselves.

    Returns:
        [..., outputs]; differentiable any number of times.

    Raises:
        ValueError: for an unknown name.
    """
    if products not in PRODUCTS:
        raise ValueError(f"products is {products!r}; allowed: {', '.join(PRODUCTS)}")
    if products == "torch" or not _gains(x, weight):
        return functional.linear(x, weight, bias)
    rows = x.reshape(-1, x.shape[-1])
    return _product(rows, weight, bias).reshape(*x.shape[:-1], len(weight))


def _gains(x: Tensor, weight: Tensor) -> bool:
    if torch.compiler.is_compiling() or torch._C._are_functorch_transforms_active():
        return False
    known = _ONEDNN is not None and x.is_cpu and x.dtype == torch.float32
    return known and 2 * x.numel() * len(weight) >= _LEAST_OPERATIONS


class _Product(torch.autograd.Function):
    """a b^T + bias, of a [N, K], b [M, K] and bias [M].

    A function of autograd and no op of the dispatcher, whose derivatives in Python take three times
    as long to call: a tenth of a training step on a fast processor.
    """

    @staticmethod
    def forward(ctx: Any, a: Tensor, b: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(a, b)
        return _by_onednn(a, b, bias)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        a, b = ctx.saved_tensors
        (grad,) = grads
        for_a, for_b, for_bias = ctx.needs_input_grad
        return (
            _product(grad, b.t(), None) if for_a else None,
            _product(grad.t(), a.t(), None) if for_b else None,
            grad.sum(0) if for_bias else None,
        )


def _product(a: Tensor, b: Tensor, bias: Tensor | None) -> Tensor:
    if not torch.is_grad_enabled():
        return _by_onednn(a, b, bias)
    product: Tensor = _Product.apply(a, b, bias)  # type: ignore[no-untyped-call]
    return product


def _by_onednn(a: Tensor, b: Tensor, bias: Tensor | None) -> Tensor:
    assert _ONEDNN is not None
    product: Tensor = _ONEDNN(a, b, bias, "none", [], "")
    return product
