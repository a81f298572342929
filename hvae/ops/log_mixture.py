"""The op `log_mixture`: the logarithm of a sum of exponentials of linear functions.

It is a layer of a network with a log-sum-exp behind it. Rows go through it in blocks, forward and
backward, so that nothing of the size rows x components is ever kept.
"""

from typing import Any

import torch
from torch import Tensor

from hvae.ops.batching import batch_first, one_by_one
from hvae.ops.checks import check_real
from hvae.ops.compiled import C
from hvae.ops.derivatives import (
    Tangents,
    define,
    register_derivatives,
    register_no_derivatives,
    total,
)

_BLOCK = 1 << 19  # logits at a time: 2 MiB of float32, what a cache holds


def log_mixture(features: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """log sum_c exp(features @ weight + bias)_c, for every row of features.

    Of a mixture in exponential families it is the log-density: features are the sufficient
    statistics, the columns of weight the natural parameters, and bias the log weights minus the
    log normalizers.

    Args:
        features: [..., f], float32 or float64.
        weight: [f, C], of that dtype.
        bias: [C], of that dtype.

    Returns:
        [...], of that dtype, with gradients in all three; there is no second derivative. The error
        is of the order of eps times the largest term of the product.

    Raises:
        ValueError, TypeError: for a wrong shape or dtype.
    """
    check_real("features", features)
    if weight.dim() != 2 or features.dim() < 1 or features.shape[-1] != weight.shape[0]:
        raise ValueError(
            f"features {tuple(features.shape)} and weight {tuple(weight.shape)} do not go "
            "together; allowed: [..., f] and [f, C]"
        )
    if bias.shape != weight.shape[1:]:
        raise ValueError(f"bias has shape {tuple(bias.shape)}; allowed: {(weight.shape[1],)}")
    if not features.dtype == weight.dtype == bias.dtype:
        raise TypeError("features, weight and bias differ in dtype; allowed: one dtype")
    rows = features.reshape(-1, features.shape[-1])
    found: Tensor = C.log_mixture(rows, weight, bias)
    return found.reshape(features.shape[:-1])


def _blocks(rows: Tensor, components: int) -> list[slice]:
    step = max(1, _BLOCK // max(1, components))
    return [slice(first, first + step) for first in range(0, len(rows), step)]


def _log_mixture(rows: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    sums = rows.new_empty(len(rows))
    for part in _blocks(rows, len(bias)):
        torch.logsumexp(torch.addmm(bias, rows[part], weight), 1, out=sums[part])
    return sums


def _log_mixture_backward(
    grad: Tensor, rows: Tensor, weight: Tensor, bias: Tensor, total: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    grad_rows = rows.new_empty(rows.shape)
    grad_weight, grad_bias = torch.zeros_like(weight), torch.zeros_like(bias)
    for part in _blocks(rows, len(bias)):
        logits = torch.addmm(bias, rows[part], weight)
        share = logits.sub_(total[part, None]).exp_().mul_(grad[part, None])
        torch.mm(share, weight.T, out=grad_rows[part])
        grad_weight.addmm_(rows[part].T, share)
        grad_bias.add_(share.sum(0))
    return grad_rows, grad_weight, grad_bias


def _shape(rows: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    return rows.new_empty(rows.shape[0])


def _gradient_shapes(
    grad: Tensor, rows: Tensor, weight: Tensor, bias: Tensor, total: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    return rows.new_empty(rows.shape), torch.empty_like(weight), torch.empty_like(bias)


def _remember(ctx: Any, inputs: tuple[Tensor, Tensor, Tensor], output: Tensor) -> None:
    ctx.save_for_backward(*inputs, output)


def _backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    rows, weight, bias, total = ctx.saved_tensors
    found: tuple[Tensor, Tensor, Tensor] = C.log_mixture_backward(grad, rows, weight, bias, total)
    return found


def _push(inputs: tuple[Tensor, Tensor, Tensor], output: Tensor, tangents: Tangents) -> Tensor:
    """The mean, over the shares of the components, of the tangents of their logits."""
    rows, weight, bias = inputs
    rows_tangent, weight_tangent, bias_tangent = tangents
    share = (torch.addmm(bias, rows, weight) - output[:, None]).exp()
    moved = total(
        None if rows_tangent is None else rows_tangent @ weight,
        None if weight_tangent is None else rows @ weight_tangent,
        bias_tangent,
    )
    return (share * moved).sum(1)


def _batched(
    info: Any, in_dims: tuple[int | None, ...], rows: Tensor, weight: Tensor, bias: Tensor
) -> tuple[Tensor, int]:
    """Of one mixture the batch joins the rows."""
    if in_dims[1] is not None or in_dims[2] is not None:
        found: tuple[Tensor, int] = _of_many(info, in_dims, rows, weight, bias)
        return found
    rows = batch_first(rows, in_dims[0], info.batch_size)
    return C.log_mixture(rows.flatten(0, 1), weight, bias).unflatten(0, rows.shape[:2]), 0


_ARGUMENTS = "Tensor rows, Tensor weight, Tensor bias"
define(f"log_mixture({_ARGUMENTS}) -> Tensor", _log_mixture, _shape)
define(
    f"log_mixture_backward(Tensor grad, {_ARGUMENTS}, Tensor total) -> (Tensor, Tensor, Tensor)",
    _log_mixture_backward,
    _gradient_shapes,
)
_of_many = one_by_one(C.log_mixture)
register_derivatives("log_mixture", _remember, _backward, _push)
register_no_derivatives(
    "log_mixture_backward", "hvae.ops.log_mixture has no second derivative in reverse mode"
)
torch.library.register_vmap("hvae::log_mixture", _batched)
torch.library.register_vmap("hvae::log_mixture_backward", one_by_one(C.log_mixture_backward))


def mixture_sums(rows: Tensor, weight: Tensor, bias: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """`log_mixture` of every row, and what an EM step sums over the rows (without gradients).

    With the shares p = softmax(rows @ weight + bias) of the components in a row:

    Args:
        rows: [n, f], float32 or float64.
        weight: [f, C], of that dtype.
        bias: [C], of that dtype.

    Returns:
        totals [n], the log-sum-exp; counts [C], the sums of p; sums [C, f], those of p x. The rows
        go through in blocks, so that nothing of the size n x C is ever kept.
    """
    totals = rows.new_empty(len(rows))
    counts, sums = torch.zeros_like(bias), rows.new_zeros(len(bias), rows.shape[1])
    for part in _blocks(rows, len(bias)):
        share = torch.addmm(bias, rows[part], weight)
        highest = share.amax(1, keepdim=True)
        share.sub_(highest).exp_()
        total = share.sum(1, keepdim=True)
        share.div_(total)
        totals[part] = (total.log_() + highest)[:, 0]
        counts.add_(share.sum(0))
        sums.addmm_(share.T, rows[part])
    return totals, counts, sums
