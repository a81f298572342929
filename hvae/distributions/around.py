"""The op `around`: draws at given angles around mean directions, in a direction that is uniform.

The gradient in the mean direction moves a draw by the smallest rotation that moves the mean
direction, as `hvae.ops.sample` does: that is unbiased, and of finite variance in every dimension.
"""

from typing import Any

import torch
from torch import Tensor

from hvae import ops
from hvae.ops.batching import one_by_one
from hvae.ops.derivatives import (
    Tangents,
    define,
    register_derivatives,
    register_no_derivatives,
)

_Draw = tuple[Tensor, Tensor]


def around(mean: Tensor, theta: Tensor, rng: Tensor, shell: int) -> Tensor:
    """cos(theta) mean + sin(theta) t, t uniform on the unit tangent sphere; differentiable once.

    Args:
        mean: [rows, m], unit vectors, float32 or float64.
        theta: [samples, rows], of that dtype.
        rng: int64 [4], from `hvae.random.stream`.
        shell: index of the component that draws t, in the random stream.

    Returns:
        [samples, rows, m].
    """
    z: Tensor = torch.ops.hvae.around(mean, theta, rng, shell)[0]
    return z


def _values(mean: Tensor, theta: Tensor, rng: Tensor, shell: int) -> _Draw:
    tangent = _tangents(mean, len(theta), rng, shell)
    angle = theta[..., None]
    return torch.addcmul(angle.sin() * tangent, angle.cos(), mean), tangent


def _tangents(mean: Tensor, samples: int, rng: Tensor, shell: int) -> Tensor:
    """[samples, rows, m]."""
    rows, m = mean.shape
    normal = ops.normal(rng, samples, rows, m, shell=shell, dtype=mean.dtype)
    if m == 2:
        left = torch.stack((-mean[:, 1], mean[:, 0]), -1)
        return torch.where((normal * left).sum(-1, keepdim=True) < 0, -left, left)
    for _ in range(2):  # once leaves eps |normal| / |tangent|
        along = (normal * mean).sum(-1, keepdim=True)
        normal = torch.addcmul(normal, along, mean, value=-1)
    return torch.nn.functional.normalize(normal, dim=-1)


def _remember(ctx: Any, inputs: tuple[Any, ...], output: _Draw) -> None:
    z, tangent = output
    ctx.mark_non_differentiable(tangent)
    ctx.save_for_backward(*inputs[:2], z, tangent)


def _backward(ctx: Any, grad: Tensor, _tangent: None) -> tuple[Tensor, Tensor, None, None]:
    grad_mean, grad_theta = torch.ops.hvae.around_backward(grad, *ctx.saved_tensors)
    return grad_mean, grad_theta, None, None


def _gradients(
    grad: Tensor, mean: Tensor, theta: Tensor, z: Tensor, tangent: Tensor
) -> tuple[Tensor, Tensor]:
    """w g - (mean.g) z, w = cos(theta), and g.(w t - sin(theta) mean)."""
    cosine = theta.cos()
    along, across = ((grad * x).sum(-1) for x in (mean, tangent))
    turned = torch.addcmul(cosine[..., None] * grad, along[..., None], z, value=-1)
    return turned.sum(0), cosine * across - theta.sin() * along


def _push(inputs: tuple[Any, ...], output: _Draw, tangents: Tangents) -> tuple[Tensor, None]:
    mean, theta = inputs[:2]
    moved = [
        torch.zeros_like(x) if t is None else t
        for x, t in zip((mean, theta), tangents[:2], strict=True)
    ]
    return torch.ops.hvae.around_tangent(mean, theta, *output, *moved), None


def _moved(
    mean: Tensor,
    theta: Tensor,
    z: Tensor,
    tangent: Tensor,
    mean_tangent: Tensor,
    theta_tangent: Tensor,
) -> Tensor:
    """w dmean - (z.dmean) mean + dtheta (w t - sin(theta) mean)."""
    cosine, sine = theta.cos()[..., None], theta.sin()[..., None]
    rotated = cosine * mean_tangent - (z * mean_tangent).sum(-1, keepdim=True) * mean
    return rotated + theta_tangent[..., None] * (cosine * tangent - sine * mean)


define(
    "around(Tensor mean, Tensor theta, Tensor rng, int shell) -> (Tensor, Tensor)",
    _values,
    lambda mean, theta, rng, shell: tuple(
        mean.new_empty(*theta.shape, mean.shape[1]) for _ in "zt"
    ),
)
define(
    "around_backward(Tensor grad, Tensor mean, Tensor theta, Tensor z, Tensor tangent) "
    "-> (Tensor, Tensor)",
    _gradients,
    lambda grad, mean, theta, z, tangent: (torch.empty_like(mean), torch.empty_like(theta)),
)
define(
    "around_tangent(Tensor mean, Tensor theta, Tensor z, Tensor tangent, Tensor mean_tangent, "
    "Tensor theta_tangent) -> Tensor",
    _moved,
    lambda mean, theta, z, *_: torch.empty_like(z),
)
register_derivatives("around", _remember, _backward, _push)
for _name in ("around_backward", "around_tangent"):
    register_no_derivatives(
        _name,
        "a draw around a mean direction has no second derivative: its gradient is an unbiased "
        "field, not the derivative of a function",
    )
for _name in ("around", "around_backward", "around_tangent"):
    torch.library.register_vmap(f"hvae::{_name}", one_by_one(getattr(torch.ops.hvae, _name)))
