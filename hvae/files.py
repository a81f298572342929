"""Files that are there whole or not at all, and that say so when they are not what was written.

A file is written under a temporary name, synced and renamed. A JSON document, in a file of its own
or in the header of a safetensors file, has the key "sha256": the SHA-256 of the whole file with
`_PLACE` in place of those 64 digits. Nothing is ever unpickled.
"""

import contextlib
import hashlib
import json
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch

from hvae.errors import EnvironmentProblem, Refused

SEAL = "sha256"
_PLACE = "the SHA-256 of the file with this sentence in its place".ljust(64, ".")
_DOCUMENT = "hvae"  # the key of the document among a safetensors file's metadata


def write_bytes(path: Path, content: bytes) -> None:
    """Put `content` at `path`: after a crash at any moment the old content or the new is there.

    Raises:
        EnvironmentProblem: the disk is full, read-only or gone; nothing is left behind.
    """
    with replacing(path) as temporary:
        temporary.write_bytes(content)


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A path beside `path` to be written in the block; it takes the place of `path` at its end.

    Raises:
        EnvironmentProblem: as `write_bytes`; an OSError of the block is one of `path`.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with writing(path):
        try:
            yield temporary
            _sync(temporary)
            os.replace(temporary, path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        _sync(path.parent)


def write_json(path: Path, document: Mapping[str, Any]) -> None:
    """Put one JSON document with its checksum at `path` (`write_bytes`).

    ValueError for NaN and infinity.
    """
    text = json.dumps({SEAL: _PLACE, **document}, indent=2, allow_nan=False)
    write_bytes(path, _sealed(f"{text}\n".encode()))


def write_tensors(
    path: Path, tensors: Mapping[str, torch.Tensor], document: Mapping[str, Any] | None = None
) -> None:
    """Put named tensors, a JSON document and their checksum at `path`, as a safetensors file."""
    held = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    text = json.dumps({SEAL: _PLACE, **(document or {})}, allow_nan=False)
    write_bytes(path, _sealed(safetensors.torch.save(held, {_DOCUMENT: text})))


def read_json(path: Path) -> dict[str, Any]:
    """The JSON object at `path`, without its checksum.

    Raises:
        Refused: it is missing, not a JSON object, or not as it was written.
        EnvironmentProblem: it cannot be read.
    """
    content = _read(path)
    return _unsealed(path, content, _parsed(path, content))


def read_tensors(path: Path) -> dict[str, torch.Tensor]:
    """The tensors of `read_packed`."""
    return read_packed(path)[0]


def read_packed(path: Path) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """What `write_tensors` put at `path`: the tensors, on the CPU, and the document.

    Raises:
        Refused: it is missing, not a safetensors file, or not as it was written.
        EnvironmentProblem: it cannot be read.
    """
    content = _read(path)
    document = _unsealed(path, content, _document(path, content))
    try:
        return safetensors.torch.load(content), document
    except (safetensors.SafetensorError, ValueError, KeyError, RuntimeError) as error:
        raise _no_tensors(path, error) from error


@contextlib.contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turns an error of the system into an EnvironmentProblem that names `path`."""
    try:
        yield
    except OSError as error:
        raise EnvironmentProblem(f"{path} cannot be written: {error.strerror or error}") from error


def remove_leftovers(folder: Path, *names: str) -> None:
    """Remove what writers of these files that were killed have left in `folder`."""
    for name in names:
        for path in folder.glob(f".{name}.*.tmp"):
            with writing(path):
                path.unlink(missing_ok=True)


def forget_cached(path: Path) -> None:
    """Let the system drop its copy of a synced file, so that the next read is of the disk."""
    if hasattr(os, "posix_fadvise"):
        handle = os.open(path, os.O_RDONLY)
        try:
            os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
        finally:
            os.close(handle)


def _sealed(content: bytes) -> bytes:
    return content.replace(_PLACE.encode(), hashlib.sha256(content).hexdigest().encode(), 1)


def _unsealed(path: Path, content: bytes, document: dict[str, Any]) -> dict[str, Any]:
    """The document without its checksum, after a look whether that is the content's."""
    seal = document.pop(SEAL, None)
    if not isinstance(seal, str) or not re.fullmatch("[0-9a-f]{64}", seal):
        raise Refused(f"{path} is damaged: it has no checksum ({SEAL})")
    before, _, after = content.partition(seal.encode())
    digest = hashlib.sha256(before)
    digest.update(_PLACE.encode())
    digest.update(after)
    if digest.hexdigest() != seal:
        raise Refused(f"{path} is damaged: its checksum ({SEAL}) is not that of its content")
    return document


def _document(path: Path, content: bytes) -> dict[str, Any]:
    """The document in the header of a safetensors file: 8 bytes of its length, then JSON."""
    length = int.from_bytes(content[:8], "little")
    try:
        header = json.loads(content[8 : 8 + length].decode())
        text = header["__metadata__"][_DOCUMENT]
    except (ValueError, RecursionError, KeyError, TypeError) as error:
        raise _no_tensors(path, error) from error
    return _parsed(path, text.encode() if isinstance(text, str) else b"")


def _parsed(path: Path, content: bytes) -> dict[str, Any]:
    try:
        document = json.loads(content.decode(), parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        raise Refused(f"{path} is damaged: it is not JSON ({_line(error)})") from error
    if not isinstance(document, dict):
        raise Refused(f"{path} is damaged: it is not a JSON object")
    return document


def _no_number(name: str) -> None:
    raise ValueError(f"{name} is not a number of JSON")


def _no_tensors(path: Path, error: BaseException) -> Refused:
    return Refused(f"{path} is damaged: it is not a safetensors file of hvae ({_line(error)})")


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        raise Refused(f"{path} is missing") from error
    except OSError as error:
        raise EnvironmentProblem(f"{path} cannot be read: {error.strerror or error}") from error


def _sync(path: Path) -> None:
    """Of a file or a folder: what was written is on the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _line(error: BaseException) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__
