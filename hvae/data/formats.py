"""The authors' file formats: the bytes of a file in, its arrays out, one row an image.

Every reader takes the unpacked bytes and returns {part: array [N, D]} in the dtype of the file. On
damaged bytes a reader raises whatever the library below it raises: the caller turns that into one
line. Nothing here unpickles.
"""

import gzip
import io
import struct
from collections.abc import Mapping

import numpy as np
import scipy.io

Arrays = dict[str, np.ndarray]

_GZIP_MAGIC = b"\x1f\x8b"
_ZIP_MAGIC = b"PK\x03\x04"
_DIGIT_BIT = 0x10  # of the bytes that an .amat file may hold, only "0" and "1" have this bit set
_IDX_UBYTE = 0x08  # the type code of unsigned bytes in an IDX header


def unpack(raw: bytes) -> bytes:
    """The content of a .gz file; anything else as it is. Told by its first bytes, not its name."""
    return gzip.decompress(raw) if raw.startswith(_GZIP_MAGIC) else raw


def read_mat(raw: bytes, *, keys: Mapping[str, str], columns_are_images: bool = False) -> Arrays:
    """A MATLAB 5 file; `keys` maps a part to its variable."""
    variables = scipy.io.loadmat(io.BytesIO(raw), variable_names=list(keys.values()))
    arrays = {part: _named(variables, key) for part, key in keys.items()}
    return {part: array.T for part, array in arrays.items()} if columns_are_images else arrays


def read_npz(raw: bytes, *, keys: Mapping[str, str]) -> Arrays:
    """A NumPy archive without pickles; `keys` maps a part to its array."""
    if not raw.startswith(_ZIP_MAGIC):
        raise ValueError("it is not a zip archive")
    with np.load(io.BytesIO(raw), allow_pickle=False) as archive:
        return {part: _named(archive, key) for part, key in keys.items()}


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
    return {part: values & 1}


def read_idx(raw: bytes, *, part: str, image_shape: tuple[int, int]) -> Arrays:
    """An IDX file of unsigned bytes with three dimensions: images, height, width."""
    zero, code, rank, rows, *shape = struct.unpack_from(">HBB3I", raw)
    if (zero, code, rank) != (0, _IDX_UBYTE, 3):
        raise ValueError("the header is not that of unsigned bytes in three dimensions")
    if tuple(shape) != image_shape:
        raise ValueError(f"its images have the shape {tuple(shape)}; allowed is {image_shape}")
    pixels = np.frombuffer(raw, np.uint8, offset=struct.calcsize(">HBB3I"))
    if len(pixels) != rows * shape[0] * shape[1]:
        raise ValueError(f"it announces {rows} images and holds {len(pixels)} pixels")
    return {part: pixels.reshape(rows, -1)}


def _named(arrays: Mapping[str, np.ndarray], key: str) -> np.ndarray:
    if key not in arrays:
        raise ValueError(f"it holds no {key!r}")
    return arrays[key]
