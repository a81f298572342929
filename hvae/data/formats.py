"""The authors' file formats: the bytes of a file in, its arrays out, one row an image.

Every reader takes the unpacked bytes and returns `Arrays` in the dtypes of the file. On damaged
bytes a reader raises whatever the library below it raises: the caller turns that into one line.
Nothing here unpickles.
"""

import gzip
import io
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

_GZIP_MAGIC = b"\x1f\x8b"
_ZIP_MAGIC = b"PK\x03\x04"
_DIGIT_BIT = 0x10  # of the bytes that an .amat file may hold, only "0" and "1" have this bit set
_IDX_UBYTE = 0x08  # the type code of unsigned bytes in an IDX header
_NOTHING: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True)
class Arrays:
    """What a file holds, by part: images [N, D] and, where it has them, the labels [N] of N images.

    The values are as in the file and not checked yet.
    """

    images: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    labels: Mapping[str, NDArray[Any]] = field(default_factory=dict)


def unpack(raw: bytes) -> bytes:
    """The content of a .gz file; anything else as it is. Told by its first bytes, not its name."""
    return gzip.decompress(raw) if raw.startswith(_GZIP_MAGIC) else raw


def read_mat(
    raw: bytes,
    *,
    images: Mapping[str, str],
    labels: Mapping[str, str] = _NOTHING,
    columns_are_images: bool = False,
) -> Arrays:
    """A MATLAB 5 file.

    Args:
        images: from a part to the variable of its images, a row each.
        labels: from a part to the variable of its labels, a row each: a number, or a vector whose
            largest entry is at the label (one-hot). A variable that is not there is left out.
        columns_are_images: the variables have a column an image, not a row.
    """
    import scipy.io  # heavy, and other formats do not need it

    names = [*images.values(), *labels.values()]
    variables = scipy.io.loadmat(io.BytesIO(raw), variable_names=names)
    if columns_are_images:
        variables = {name: variable.T for name, variable in variables.items() if name in names}
    return Arrays(
        images={part: _named(variables, name) for part, name in images.items()},
        labels={
            part: _numbered(variables[name]) for part, name in labels.items() if name in variables
        },
    )


def read_npz(raw: bytes, *, images: Mapping[str, str]) -> Arrays:
    """A NumPy archive without pickles; `images` maps a part to its array."""
    if not raw.startswith(_ZIP_MAGIC):
        raise ValueError("it is not a zip archive")
    with np.load(io.BytesIO(raw), allow_pickle=False) as archive:
        return Arrays(images={part: _named(archive, name) for part, name in images.items()})


def read_amat(raw: bytes, *, part: str, columns: int) -> Arrays:
    """Text: one image a line, `columns` values 0 or 1 with blanks between them."""
    characters = np.frombuffer(raw, np.uint8)
    if (characters[1:] & characters[:-1] & _DIGIT_BIT).any():
        raise ValueError("it holds numbers of more than one digit")
    text = raw.translate(None, b" \t\r").rstrip(b"\n") + b"\n"
    if len(text) % (columns + 1):
        raise ValueError(f"its lines do not all have {columns} values")
    lines = np.frombuffer(text, np.uint8).reshape(-1, columns + 1)
    values, ends = lines[:, :-1], lines[:, -1]
    if values.min() < ord("0") or values.max() > ord("1") or (ends != ord("\n")).any():
        raise ValueError(f"it is not lines of {columns} values 0 or 1")
    return Arrays(images={part: values & 1})


def read_idx(raw: bytes, *, part: str, shape: tuple[int, ...]) -> Arrays:
    """An IDX file of unsigned bytes: images, and then the dimensions of an image, `shape`."""
    rows = _idx(raw, 1 + len(shape))
    if rows.shape[1:] != shape:
        raise ValueError(f"its images have the shape {rows.shape[1:]}; allowed is {shape}")
    return Arrays(images={part: rows.reshape(len(rows), -1)})


def read_idx_labels(raw: bytes, *, part: str) -> Arrays:
    """An IDX file of unsigned bytes with one dimension: a label an image."""
    return Arrays(labels={part: _idx(raw, 1)})


def _idx(raw: bytes, rank: int) -> NDArray[np.uint8]:
    """The array of `rank` dimensions in an IDX file of unsigned bytes."""
    header = f">HBB{rank}I"
    zero, code, found, *shape = struct.unpack_from(header, raw)
    if (zero, code, found) != (0, _IDX_UBYTE, rank):
        raise ValueError(f"the header is not that of unsigned bytes in {rank} dimensions")
    values = np.frombuffer(raw, np.uint8, offset=struct.calcsize(header))
    return values.reshape(shape)  # raises where the header announces more or fewer


def _numbered(labels: NDArray[Any]) -> NDArray[Any]:
    """Labels [N], from [N, 1] or one-hot [N, K]."""
    return labels[:, 0] if labels.shape[1] == 1 else labels.argmax(1)


def _named(arrays: Mapping[str, NDArray[Any]], key: str) -> NDArray[Any]:
    if key not in arrays:
        raise ValueError(f"it holds no {key!r}")
    return arrays[key]
