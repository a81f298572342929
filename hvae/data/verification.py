"""From the bytes of a file to arrays of the right shape and values, and how they differ."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hvae.data import formats
from hvae.data.source import File, Source
from hvae.errors import Refused


@dataclass(frozen=True)
class Content:
    """What one file holds, by part.

    where: the file's path or address.
    images: grey levels, uint8 [N, D], C-contiguous.
    labels: the class of each image, int64 [N]; empty where the file has none.
    difference: from the published file; "" for none.
    """

    where: str
    images: Mapping[str, NDArray[np.uint8]]
    labels: Mapping[str, NDArray[np.int64]]
    difference: str = ""


def decode(source: Source, file: File, raw: bytes, where: str) -> Content:
    """The content of `file`, plain or .gz, that came from `where`. Raises Refused."""
    try:
        unpacked = formats.unpack(raw)
        arrays = file.read(unpacked)
    except Exception as error:  # damaged bytes raise almost anything in the libraries below
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise Refused(f"{where} is damaged, or is not {file.name}: {reason}") from error
    content = _checked(source, arrays, file.scale, where)
    if file.blob_sha1 is None:
        difference = _difference_of_arrays(source, content)
    else:
        difference = _difference_of_bytes(file.blob_sha1, unpacked)
    return replace(content, difference=difference)


def embedded(source: Source) -> Content:
    """The content of a set that comes with an installed package. Raises Refused."""
    if source.embedded is None:
        raise ValueError(f"{source.name} is in files")
    arrays, where = source.embedded()
    content = _checked(source, arrays, 1, where)
    return replace(content, difference=_difference_of_arrays(source, content))


def sha256(*arrays: NDArray[Any]) -> str:
    """SHA-256 (hex) of the bytes of C-contiguous arrays, one after the other."""
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(array.data)
    return digest.hexdigest()


def labels_sha256(labels: NDArray[np.int64]) -> str:
    """SHA-256 (hex) of labels as little-endian int64."""
    return sha256(labels.astype("<i8"))


def git_blob_sha1(content: bytes) -> str:
    """What `git hash-object` prints for a file with this content."""
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()


def _checked(source: Source, arrays: formats.Arrays, scale: int, where: str) -> Content:
    """`arrays` with the shapes and the values that `source` allows, not compared yet."""
    images = {
        part: _grey_levels(source, part, array, scale, where)
        for part, array in arrays.images.items()
    }
    labels = {part: _classes(source, part, array, where) for part, array in arrays.labels.items()}
    return Content(where, images, labels)


def _grey_levels(
    source: Source, part: str, array: object, scale: int, where: str
) -> NDArray[np.uint8]:
    rows, top = source.parts[part].rows, source.maximum / scale
    shape = (rows, source.description.size)
    if not isinstance(array, np.ndarray) or array.dtype.kind not in "buif":
        raise Refused(f"{where}: the {part} part is not an array of numbers")
    if array.shape != shape:
        raise Refused(f"{where}: the {part} part has shape {array.shape}; allowed is {shape}")
    if not (array.min() >= 0 and array.max() <= top):  # false where the array has a NaN
        raise Refused(f"{where}: the {part} part has values outside 0..{top:g}, or NaN")
    levels = (array if scale == 1 else np.rint(array * scale)).astype(np.uint8, copy=False)
    if scale == 1 and (levels != array).any():
        raise Refused(f"{where}: the {part} part has values that are not integers")
    return np.ascontiguousarray(levels)


def _classes(source: Source, part: str, labels: object, where: str) -> NDArray[np.int64]:
    """Labels as the set publishes them: classes are counted from 0 or from 1."""
    shape, classes = (source.parts[part].rows,), source.classes or 0
    if not isinstance(labels, np.ndarray) or labels.dtype.kind not in "buif":
        raise Refused(f"{where}: the {part} labels are not an array of numbers")
    if labels.shape != shape:
        raise Refused(f"{where}: the {part} labels have shape {labels.shape}; allowed is {shape}")
    if not (labels.min() >= 0 and labels.max() <= classes):  # false where there is a NaN
        raise Refused(f"{where}: the {part} labels have values outside 0..{classes}, or NaN")
    numbers = labels.astype(np.int64)
    if (numbers != labels).any():
        raise Refused(f"{where}: the {part} labels have values that are not integers")
    return numbers


def _difference_of_arrays(source: Source, content: Content) -> str:
    images = [
        (f"{part} part", sha256(array), source.parts[part].sha256)
        for part, array in content.images.items()
    ]
    labels = [
        (f"{part} labels", labels_sha256(array), source.parts[part].labels_sha256)
        for part, array in content.labels.items()
    ]
    return ", ".join(
        f"the SHA-256 of its decoded {what} is {found}, published {published}"
        for what, found, published in images + labels
        if found != published
    )


def _difference_of_bytes(published: str, content: bytes) -> str:
    found = git_blob_sha1(content)
    return "" if found == published else f"its git blob SHA-1 is {found}, published {published}"
