"""A folder of images, PNG or JPEG, all of one size, by Pillow.

The subfolder of an image is its label. Where the folders at the top are train, test and so on, they
are the splits, and the label is the subfolder below. Grey images are [height, width], and where one
has colours all are [3, height, width].
"""

import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hvae.data import table
from hvae.data.file_options import FileOptions
from hvae.data.matrix import Dense, Matrix
from hvae.data.table import SPLIT_NAMES, Table
from hvae.errors import Refused
from hvae.extras import require

SUFFIXES = (".png", ".jpg", ".jpeg")
_GREY_MODES = ("1", "L", "LA")
_MODES = (*_GREY_MODES, "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr")


def images(folder: Path) -> list[Path]:
    """The images in a folder and below it, in the order of their paths."""
    found = [
        Path(place, name)
        for place, _, names in os.walk(folder)
        for name in names
        if name.lower().endswith(SUFFIXES) and not name.startswith(".")
    ]
    return sorted(found)


def read(path: Path, options: FileOptions) -> Table:
    """The images of a folder; of more than `LARGE_BYTES` of pixels they are decoded when asked for.

    Raises:
        Refused: there is none, one is damaged or of another size than the first, or has more than
            8 bits a pixel and colour.
        EnvironmentProblem: Pillow is not installed.
    """
    files = images(path)
    if not files:
        raise Refused(f"{path} holds no image; allowed: {', '.join(SUFFIXES)}, in subfolders too")
    shape = _shape(files)
    pictures: Matrix = _Pictures(files, shape)
    if pictures.shape[0] * pictures.shape[1] <= table.LARGE_BYTES:
        pictures = Dense(pictures.take(np.arange(len(files))))
    places = [file.relative_to(path).parts[:-1] for file in files]
    tops = {place[0].lower() if place else "" for place in places}
    split = tops <= set(SPLIT_NAMES) and {"train", "test"} <= {SPLIT_NAMES[top] for top in tops}
    parts = np.array([SPLIT_NAMES[place[0].lower()] for place in places]) if split else None
    labels = ["/".join(place[1:] if split else place) for place in places]
    columns: dict[str, NDArray[Any]] = {"folder": np.array(labels)} if any(labels) else {}
    return Table(
        pictures,
        shape,
        columns,
        row_names=tuple(file.relative_to(path).as_posix() for file in files),
        parts=parts,
        own_labels=next(iter(columns), None),
        pictures=True,
    )


class _Pictures:
    """Images as rows, decoded as they are asked for."""

    held = False
    sparse = False
    dtype = np.dtype(np.uint8)

    def __init__(self, files: list[Path], shape: tuple[int, ...]) -> None:
        self._files = files
        self._image = shape
        self.shape = (len(files), int(np.prod(shape)))

    def take(self, index: NDArray[np.int64]) -> NDArray[Any]:
        rows = np.empty((len(index), self.shape[1]), np.uint8)
        for row, number in zip(rows, index, strict=True):
            row[:] = self._decoded(self._files[number])
        return rows

    def _decoded(self, file: Path) -> NDArray[np.uint8]:
        try:
            with require("PIL.Image", extra="data").open(file) as image:
                array = np.asarray(image.convert("RGB" if len(self._image) == 3 else "L"))
        except Exception as error:  # damaged bytes raise almost anything in Pillow
            raise _damaged(file, error) from error
        return (array.transpose(2, 0, 1) if array.ndim == 3 else array).reshape(-1)


def _shape(files: list[Path]) -> tuple[int, ...]:
    """Of every image, by their headers."""
    size, colours = None, False
    for file in files:
        found, mode = _header(file)
        size = size or found
        if found != size:
            raise Refused(
                f"{file} has {found[0]} x {found[1]} pixels; allowed: {size[0]} x {size[1]}, as "
                f"{files[0].name}"
            )
        if mode not in _MODES:
            raise Refused(
                f"{file} has pixels of the mode {mode}; allowed: 8 bits a pixel and colour"
            )
        colours = colours or mode not in _GREY_MODES
    assert size is not None
    return (3, size[1], size[0]) if colours else (size[1], size[0])


def _header(file: Path) -> tuple[tuple[int, int], str]:
    pillow = require("PIL.Image", extra="data")
    try:
        with pillow.open(file, formats=("PNG", "JPEG")) as image:
            return image.size, image.mode
    except Exception as error:  # damaged bytes raise almost anything in Pillow
        raise _damaged(file, error) from error


def _damaged(file: Path, error: Exception) -> Refused:
    reason = " ".join(str(error).split())[:200] or type(error).__name__
    return Refused(f"{file} is damaged, or no PNG or JPEG: {reason}; allowed: whole images")
