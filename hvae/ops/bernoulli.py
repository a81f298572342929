"""The op `bernoulli`: the log-likelihood of binary pixels, in one pass over the logits."""

from typing import Any

import torch
from torch import Tensor

from hvae.ops.batching import batch_first
from hvae.ops.checks import check_real
from hvae.ops.compiled import C
from hvae.ops.derivatives import Tangents, register_derivatives, total


def bernoulli_log_prob(logits: Tensor, x: Tensor) -> Tensor:
    """log p(x) of independent Bernoulli pixels, summed: sum_j x_j l_j - softplus(l_j).

    Args:
        logits: [..., pixels], float32 or float64.
        x: [..., pixels], uint8 or the dtype of logits, values in [0, 1]; its leading shape is the
            end of that of logits, so that the images serve every sample before them.

    Returns:
        [...], the leading shape of logits; differentiable twice in logits and in a floating x.

    Raises:
        ValueError, TypeError, RuntimeError: for a wrong shape, dtype or device.
    """
    check_real("logits", logits)
    if x.dtype not in (torch.uint8, logits.dtype):
        raise TypeError(f"x has dtype {x.dtype}; allowed: torch.uint8, {logits.dtype}")
    lead = logits.shape[:-1]
    skipped = logits.dim() - x.dim()
    if x.dim() < 1 or skipped < 0 or logits.shape[skipped:] != x.shape:
        raise ValueError(
            f"x has shape {tuple(x.shape)}; allowed: the last dimensions of {tuple(logits.shape)}"
        )
    pixels = logits.shape[-1]
    if logits.numel() == 0:
        return (logits * x.to(logits.dtype)).sum(-1)
    log_prob: Tensor = C.bernoulli(logits.reshape(-1, pixels), x.reshape(-1, pixels))
    return log_prob.reshape(lead)


def _shape(logits: Tensor, x: Tensor) -> Tensor:
    return logits.new_empty((logits.shape[0],))


def _gradient_shape(grad: Tensor, logits: Tensor, x: Tensor) -> Tensor:
    return logits.new_empty(logits.shape)


def _remember(ctx: Any, inputs: tuple[Tensor, ...], output: Tensor) -> None:
    ctx.save_for_backward(*inputs)


def _backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor | None]:
    logits, x = ctx.saved_tensors
    grad_x = None
    if ctx.needs_input_grad[1]:
        images = x.shape[0]
        grad_x = (grad[:, None] * logits).reshape(-1, images, x.shape[1]).sum(0)
    return C.bernoulli_backward(grad, logits, x), grad_x


def _push(inputs: tuple[Tensor, Tensor], output: Tensor, tangents: Tangents) -> Tensor:
    """sum_j (x_j - p_j) dl_j + l_j dx_j."""
    logits, x = inputs
    logits_tangent, x_tangent = tangents
    through_logits = through_x = None
    if logits_tangent is not None:
        through_logits = ((_tiled(x, logits) - logits.sigmoid()) * logits_tangent).sum(1)
    if x_tangent is not None:
        through_x = (logits * _tiled(x_tangent, logits)).sum(1)
    return total(through_logits, through_x)


def _tiled(x: Tensor, logits: Tensor) -> Tensor:
    """The images [images, pixels] for every row of the logits."""
    return x.to(logits.dtype).repeat(logits.shape[0] // max(1, x.shape[0]), 1)


def _push_gradient(
    inputs: tuple[Tensor, Tensor, Tensor], output: Tensor, tangents: Tangents
) -> Tensor:
    """Of grad (x - p)."""
    grad, logits, x = inputs
    grad_tangent, logits_tangent, x_tangent = tangents
    p = logits.sigmoid()
    return total(
        None if grad_tangent is None else grad_tangent[:, None] * (_tiled(x, logits) - p),
        None if logits_tangent is None else -grad[:, None] * p * (1 - p) * logits_tangent,
        None if x_tangent is None else grad[:, None] * _tiled(x_tangent, logits),
    )


def _double_backward(ctx: Any, outer: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
    grad, logits, x = ctx.saved_tensors
    p = torch.sigmoid(logits)
    grad_grad = (outer * (_tiled(x, logits) - p)).sum(1)
    grad_logits = -outer * grad[:, None] * p * (1 - p)
    grad_x = None
    if ctx.needs_input_grad[2]:
        grad_x = (outer * grad[:, None]).reshape(-1, *x.shape).sum(0)
    return grad_grad, grad_logits, grad_x


def _by_sample(
    info: Any, in_dims: tuple[int | None, ...], logits: Tensor, x: Tensor
) -> tuple[Tensor, Tensor]:
    """The arguments as logits [samples, batch, images, pixels] and x [batch, images, pixels].

    Rows count through samples first, then the batch, then the images, so that x serves the samples.
    """
    logits = batch_first(logits, in_dims[0], info.batch_size)
    x = batch_first(x, in_dims[1], info.batch_size)
    samples = logits.shape[1] // max(1, x.shape[1])
    return logits.unflatten(1, (samples, x.shape[1])).movedim(1, 0), x


def _batched(
    info: Any, in_dims: tuple[int | None, ...], logits: Tensor, x: Tensor
) -> tuple[Tensor, int]:
    logits, x = _by_sample(info, in_dims, logits, x)
    out = C.bernoulli(logits.flatten(0, 2), x.flatten(0, 1))
    return out.reshape(logits.shape[:3]).movedim(0, 1).flatten(1), 0


def _gradient_batched(
    info: Any, in_dims: tuple[int | None, ...], grad: Tensor, logits: Tensor, x: Tensor
) -> tuple[Tensor, int]:
    grad = batch_first(grad, in_dims[0], info.batch_size)
    logits, x = _by_sample(info, in_dims[1:], logits, x)
    grad = grad.unflatten(1, (logits.shape[0], x.shape[1])).movedim(1, 0)
    out = C.bernoulli_backward(grad.flatten(), logits.flatten(0, 2), x.flatten(0, 1))
    return out.reshape(logits.shape).movedim(0, 1).flatten(1, 2), 0


torch.library.register_fake("hvae::bernoulli", _shape)
register_derivatives("bernoulli", _remember, _backward, _push)
torch.library.register_vmap("hvae::bernoulli", _batched)
torch.library.register_fake("hvae::bernoulli_backward", _gradient_shape)
register_derivatives("bernoulli_backward", _remember, _double_backward, _push_gradient)
torch.library.register_vmap("hvae::bernoulli_backward", _gradient_batched)
