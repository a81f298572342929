"""Files that are there whole or not at all: written under a temporary name, synced, renamed."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch

from hvae.errors import EnvironmentProblem, Refused


def write_bytes(path: Path, content: bytes) -> None:
    """Put `content` at `path`: after a crash at any moment the old content or the new is there.

    Raises:
        EnvironmentProblem: the disk is full, read-only or gone; nothing is left behind.
    """
    try:
        _replace(path, content)
    except OSError as error:
        raise EnvironmentProblem(f"{path} cannot be written: {error.strerror or error}") from error


def write_json(path: Path, document: Mapping[str, Any]) -> None:
    """Put one JSON document at `path` (`write_bytes`); ValueError for NaN and infinity."""
    write_bytes(path, (json.dumps(document, indent=2, allow_nan=False) + "\n").encode())


def write_tensors(path: Path, tensors: Mapping[str, torch.Tensor]) -> None:
    """Put named tensors at `path` in the safetensors format (`write_bytes`)."""
    held = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    write_bytes(path, safetensors.torch.save(held))


def read_json(path: Path) -> dict[str, Any]:
    """The JSON object at `path`.

    Raises:
        Refused: it is missing, or not a JSON object.
        EnvironmentProblem: it cannot be read.
    """
    try:
        document = json.loads(_read(path).decode())
    except (ValueError, RecursionError) as error:
        raise Refused(f"{path} is damaged: it is not JSON ({_line(error)})") from error
    if not isinstance(document, dict):
        raise Refused(f"{path} is damaged: it is not a JSON object")
    return document


def read_tensors(path: Path) -> dict[str, torch.Tensor]:
    """The named tensors of the safetensors file at `path`, on the CPU. Nothing is ever unpickled.

    Raises:
        Refused: it is missing, or not a whole safetensors file.
        EnvironmentProblem: it cannot be read.
    """
    content = _read(path)
    try:
        return safetensors.torch.load(content)
    except (safetensors.SafetensorError, ValueError, KeyError, RuntimeError) as error:
        raise Refused(
            f"{path} is damaged: it is not a safetensors file ({_line(error)})"
        ) from error


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        raise Refused(f"{path} is missing") from error
    except OSError as error:
        raise EnvironmentProblem(f"{path} cannot be read: {error.strerror or error}") from error


def _replace(path: Path, content: bytes) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with open(temporary, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _line(error: BaseException) -> str:
    return " ".join(str(error).split())[:200]
