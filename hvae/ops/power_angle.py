"""The op `power_angle`: angles of draws of the Power Spherical distribution, and their derivative.

Like those of `hvae.ops.sample`, draws are random fields with an unbiased derivative, which has no
derivative itself.
"""

from typing import Any

import torch
from torch import Tensor

from hvae.ops.batching import batch_first, one_by_one
from hvae.ops.checks import ambient_dimensions, check_real, check_shell
from hvae.ops.compiled import C
from hvae.ops.derivatives import Tangents, register_derivatives, register_no_derivatives


def power_angle(k: Tensor, m: int, rng: Tensor, samples: int = 1, shell: int = 0) -> Tensor:
    """The angle theta between a draw and its mean direction: cos^2(theta/2) is Beta(k + b, b).

    b = (m - 1)/2 (De Cao and Aziz 2020, section 3.2). By the proposals of Wood (1994), of which
    0.657 or more are accepted.

    Args:
        k: [rows], concentrations, 0 <= k < infinity (to 1e8 in float32), float32 or float64.
        m: ambient dimension, 2 to 32768.
        rng: int64 [4], (key, step, row, sample), from `hvae.random.stream`, on the device of k.
        samples: draws of each row.
        shell: index, 0 to 65534, of the component that draws, in the random stream.

    Returns:
        [samples, rows], differentiable once in k (Figurnov, Mohamed, Mnih 2018); the derivative at
        an angle has a relative error of 1e-13 (float32: 2e-6 to m = 64, 3e-5 at m = 32768).

    Raises:
        ValueError, TypeError, RuntimeError: for a wrong number, shape, dtype or device.

    A draw depends on its place in the stream alone, as those of `hvae.ops.sample` do. A NaN
    concentration gives a NaN angle.
    """
    check_real("k", k)
    if k.dim() != 1:
        raise ValueError(f"k has shape {tuple(k.shape)}; allowed: [rows]")
    (m,) = ambient_dimensions([m])
    check_shell(shell, 1)
    theta: Tensor = C.power_angle(k, m, rng, samples, shell)
    return theta


def _remember(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    k, ctx.m = inputs[:2]
    ctx.save_for_backward(k, output)


def _backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None, None, None]:
    k, theta = ctx.saved_tensors
    return (grad * C.power_angle_slope(k, theta, ctx.m)).sum(0), None, None, None, None


def _push(inputs: tuple[Any, ...], output: Tensor, tangents: Tangents) -> Tensor | None:
    if tangents[0] is None:
        return None
    moved: Tensor = tangents[0] * C.power_angle_slope(inputs[0], output, inputs[1])
    return moved


def _slopes_batched(
    info: Any, in_dims: tuple[int | None, ...], k: Tensor, theta: Tensor, m: int
) -> tuple[Tensor, int]:
    """Batches join the rows."""
    k = batch_first(k, in_dims[0], info.batch_size)
    theta = batch_first(theta, in_dims[1], info.batch_size)
    found = C.power_angle_slope(k.flatten(), theta.movedim(0, 1).flatten(1), m)
    return found.unflatten(1, k.shape), 1


torch.library.register_fake(
    "hvae::power_angle", lambda k, m, rng, samples, shell: k.new_empty(samples, k.shape[0])
)
torch.library.register_fake("hvae::power_angle_slope", lambda k, theta, m: torch.empty_like(theta))
register_derivatives("power_angle", _remember, _backward, _push)
register_no_derivatives(
    "power_angle_slope",
    "a draw of hvae.ops.power_angle has no second derivative: its gradient is an unbiased field, "
    "not the derivative of a function",
)
torch.library.register_vmap("hvae::power_angle", one_by_one(C.power_angle))
torch.library.register_vmap("hvae::power_angle_slope", _slopes_batched)
