"""Draws on packed spheres by `hvae.ops.sample`."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from hvae import ops


def uniform_draws(
    dims: Sequence[int],
    rng: Tensor,
    samples: int,
    rows: int,
    dtype: torch.dtype,
    shell: int = 0,
) -> Tensor:
    """Uniform points on S^{m1-1} x S^{m2-1} x ...: von Mises-Fisher draws of concentration 0.

    Args:
        dims: ambient dimension of each shell, 2 to 32768.
        rng: int64 [4], (key, step, row, sample), from `hvae.random.stream`, on the device of the
            draws.
        samples, rows: at least 1 sample; the draw at (i, j) depends on sample + i and row + j of
            the stream alone.
        dtype: torch.float32 or torch.float64.
        shell: index of the first of these shells in the random stream, so that they share no number
            with the shells before them.

    Returns:
        [samples, rows, sum(dims)].
    """
    direction, concentration = (
        torch.zeros(rows, width, dtype=dtype, device=rng.device) for width in (sum(dims), len(dims))
    )
    return ops.sample(direction, concentration, dims, rng, samples, shell=shell)[0]


def von_mises_fisher_draws(
    mean: Tensor,
    concentration: Tensor,
    dims: Sequence[int],
    sample_shape: Sequence[int],
    kappa_grad: str,
) -> Tensor:
    """Draws [*sample_shape, ..., sum(dims)] of a fresh stream, with gradients.

    Args:
        mean: [..., sum(dims)], mean directions. Its batch axes are the rows of the kernel.
        concentration: [..., shells], with the batch axes of mean.
        dims: ambient dimension of each shell.
        sample_shape: the axes that are the samples of the kernel.
        kappa_grad: as in `hvae.ops.sample`.
    """
    shape = torch.Size(sample_shape) + mean.shape
    samples = math.prod(sample_shape)
    if samples == 0:
        return mean.expand(shape)
    rng = _fresh_stream(mean, concentration)
    rows = mean.reshape(-1, mean.shape[-1]), concentration.reshape(-1, len(dims))
    return ops.sample(*rows, dims, rng, samples, kappa_grad)[0].reshape(shape)


def scaled_draws(
    mean: Tensor,
    concentration: Tensor,
    raw_scales: Tensor,
    dims: Sequence[int],
    samples: int,
    frame: str,
    kappa_grad: str,
) -> ops.ScaledDraw:
    """Draws of scaled shells of a fresh stream, with gradients, the batch axes flattened to rows.

    Args:
        mean, concentration, dims, kappa_grad: as in `von_mises_fisher_draws`.
        raw_scales: [..., sum(dims)], twice the logarithms of the scales.
        samples: at least 1.
        frame: as in `hvae.ops.scaled_sample`.
    """
    rng = _fresh_stream(mean, concentration)
    mean, raw_scales = (x.reshape(-1, sum(dims)) for x in (mean, raw_scales))
    concentration = concentration.reshape(-1, len(dims))
    return ops.scaled_sample(
        mean, concentration, raw_scales, dims, rng, samples, frame, kappa_grad, centred=False
    )


def _fresh_stream(mean: Tensor, concentration: Tensor) -> Tensor:
    """A stream with a fresh key, int64 [4]."""
    # Zeros of the parameters have the batch that vmap gives those: with randomness "same" each
    # element of it then has this stream, and does not become a further row of one launch.
    zeros = (x.new_zeros(n, dtype=torch.int64) for x, n in ((mean, 2), (concentration, 1)))
    return torch.cat((fresh_key(mean.device), *zeros))


def fresh_key(device: torch.device) -> Tensor:
    """The key of a stream as `hvae.random.stream` makes them, int64 [1], by torch's generator."""
    return torch.randint(-(2**63), 2**63 - 1, (1,), device=device)
