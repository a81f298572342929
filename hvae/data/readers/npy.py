"""NumPy's .npy: an array whose first dimension counts the rows. A large one is mapped."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hvae.data import table
from hvae.data.file_options import FileOptions
from hvae.data.matrix import Dense
from hvae.data.table import Table
from hvae.errors import Refused


def read(path: Path, options: FileOptions) -> Table:
    """An array [N, ...] of numbers; it has no columns beside them."""
    large = path.stat().st_size > table.LARGE_BYTES
    array = np.load(path, mmap_mode="r" if large else None, allow_pickle=False)
    if not isinstance(array, np.ndarray):
        raise Refused(f"{path} is an archive; allowed: under the suffix .npy, one array")
    return Table(Dense(checked(array, str(path))), array.shape[1:])


def checked(array: NDArray[Any], where: str) -> NDArray[Any]:
    """An array that can be the data.

    Raises:
        Refused: it has fewer than two dimensions, or no numbers.
    """
    if array.ndim < 2 or array.dtype.kind not in "buif":
        raise Refused(
            f"{where}: an array of shape {array.shape} and type {str(array.dtype)[:40]}; allowed: "
            "numbers in two dimensions or more, the first of them the rows"
        )
    return array
