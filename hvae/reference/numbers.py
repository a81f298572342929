"""Normal and uniform numbers of a random stream."""

import torch
from torch import Tensor

from hvae.reference.stream import fill, normals, places, uniforms


def normal(
    rng: Tensor,
    samples: int,
    rows: int,
    n: int,
    shell: int = 0,
    dtype: torch.dtype = torch.float32,
) -> Tensor:
    """Standard normal numbers of a stream (Box and Muller 1958).

    Args:
        rng: int64 [4], see hvae.random.stream.
        samples, rows, n: shape; shell: index, in the stream, of the component that draws.
        dtype: torch.float32 or torch.float64.

    Returns:
        [samples, rows, n] of that dtype.
    """
    row, sample = places(rng, samples, rows)
    return fill(rng, row, sample, shell, 0, n, dtype, normals).to(dtype)


def uniform(
    rng: Tensor,
    samples: int,
    rows: int,
    n: int,
    shell: int = 0,
    dtype: torch.dtype = torch.float32,
) -> Tensor:
    """Uniform numbers of a stream, inside (0, 1); arguments and result as in `normal`."""
    row, sample = places(rng, samples, rows)
    return fill(rng, row, sample, shell, 0, n, dtype, uniforms).to(dtype)
