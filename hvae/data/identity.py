"""Which file it is: what a run remembers of its data, to tell them from others."""

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

from hvae.data import table

_BLOCK = 1 << 16
_SAMPLED_BLOCKS = 64
_CHUNK = 1 << 20
SAMPLED = "sampled-"  # how the identity of a large file begins


def identity(path: Path, files: list[Path] | None = None) -> str:
    """SHA-256 (hex) of a file, or of the names and contents of the files of a folder.

    Of more than `LARGE_BYTES` it is "sampled-" and the SHA-256 of the size and the time of change
    of every file and of 64 blocks of 64 KiB at equal distances (the file with the most bytes of a
    folder).

    Args:
        path: the file or the folder.
        files: those of a folder, in order.

    Raises:
        OSError: it cannot be read.
    """
    every = [path] if files is None else files
    sizes = [os.stat(file).st_size for file in every]
    digest = hashlib.sha256()
    if sum(sizes) <= table.LARGE_BYTES:
        for file in every:
            if files is not None:
                digest.update(f"{file.relative_to(path).as_posix()}\0".encode())
            for chunk in _chunks(file):
                digest.update(chunk)
        return digest.hexdigest()
    for file, size in zip(every, sizes, strict=True):
        digest.update(f"{file.name}\0{size}\0{os.stat(file).st_mtime_ns}\0".encode())
    for block in _samples(every[sizes.index(max(sizes))], max(sizes)):
        digest.update(block)
    return SAMPLED + digest.hexdigest()


def _chunks(path: Path) -> Iterator[bytes]:
    with open(path, "rb") as file:
        while chunk := file.read(_CHUNK):
            yield chunk


def _samples(path: Path, size: int) -> Iterator[bytes]:
    with open(path, "rb") as file:
        for number in range(_SAMPLED_BLOCKS):
            file.seek(max(0, size - _BLOCK) * number // (_SAMPLED_BLOCKS - 1))
            yield file.read(_BLOCK)
