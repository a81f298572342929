"""The op `scaled_sample`: draws of von Mises-Fisher shells, stretched along axes.

Its gradient is that of `hvae.ops.sample`, a random field, carried on through the stretching, so
there is no double backward here either.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from hvae.ops.batching import batch_first, replayed
from hvae.ops.checks import ambient_dimensions, check_real, check_shell, index_of
from hvae.ops.compiled import C
from hvae.ops.derivatives import register_derivatives, register_no_derivatives
from hvae.ops.sample import KAPPA_GRADIENTS

# In the order of `enum class ScaleFrame` (csrc/arguments/scaled_sample.h).
SCALE_FRAMES = ("mean", "fixed")

MOST_LOG_SCALE = 30.0  # what the kernels bound log s at (csrc/math/stretch.h)

# z, v, theta, stretch, volume, kl, dkl/dkappa
_Draw = tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]


class ScaledDraw(NamedTuple):
    """What `scaled_sample` gives of R rows with S shells of m coordinates in all, and K samples.

    Attributes:
        z: [K, R, m], y = A x / |A x|, with gradients.
        v: [K, R, S], 1 - mu.x of the draws before they were stretched, without cancellation.
        stretch: [K, R, S], (ambient dimension) log |A x|.
        volume: [R, S], log |A|.
        kl: [R, S], nats, with gradients: the divergence of x from the uniform distribution, plus
            the mean of `stretch` over the samples, less `volume`: an unbiased estimate of that of
            y.

    log q(z) is log f(x) + stretch - volume, f the density of x (`hvae.distributions.density`).
    """

    z: Tensor
    v: Tensor
    stretch: Tensor
    volume: Tensor
    kl: Tensor


def scaled_sample(
    raw_directions: Tensor,
    kappa: Tensor,
    raw_scales: Tensor,
    dims: Sequence[int],
    rng: Tensor,
    samples: int = 1,
    frame: str = "mean",
    kappa_grad: str = "implicit",
    shell: int = 0,
    centred: bool = True,
) -> ScaledDraw:
    """One draw of every scaled shell of every row, with its divergence, in one launch.

    A shell is x ~ vMF(mu, kappa), as in `hvae.ops.sample` and of the same random numbers, stretched
    to y = A x / |A x| with scales s_i = exp(b_i / 2), b the raw scales:

    - frame "mean": A = mu mu' + P diag(s) P, P = I - mu mu';
    - frame "fixed": A = diag(s).

    Args:
        raw_directions, kappa, dims, rng, samples, kappa_grad, shell: as in `hvae.ops.sample`.
        raw_scales: [rows, sum(dims)], of the dtype of raw_directions; its rows may be slices of a
            wider matrix. Log scales are bounded at 30 in size (s from 1e-13 to 1e13), and have no
            gradient beyond.
        frame: one of `SCALE_FRAMES`.
        centred: whether the mean of raw_scales over a shell is subtracted first.

    Returns:
        the draws. Their gradients in mu, kappa and b are unbiased: pathwise through x, as in
        `hvae.ops.sample`, and through A; in `kl` too, whose mean over draws depends on all three.

    Raises:
        ValueError, TypeError, RuntimeError: for a wrong name, number, shape, dtype or device.

    Everything is finite for finite arguments. kappa to 1e8 and s from 1e-6 to 1e6 are accurate in
    float32: docs/numerics.md has the bounds. With s = 1 it is `hvae.ops.sample` to rounding. The
    draw is the same on every device, thread count and chunking, as there.
    """
    gradient = index_of(kappa_grad, KAPPA_GRADIENTS, "kappa_grad")
    number = index_of(frame, SCALE_FRAMES, "frame")
    dims = ambient_dimensions(dims)
    check_real("raw_directions", raw_directions)
    check_real("kappa", kappa)
    check_real("raw_scales", raw_scales)
    width = sum(dims)
    if raw_directions.dim() != 2 or raw_directions.shape[1] != width:
        raise ValueError(
            f"raw_directions has shape {tuple(raw_directions.shape)}; "
            f"allowed: [rows, {width}], the sum of dims"
        )
    rows = raw_directions.shape[0]
    for name, tensor, columns in (("kappa", kappa, len(dims)), ("raw_scales", raw_scales, width)):
        if tensor.shape != (rows, columns):
            raise ValueError(f"{name} has shape {tuple(tensor.shape)}; allowed: {(rows, columns)}")
    if samples < 1:
        raise ValueError(f"samples is {samples}; allowed: 1 or more")
    check_shell(shell, len(dims))
    z, v, _, stretch, volume, kl, _ = C.scaled_sample(
        raw_directions, kappa, raw_scales, dims, rng, samples, number, centred, gradient, shell
    )
    return ScaledDraw(z, v, stretch, volume, kl)


def _shapes(
    raw_directions: Tensor,
    kappa: Tensor,
    raw_scales: Tensor,
    dims: list[int],
    rng: Tensor,
    samples: int,
    frame: int,
    centred: bool,
    gradient: int,
    shell: int,
) -> _Draw:
    rows, shells = raw_directions.shape[0], len(dims)
    z = raw_directions.new_empty((samples, rows, sum(dims)))
    v, theta, stretch = (raw_directions.new_empty((samples, rows, shells)) for _ in range(3))
    volume, kl, slope = (raw_directions.new_empty((rows, shells)) for _ in range(3))
    return z, v, theta, stretch, volume, kl, slope


def _gradient_shapes(
    grad_z: Tensor,
    grad_kl: Tensor,
    raw_directions: Tensor,
    kappa: Tensor,
    raw_scales: Tensor,
    theta: Tensor,
    kl_slope: Tensor,
    dims: list[int],
    *_: Any,
) -> tuple[Tensor, Tensor, Tensor]:
    rows, width = raw_directions.shape[0], sum(dims)
    return (
        raw_directions.new_empty((rows, width)),
        raw_directions.new_empty((rows, len(dims))),
        raw_directions.new_empty((rows, width)),
    )


def _remember(ctx: Any, inputs: tuple[Any, ...], output: _Draw) -> None:
    raw_directions, kappa, raw_scales, ctx.dims, rng, _, *ctx.choices = inputs
    z, v, theta, stretch, volume, kl, kl_slope = output
    ctx.mark_non_differentiable(v, theta, stretch, volume, kl_slope)
    ctx.set_materialize_grads(False)
    ctx.shapes = (z.shape, kl.shape)
    ctx.save_for_backward(raw_directions, kappa, raw_scales, rng, theta, kl_slope)


def _backward(ctx: Any, *gradients: Tensor | None) -> tuple[Tensor | None, ...]:
    grad_z, _, _, _, _, grad_kl, _ = gradients
    raw_directions, kappa, raw_scales, rng, theta, kl_slope = ctx.saved_tensors
    grad_z = raw_directions.new_zeros(ctx.shapes[0]) if grad_z is None else grad_z
    grad_kl = raw_directions.new_zeros(ctx.shapes[1]) if grad_kl is None else grad_kl
    grads = C.scaled_sample_backward(
        grad_z,
        grad_kl,
        raw_directions,
        kappa,
        raw_scales,
        theta,
        kl_slope,
        ctx.dims,
        rng,
        *ctx.choices,
    )
    return (*grads, *(None,) * 7)


def _no_forward_mode(*_: Any) -> Any:
    raise RuntimeError(
        "hvae.ops.scaled_sample has no forward mode; allowed: reverse mode (backward, "
        "torch.func.grad, vjp)"
    )


def _batched(
    info: Any,
    in_dims: tuple[Any, ...],
    raw_directions: Tensor,
    kappa: Tensor,
    raw_scales: Tensor,
    dims: list[int],
    rng: Tensor,
    *choices: Any,
) -> tuple[tuple[Tensor, ...], tuple[int, ...]]:
    """A draw for every element of a batch, as in `hvae.ops.sample`."""
    raw, kappa, scales = (
        batch_first(x, dim, info.batch_size)
        for x, dim in zip((raw_directions, kappa, raw_scales), in_dims[:3], strict=True)
    )
    if in_dims[4] is not None:
        streams = rng.movedim(in_dims[4], 0).unbind()
        parts = zip(raw.unbind(), kappa.unbind(), scales.unbind(), streams, strict=True)
        each = [C.scaled_sample(*part[:3], dims, part[3], *choices) for part in parts]
        return tuple(torch.stack(parts) for parts in zip(*each, strict=True)), (0,) * 7
    batch, rows = raw.shape[:2]
    flat = (x.flatten(0, 1) for x in (raw, kappa, scales))
    z, v, theta, stretch, *by_row = C.scaled_sample(*flat, dims, rng, *choices)
    draws = tuple(x.unflatten(1, (batch, rows)) for x in (z, v, theta, stretch))
    return (*draws, *(x.unflatten(0, (batch, rows)) for x in by_row)), (1,) * 4 + (0,) * 3


torch.library.register_fake("hvae::scaled_sample", _shapes)
torch.library.register_fake("hvae::scaled_sample_backward", _gradient_shapes)
register_derivatives("scaled_sample", _remember, _backward, _no_forward_mode)
register_no_derivatives(
    "scaled_sample_backward",
    "a draw of hvae.ops.scaled_sample has no second derivative: its gradient is an unbiased "
    "field, not the derivative of a function",
)
torch.library.register_vmap("hvae::scaled_sample", _batched)
torch.library.register_vmap(
    "hvae::scaled_sample_backward",
    replayed(C.scaled_sample_backward, rng=8, theta=5, by_sample=(0, 5), out_axis=0),
)
