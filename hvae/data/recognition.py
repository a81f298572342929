"""What kind of numbers a file holds, and rows of them as a model sees them.

All of a file that is in memory is looked at; of another a sample, and the rest when it is read.
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hvae.data.matrix import Matrix
from hvae.data.table import Table
from hvae.description import Kind
from hvae.errors import Refused

GREY = 255
SAMPLE_NUMBERS = 1 << 22  # of a file that is not held in memory, in blocks at equal distances
_SAMPLE_BLOCKS = 16
_BLOCK_NUMBERS = 1 << 20
_EXACT = 1 << 24  # float32 has every integer up to it


@dataclass(frozen=True)
class Found:
    """The numbers that were looked at.

    Attributes:
        lowest, highest: of all.
        whole: whether all are integers.
        maxima: the largest of every column; None where not all rows were looked at.
        rows: how many were.
    """

    lowest: float
    highest: float
    whole: bool
    maxima: tuple[int, ...] | None
    rows: int


@dataclass(frozen=True)
class Reading:
    """How the numbers of a file become rows of a model.

    Attributes:
        where: the file, for messages.
        kind: of the rows.
        dtype: of the rows: uint8, float32 or float64.
        divisor: of every number.
    """

    where: str
    kind: Kind
    dtype: torch.dtype
    divisor: int = 1

    def rows(self, block: NDArray[Any], index: NDArray[np.int64]) -> Tensor:
        """[R, D] of the numbers [R, D] of these rows of the file.

        Raises:
            Refused: a number is not of the kind; the message names its row and column.
        """
        self._check(block, index)
        if self.dtype is torch.uint8:
            return torch.from_numpy(np.ascontiguousarray(block, np.uint8))
        wide = np.float64 if self.dtype is torch.float64 else np.float32
        rows = torch.from_numpy(np.ascontiguousarray(block, wide))
        return rows.div_(self.divisor) if self.divisor > 1 else rows

    def _check(self, block: NDArray[Any], index: NDArray[np.int64]) -> None:
        if block.dtype == np.uint8 and (self.divisor > 1 or self.kind in (Kind.COUNTS, Kind.REAL)):
            return
        refuse_not_finite(block, index, self.where)
        if self.kind is Kind.REAL:
            return
        good = _belongs(block, self.kind, self.divisor)
        if not good.all():
            row, column = np.argwhere(~good)[0]
            raise Refused(
                f"{place(self.where, index[row], column)}: {block[row, column]} among "
                f"{self.kind.value} data; allowed: {_ALLOWED[self.kind]}"
            )


_ALLOWED = {
    Kind.BINARY: "0 and 1",
    Kind.UNIT: "numbers from 0 to 1",
    Kind.COUNTS: "integers of at least 0",
}


def _belongs(block: NDArray[Any], kind: Kind, divisor: int) -> NDArray[np.bool_]:
    top = {Kind.BINARY: 1, Kind.UNIT: divisor}.get(kind, np.inf)
    whole = kind is Kind.UNIT or block == np.floor(block)
    inside: NDArray[np.bool_] = (block >= 0) & (block <= top) & whole
    return inside


def place(where: str, row: int, column: int) -> str:
    """A place in a file for a message."""
    return f"{where}: row {row}, column {column} (counted from 0)"


def refuse_not_finite(block: NDArray[Any], index: NDArray[np.int64], where: str) -> None:
    """Raises Refused for a NaN or an infinite number, by its row and column."""
    if block.dtype.kind != "f":
        return
    finite = np.isfinite(block)
    if not finite.all():
        row, column = np.argwhere(~finite)[0]
        raise Refused(
            f"{place(where, index[row], column)}: {block[row, column]}; allowed: finite numbers"
        )


def look(matrix: Matrix, where: str) -> Found:
    """What numbers there are: in all rows, or in a sample of a matrix that is not held.

    Raises:
        Refused: no row, no column, numbers that are none, or one that is not finite.
    """
    rows, columns = matrix.shape
    if not rows or not columns:
        raise Refused(f"{where}: {rows} rows of {columns} numbers; allowed: 1 or more of each")
    if matrix.dtype.kind not in "buif":
        raise Refused(f"{where}: numbers of type {matrix.dtype}; allowed: integers and reals")
    maxima = np.full(columns, -np.inf)
    lowest, whole, count = np.inf, True, 0
    for index in _blocks(matrix):
        block = matrix.take(index)
        refuse_not_finite(block, index, where)
        lowest = min(lowest, float(block.min()))
        maxima = np.maximum(maxima, block.max(0))
        whole = whole and (block.dtype.kind != "f" or bool((block == np.floor(block)).all()))
        count += len(index)
    known = count == rows and whole and lowest >= 0
    integers = tuple(int(largest) for largest in maxima) if known else None
    return Found(lowest, float(maxima.max()), whole, integers, count)


def _blocks(matrix: Matrix) -> list[NDArray[np.int64]]:
    """Indices of the rows to look at."""
    rows, columns = matrix.shape
    sample = SAMPLE_NUMBERS // columns
    if matrix.held or rows <= sample:
        size = max(1, _BLOCK_NUMBERS // columns)
        return [np.arange(i, min(i + size, rows)) for i in range(0, rows, size)]
    size = max(1, sample // _SAMPLE_BLOCKS)
    firsts = np.linspace(0, rows - size, min(_SAMPLE_BLOCKS, rows // size)).astype(np.int64)
    return [np.arange(first, first + size) for first in firsts]


def is_grey(table: Table, found: Found, kind: Kind | None = None) -> bool:
    """Whether the numbers are levels from 0 to 255: bytes of pictures, or up to exactly 255.

    Where the kind is known to be the unit interval, bytes above 1 are levels too.
    """
    largest = 2 if kind is Kind.UNIT else GREY
    return table.matrix.dtype == np.uint8 and (table.pictures or found.highest >= largest)


def kinds(found: Found, grey: bool) -> tuple[Kind, ...]:
    """What the numbers can be read as, the first one first."""
    if grey:
        return Kind.UNIT, Kind.COUNTS, Kind.REAL
    inside = found.lowest >= 0 and found.highest <= 1
    if found.whole and inside:
        return Kind.BINARY, Kind.COUNTS, Kind.UNIT, Kind.REAL
    if found.whole and found.lowest >= 0:
        return Kind.COUNTS, Kind.REAL
    return (Kind.UNIT, Kind.REAL) if inside else (Kind.REAL,)


def chosen_kind(possible: tuple[Kind, ...], takes: Collection[Kind] | None) -> Kind:
    """The first that a likelihood takes; the first of all where it takes none, or all do."""
    return next((kind for kind in possible if takes is None or kind in takes), possible[0])


def reading(
    matrix: Matrix, kind: Kind, grey: bool, binarized: bool, highest: float, where: str
) -> Reading:
    """How the numbers are read as this kind.

    Args:
        matrix: of the file.
        kind: as which they are read.
        grey: whether they are levels from 0 to 255.
        binarized: whether the rows will be: grey levels stay bytes then.
        highest: the largest that was found.
        where: the file.
    """
    size = matrix.dtype.itemsize
    if kind is Kind.BINARY or (grey and (binarized or kind is Kind.COUNTS)):
        return Reading(where, kind, torch.uint8, GREY if kind is Kind.UNIT else 1)
    if kind is Kind.UNIT:
        return Reading(where, kind, torch.float32, GREY if grey else 1)
    if kind is Kind.COUNTS:
        if matrix.dtype == np.uint8:
            return Reading(where, kind, torch.uint8)
        return Reading(where, kind, torch.float32 if highest <= _EXACT else torch.float64)
    wide = matrix.dtype.kind == "f" and size <= 4
    return Reading(where, kind, torch.float32 if wide else torch.float64)
