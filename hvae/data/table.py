"""What a reader gives: the numbers of a file, and the columns beside them, not judged yet."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hvae.data.matrix import Matrix

LARGE_BYTES = 1 << 28  # a file of more is read as rows are asked for, where its format allows that
SPLITS = ("train", "validation", "test")
SPLIT_NAMES = {
    **{"train": "train", "training": "train"},
    **{"validation": "validation", "valid": "validation", "val": "validation"},
    "test": "test",
}


@dataclass(frozen=True)
class Table:
    """N rows of a file.

    Attributes:
        matrix: the numbers, [N, D].
        shape: of one row in the file.
        columns: beside the numbers by name, each [N], of text or numbers.
        features: names of the D numbers, where the file has them.
        row_names: of the N rows, where the file has them.
        parts: the split of each row, [N] of `SPLITS`, where the file says it by its structure.
        own_labels: the column that is the labels where the user names none.
        pictures: whether its bytes are grey levels or colours, whatever their values.
    """

    matrix: Matrix
    shape: tuple[int, ...]
    columns: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    features: tuple[str, ...] | None = None
    row_names: tuple[str, ...] | None = None
    parts: NDArray[np.str_] | None = None
    own_labels: str | None = None
    pictures: bool = False
