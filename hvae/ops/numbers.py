"""The op `numbers`: normal and uniform numbers of a random stream."""

import torch
from torch import Tensor

from hvae.ops.batching import one_by_one
from hvae.ops.compiled import C


def normal(
    rng: Tensor, samples: int, rows: int, n: int, shell: int = 0, dtype: torch.dtype = torch.float32
) -> Tensor:
    """Standard normal numbers of a stream (Box and Muller 1958), on the device of rng.

    Args:
        rng: int64 [4] from `hvae.random.stream`.
        samples, rows, n: shape; the number at (i, j, .) depends on sample + i and row + j of the
            stream alone.
        shell: index, 0 to 65535, of the component that draws, so that components of one row do not
            share numbers.
        dtype: torch.float32 or torch.float64.

    Returns:
        [samples, rows, n] of that dtype.

    Raises:
        RuntimeError: for a wrong shape or dtype, or an index outside its range.
    """
    numbers: Tensor = C.numbers(rng, samples, rows, n, shell, True, dtype)
    return numbers


def uniform(
    rng: Tensor, samples: int, rows: int, n: int, shell: int = 0, dtype: torch.dtype = torch.float32
) -> Tensor:
    """Uniform numbers of a stream, never 0, of 31 bits (float32) or 52 (float64).

    Arguments, result and errors as in `normal`.
    """
    numbers: Tensor = C.numbers(rng, samples, rows, n, shell, False, dtype)
    return numbers


def _shape(
    rng: Tensor, samples: int, rows: int, each: int, shell: int, normal: bool, dtype: torch.dtype
) -> Tensor:
    return rng.new_empty((samples, rows, each), dtype=dtype)


torch.library.register_fake("hvae::numbers", _shape)
torch.library.register_vmap("hvae::numbers", one_by_one(C.numbers))
