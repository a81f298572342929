"""The op `log_mixture`: the logarithm of a sum of exponentials of linear functions.

It is a layer of a network with a log-sum-exp behind it. Rows go through it in blocks, forward and
backward, so that nothing of the size rows x components is ever kept.
"""

from typing import Any

import torch
from torch import Tensor

from hvae.ops.checks import check_real

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
    found: Tensor = torch.ops.hvae.log_mixture(rows, weight, bias)
    return found.reshape(features.shape[:-1])


def _blocks(rows: Tensor, components: int) -> list[slice]:
    step = max(1, _BLOCK // max(1, components))
    return [slice(first, first + step) for first in range(0, len(rows), step)]


@torch.library.custom_op("hvae::log_mixture", mutates_args=())
def _log_mixture(rows: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    total = rows.new_empty(len(rows))
    for part in _blocks(rows, len(bias)):
        torch.logsumexp(torch.addmm(bias, rows[part], weight), 1, out=total[part])
    return total


@torch.library.custom_op("hvae::log_mixture_backward", mutates_args=())
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
    found: tuple[Tensor, Tensor, Tensor] = torch.ops.hvae.log_mixture_backward(
        grad, rows, weight, bias, total
    )
    return found


_log_mixture.register_fake(_shape)
_log_mixture_backward.register_fake(_gradient_shapes)
_log_mixture.register_autograd(_backward, setup_context=_remember)
