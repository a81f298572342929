"""Exhausted memory: what it looks like, and what it is for a user."""

import contextlib
from collections.abc import Iterator

import torch

from hvae.errors import EnvironmentProblem


def out_of_memory(error: BaseException) -> bool:
    """Whether the error says that the memory of the host or of a device is exhausted.

    torch has a class for devices only; its CPU allocator raises a RuntimeError with these words.
    """
    words = ("can't allocate memory", "not enough memory", "Cannot allocate memory")
    kinds = (MemoryError, torch.OutOfMemoryError)
    return isinstance(error, kinds) or any(word in str(error) for word in words)


@contextlib.contextmanager
def guarded() -> Iterator[None]:
    """Turns exhausted memory into an EnvironmentProblem."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not out_of_memory(error):
            raise
        raise EnvironmentProblem("memory: the model or a batch does not fit") from error
