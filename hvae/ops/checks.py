"""The checks that several ops make of their arguments: names, dtypes, dimensions."""

from collections.abc import Sequence

import torch
from torch import Tensor

SHELL_INDICES = 1 << 16  # that a row has in the random counter (csrc/math/counter.h)


def index_of(value: str, allowed: Sequence[str], argument: str) -> int:
    """The place of a name among those that are allowed.

    Raises:
        ValueError: if it is none of them.
    """
    if value not in allowed:
        raise ValueError(f"{argument} is {value!r}; allowed: {', '.join(allowed)}")
    return allowed.index(value)


def check_real(name: str, x: Tensor) -> None:
    """Raises TypeError unless x is a tensor of float32 or float64."""
    if not isinstance(x, Tensor):
        raise TypeError(f"{name} is a {type(x).__name__}; allowed: a tensor")
    if x.dtype not in (torch.float32, torch.float64):
        raise TypeError(f"{name} has dtype {x.dtype}; allowed: torch.float32, torch.float64")


def ambient_dimensions(dims: Sequence[int]) -> list[int]:
    """dims as a list.

    Raises:
        ValueError: if it is empty or names a dimension below 2.
    """
    dims = list(dims)
    if not dims or min(dims) < 2:
        raise ValueError(f"dims is {dims}; allowed: one or more ambient dimensions of at least 2")
    return dims


def check_shell(shell: int, count: int) -> None:
    """Raises ValueError unless `count` shells from index `shell` on fit the random counter."""
    if not 0 <= shell < SHELL_INDICES - count:
        raise ValueError(
            f"shell is {shell}; allowed: 0 to {SHELL_INDICES - 1 - count} for {count} shells"
        )
