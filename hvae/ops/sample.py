"""The op `sample`: one draw of every shell of every row, its angle and its divergence.

Draws are random fields with unbiased gradients, not differentiable functions of their random
numbers: there is no double backward through `sample`, and asking for one raises. Forward mode moves
a draw by the same field.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from hvae.ops.batching import batch_first, replayed
from hvae.ops.checks import ambient_dimensions, check_real, check_shell, index_of
from hvae.ops.compiled import C
from hvae.ops.derivatives import (
    Tangents,
    define,
    register_derivatives,
    register_no_derivatives,
)

# In the order of `enum class AngleGradient` (csrc/arguments/sample.h).
KAPPA_GRADIENTS = ("implicit", "naive")

_Draw = tuple[Tensor, Tensor, Tensor, Tensor, Tensor]  # z, v, theta, kl, dkl/dkappa


def sample(
    raw_directions: Tensor,
    kappa: Tensor,
    dims: Sequence[int],
    rng: Tensor,
    samples: int = 1,
    kappa_grad: str = "implicit",
    shell: int = 0,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """One draw of every shell of every row, with its divergence, in one launch.

    By the proposals of Wood (1994), for products of shells as in Davidson, Tomczak, Gavves (2019).

    Args:
        raw_directions: [rows, sum(dims)], float32 or float64, normalised here shell by shell to
            mean directions; its rows may be slices of a wider matrix. Zero stands for the first
            basis vector and gets no gradient.
        kappa: [rows, shells], concentrations, 0 <= kappa < infinity (to 1e8 in float32), of the
            dtype of raw_directions.
        dims: ambient dimension of each shell, 2 to 32768; at most 32767 shells.
        rng: int64 [4], (key, step, row, sample), from `hvae.random.stream`, on the device of
            raw_directions.
        samples: draws of each row.
        kappa_grad: "implicit", the unbiased gradient (Figurnov, Mohamed, Mnih 2018), or "naive",
            the biased one of Davidson et al. (2018), which differentiates through the accepted
            proposal.
        shell: index, in the random stream, of the first shell that is drawn, so that two families
            of shells in one row do not share random numbers; shell + shells stays below 65536.

    Returns:
        z [samples, rows, sum(dims)], v [samples, rows, shells] = 1 - mu.z without cancellation,
        theta [samples, rows, shells], the angle between mu and z, and kl [rows, shells], the
        divergence to the uniform distribution. z and kl carry gradients.

    Raises:
        ValueError, TypeError, RuntimeError: for a wrong name, number, shape, dtype or device.

    The draw is the same on every device, thread count and chunking; within one instruction-set
    tier, and on a GPU, bit for bit. Between them roundings differ, and where both sides of the test
    that accepts a proposal are as good as equal it falls the other way: one of 1e7 draws or so in
    float32 is another draw there. A NaN concentration gives NaN draws.
    """
    gradient = index_of(kappa_grad, KAPPA_GRADIENTS, "kappa_grad")
    dims = ambient_dimensions(dims)
    check_real("raw_directions", raw_directions)
    check_real("kappa", kappa)
    if raw_directions.dim() != 2 or raw_directions.shape[1] != sum(dims):
        raise ValueError(
            f"raw_directions has shape {tuple(raw_directions.shape)}; "
            f"allowed: [rows, {sum(dims)}], the sum of dims"
        )
    if kappa.shape != (raw_directions.shape[0], len(dims)):
        raise ValueError(
            f"kappa has shape {tuple(kappa.shape)}; allowed: {(raw_directions.shape[0], len(dims))}"
        )
    if samples < 1:
        raise ValueError(f"samples is {samples}; allowed: 1 or more")
    check_shell(shell, len(dims))
    z, v, theta, kl, _ = C.sample(raw_directions, kappa, dims, rng, samples, gradient, shell)
    return z, v, theta, kl


def _shapes(
    raw_directions: Tensor,
    kappa: Tensor,
    dims: list[int],
    rng: Tensor,
    samples: int,
    gradient: int,
    shell: int,
) -> _Draw:
    rows, shells = raw_directions.shape[0], len(dims)
    draws = raw_directions.new_empty((samples, rows, shells))
    return (
        raw_directions.new_empty((samples, rows, sum(dims))),
        draws,
        torch.empty_like(draws),
        raw_directions.new_empty((rows, shells)),
        raw_directions.new_empty((rows, shells)),
    )


def _gradient_shapes(
    grad_z: Tensor,
    grad_kl: Tensor,
    raw_directions: Tensor,
    kappa: Tensor,
    theta: Tensor,
    kl_slope: Tensor,
    dims: list[int],
    rng: Tensor,
    gradient: int,
    shell: int,
) -> tuple[Tensor, Tensor]:
    rows = raw_directions.shape[0]
    return (
        raw_directions.new_empty((rows, sum(dims))),
        raw_directions.new_empty((rows, len(dims))),
    )


def _remember(ctx: Any, inputs: tuple[Any, ...], output: _Draw) -> None:
    raw_directions, kappa, ctx.dims, rng, _, ctx.gradient, ctx.shell = inputs
    z, v, theta, kl, kl_slope = output
    ctx.mark_non_differentiable(v, theta, kl_slope)
    ctx.set_materialize_grads(False)
    ctx.shapes = (z.shape, kl.shape)
    ctx.save_for_backward(raw_directions, kappa, rng, theta, kl_slope)


def _backward(
    ctx: Any, grad_z: Tensor | None, _v: None, _theta: None, grad_kl: Tensor | None, _slope: None
) -> tuple[Tensor, Tensor, None, None, None, None, None]:
    raw_directions, kappa, rng, theta, kl_slope = ctx.saved_tensors
    grad_z = raw_directions.new_zeros(ctx.shapes[0]) if grad_z is None else grad_z
    grad_kl = raw_directions.new_zeros(ctx.shapes[1]) if grad_kl is None else grad_kl
    grad_raw, grad_kappa = C.sample_backward(
        grad_z,
        grad_kl,
        raw_directions,
        kappa,
        theta,
        kl_slope,
        ctx.dims,
        rng,
        ctx.gradient,
        ctx.shell,
    )
    return grad_raw, grad_kappa, None, None, None, None, None


def _push(inputs: tuple[Any, ...], output: _Draw, tangents: Tangents) -> Any:
    raw_directions, kappa, dims, rng, _, gradient, shell = inputs
    z, v, theta, kl, kl_slope = output
    raw_tangent, kappa_tangent = (
        torch.zeros_like(x) if t is None else t
        for x, t in zip((raw_directions, kappa), tangents[:2], strict=True)
    )
    draws = raw_directions, kappa, z, v, theta
    moved = C.sample_tangent(*draws, raw_tangent, kappa_tangent, list(dims), rng, gradient, shell)
    return moved, None, None, kappa_tangent * kl_slope, None


def _tangent(
    raw_directions: Tensor,
    kappa: Tensor,
    z: Tensor,
    v: Tensor,
    theta: Tensor,
    raw_tangent: Tensor,
    kappa_tangent: Tensor,
    dims: list[int],
    rng: Tensor,
    gradient: int,
    shell: int,
) -> Tensor:
    """What moves z [samples, rows, sum(dims)] in forward mode: the field of `sample_backward`.

    dz = w dmu - (z.dmu) mu + dtheta (w t - sin(theta) mu), w = mu.z, t the unit tangent at mu
    towards z, of which a few eps/theta are lost.
    """
    mean, mean_tangent, turning = [], [], []
    for raw, change, point, beside in zip(
        *(x.split(dims, -1) for x in (raw_directions, raw_tangent, z)),
        v.unbind(-1),
        strict=True,
    ):
        mu, moved = _direction(raw, change)
        mean.append(mu)
        mean_tangent.append(moved)
        across = (point - mu) + beside[..., None] * mu
        across = across - (across * mu).sum(-1, keepdim=True) * mu
        sine = torch.linalg.vector_norm(across, dim=-1, keepdim=True)
        away = torch.where(sine > 0, across / sine, 0)
        turning.append((1 - beside)[..., None] * away - sine * mu)
    turn, angle = torch.cat(turning, -1), torch.empty_like(theta)
    first_sample = torch.tensor([0, 0, 0, 1], device=rng.device)
    nothing, at_mode = torch.zeros_like(kappa), torch.zeros_like(kappa)
    for i in range(len(z)):  # dtheta/dkappa is what a unit gradient along the turning brings back
        angle[i] = C.sample_backward(
            turn[i : i + 1],
            nothing,
            raw_directions,
            kappa,
            theta[i : i + 1],
            at_mode,
            dims,
            rng + i * first_sample,
            gradient,
            shell,
        )[1]
    angle = angle * kappa_tangent
    parts = []
    for i, (mu, change, point, towards) in enumerate(
        zip(mean, mean_tangent, z.split(dims, -1), turning, strict=True)
    ):
        rotated = (1 - v[..., i : i + 1]) * change - (point * change).sum(-1, keepdim=True) * mu
        parts.append(rotated + angle[..., i : i + 1] * towards)
    return torch.cat(parts, -1)


def _direction(raw: Tensor, change: Tensor) -> tuple[Tensor, Tensor]:
    """raw / |raw| along the last axis and its tangent; of zero e_1 and 0."""
    largest = raw.abs().amax(-1, keepdim=True)
    reduced = raw / largest  # whose squares neither overflow nor vanish
    length = torch.linalg.vector_norm(reduced, dim=-1, keepdim=True)
    first = torch.eye(1, raw.shape[-1], dtype=raw.dtype, device=raw.device)
    mu = torch.where(largest > 0, reduced / length, first)
    flat = change - (change * mu).sum(-1, keepdim=True) * mu
    return mu, torch.where(largest > 0, flat / largest / length, 0)


NO_SECOND_DERIVATIVE = (
    "a draw of hvae.ops.sample has no second derivative: its gradient is an unbiased field, "
    "not the derivative of a function"
)


def _batched(
    info: Any,
    in_dims: tuple[Any, ...],
    raw_directions: Tensor,
    kappa: Tensor,
    dims: list[int],
    rng: Tensor,
    samples: int,
    gradient: int,
    shell: int,
) -> tuple[tuple[Tensor, ...], tuple[int, ...]]:
    """A draw for every element of a batch.

    With one stream the batch joins the rows, so every element draws numbers of its own; with a
    stream each, there is a launch each.
    """
    raw = batch_first(raw_directions, in_dims[0], info.batch_size)
    kappa = batch_first(kappa, in_dims[1], info.batch_size)
    if in_dims[3] is not None:
        streams = rng.movedim(in_dims[3], 0).unbind()
        each = [
            C.sample(one, k, dims, stream, samples, gradient, shell)
            for one, k, stream in zip(raw.unbind(), kappa.unbind(), streams, strict=True)
        ]
        return tuple(torch.stack(parts) for parts in zip(*each, strict=True)), (0,) * 5
    batch, rows = raw.shape[:2]
    z, v, theta, kl, slope = C.sample(
        raw.flatten(0, 1), kappa.flatten(0, 1), dims, rng, samples, gradient, shell
    )
    draws = tuple(x.unflatten(1, (batch, rows)) for x in (z, v, theta))
    by_row = tuple(x.unflatten(0, (batch, rows)) for x in (kl, slope))
    return (*draws, *by_row), (1, 1, 1, 0, 0)


define(
    "sample_tangent(Tensor raw_directions, Tensor kappa, Tensor z, Tensor v, Tensor theta, "
    "Tensor raw_tangent, Tensor kappa_tangent, int[] dims, Tensor rng, int gradient, int shell) "
    "-> Tensor",
    _tangent,
    lambda raw_directions, kappa, z, *_: torch.empty_like(z),
)
torch.library.register_fake("hvae::sample", _shapes)
torch.library.register_fake("hvae::sample_backward", _gradient_shapes)
register_derivatives("sample", _remember, _backward, _push)
for _name in ("sample_backward", "sample_tangent"):
    register_no_derivatives(_name, NO_SECOND_DERIVATIVE)
torch.library.register_vmap("hvae::sample", _batched)
torch.library.register_vmap(
    "hvae::sample_backward",
    replayed(C.sample_backward, rng=7, theta=4, by_sample=(0, 4), out_axis=0),
)
torch.library.register_vmap(
    "hvae::sample_tangent",
    replayed(C.sample_tangent, rng=8, theta=4, by_sample=(2, 3, 4), out_axis=1),
)
