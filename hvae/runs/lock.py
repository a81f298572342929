"""The lock of a run's folder: one process at a time; the system releases it when that one ends."""

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from hvae.errors import EnvironmentProblem

LOCK = ".lock"


@contextlib.contextmanager
def owned(folder: Path) -> Iterator[int]:
    """The folder belongs to this process until the block ends, or the process, however it ends.

    The file stays where it is: removing it would let a third process lock a new one.

    Returns:
        what `sign` takes.

    Raises:
        EnvironmentProblem: it belongs to another process, or cannot be locked.
    """
    with _opened(folder, os.O_RDWR | os.O_CREAT) as handle:
        _take(handle, folder, fcntl.LOCK_EX)
        yield handle


def sign(handle: int) -> None:
    """Write down for others which process it is. Raises OSError."""
    os.pwrite(handle, f"{os.getpid():<20}".encode(), 0)


def refuse_owned(folder: Path) -> None:
    """Refuse a folder that belongs to a process.

    A shared lock tells as much as an exclusive one, and is what a file that is open for reading
    can have where the file system makes record locks of them, as NFS does (flock(2)).

    Raises:
        EnvironmentProblem: it does, or the lock cannot be looked at.
    """
    if (folder / LOCK).exists():
        with _opened(folder, os.O_RDONLY) as handle:
            _take(handle, folder, fcntl.LOCK_SH)


def is_owned(folder: Path) -> bool:
    """Whether a process trains the run, as far as can be seen."""
    try:
        refuse_owned(folder)
    except EnvironmentProblem:
        return True
    return False


@contextlib.contextmanager
def _opened(folder: Path, flags: int) -> Iterator[int]:
    try:
        handle = os.open(folder / LOCK, flags, 0o666)
    except OSError as error:
        raise _no_lock(folder, error) from error
    try:
        yield handle
    finally:
        os.close(handle)


def _take(handle: int, folder: Path, kind: int) -> None:
    try:
        fcntl.flock(handle, kind | fcntl.LOCK_NB)
    except BlockingIOError as error:
        owner = os.pread(handle, 20, 0).decode(errors="replace").strip() or "unknown"
        raise EnvironmentProblem(
            f"{folder} belongs to process {owner}, which is training it; wait for it or stop it"
        ) from error
    except OSError as error:
        raise _no_lock(folder, error) from error


def _no_lock(folder: Path, error: OSError) -> EnvironmentProblem:
    return EnvironmentProblem(f"{folder / LOCK} cannot be locked: {error.strerror or error}")
