"""From the bytes of a file to arrays of the right shape and values, and how they differ."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from hvae.data import formats
from hvae.data.sources import File, Source
from hvae.errors import Refused


@dataclass(frozen=True)
class Content:
    """What one file holds: grey levels uint8 [N, D] by part, C-contiguous.

    where: the file's path or address. difference: from the published file, "" for none.
    """

    where: str
    parts: Mapping[str, np.ndarray]
    difference: str


def decode(source: Source, file: File, raw: bytes, where: str) -> Content:
    """The content of `file`, plain or .gz, that came from `where`. Raises Refused."""
    try:
        unpacked = formats.unpack(raw)
        arrays = file.read(unpacked)
    except Exception as error:  # damaged bytes raise almost anything in the libraries below
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise Refused(f"{where} is damaged, or is not {file.name}: {reason}") from error
    parts = {
        part: _grey_levels(source, part, array, file.scale, where) for part, array in arrays.items()
    }
    if file.blob_sha1 is None:
        return Content(where, parts, _difference_of_parts(source, parts))
    return Content(where, parts, _difference_of_bytes(file.blob_sha1, unpacked))


def embedded(source: Source) -> Content:
    """The content of a set that comes with an installed package. Raises Refused."""
    array, where = source.embedded()
    parts = {"train": _grey_levels(source, "train", array, 1, where)}
    return Content(where, parts, _difference_of_parts(source, parts))


def sha256(*arrays: np.ndarray) -> str:
    """SHA-256 (hex) of the bytes of C-contiguous arrays, one after the other."""
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(array.data)
    return digest.hexdigest()


def git_blob_sha1(content: bytes) -> str:
    """What `git hash-object` prints for a file with this content."""
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()


def _grey_levels(source: Source, part: str, array: object, scale: int, where: str) -> np.ndarray:
    shape, top = (source.parts[part].rows, source.pixels), source.maximum / scale
    if not isinstance(array, np.ndarray) or array.dtype.kind not in "buif":
        raise Refused(f"{where}: the {part} part is not an array of numbers")
    if array.shape != shape:
        raise Refused(f"{where}: the {part} part has shape {array.shape}; allowed is {shape}")
    if not (array.min() >= 0 and array.max() <= top):  # so put that NaN is refused too
        raise Refused(f"{where}: the {part} part has values outside 0..{top:g}, or NaN")
    levels = (array if scale == 1 else np.rint(array * scale)).astype(np.uint8, copy=False)
    if scale == 1 and (levels != array).any():
        raise Refused(f"{where}: the {part} part has values that are not integers")
    return np.ascontiguousarray(levels)


def _difference_of_parts(source: Source, parts: Mapping[str, np.ndarray]) -> str:
    digests = {part: (sha256(array), source.parts[part].sha256) for part, array in parts.items()}
    return ", ".join(
        f"the SHA-256 of its decoded {part} part is {found}, published {published}"
        for part, (found, published) in digests.items()
        if found != published
    )


def _difference_of_bytes(published: str, content: bytes) -> str:
    found = git_blob_sha1(content)
    return "" if found == published else f"its git blob SHA-1 is {found}, published {published}"
