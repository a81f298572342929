"""Text in columns, .csv and .csv.gz: separated by commas, semicolons or tabs, with a header or not.

It is held in memory.
"""

import csv
import gzip
import io
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, TextIO

import numpy as np
from numpy.typing import NDArray

from hvae.data.file_options import FileOptions
from hvae.data.matrix import Dense
from hvae.data.table import Table
from hvae.errors import Refused, short

_BLOCK_ROWS = 1 << 12
_GZIP = b"\x1f\x8b"


def read(path: Path, options: FileOptions) -> Table:
    """The data are the columns that no option names. Without a header they are called 1, 2, ...

    A first column without a name is that of the rows' names, as pandas writes it.

    Raises:
        Refused: a line has more or fewer values than the first, or a value of the data is no
            finite number; the message names line and column, counted from 1.
    """
    with _open(path) as file:
        start = file.read(1 << 16).partition("\n")[0]
        file.seek(0)
        delimiter = max(",;\t", key=start.count)
        lines = _Lines(csv.reader(file, delimiter=delimiter, strict=True), str(path))
        names = lines.names
        rows_named = lines.header and names[0] == ""
        beside = [j for j, name in enumerate(names) if name in options.columns]
        apart = {*beside, *([0] if rows_named else [])}
        columns = [j for j in range(len(names)) if j not in apart]
        absent = [name for name in options.columns if name not in names]
        hint = f" (there is no column {short(absent[0], 40)})" if absent else ""
        blocks, kept = [], []
        for first, block in lines.blocks():
            blocks.append(_numbers(block, columns, names, first, str(path), hint))
            kept += [[line[j] for j in (*beside, 0)] for line in block]
    matrix = np.concatenate(blocks) if blocks else np.zeros((0, len(columns)))
    values = np.array(kept, str).reshape(len(kept), len(beside) + 1)
    return Table(
        Dense(matrix),
        (len(columns),),
        {names[j]: values[:, k] for k, j in enumerate(beside)},
        features=tuple(names[j] for j in columns) if lines.header else None,
        row_names=tuple(map(str, values[:, -1])) if rows_named else None,
    )


class _Lines:
    """The lines of a table, each as long as the first; empty ones are none."""

    def __init__(self, reader: Any, where: str) -> None:
        self._lines = self._checked(reader, where)
        first = next(self._lines, None)
        if first is None:
            raise Refused(f"{where} is empty; allowed: a line of values or more")
        self.header = any(_number(cell) is None for cell in first[1])
        numbered = [str(number) for number in range(1, len(first[1]) + 1)]
        self.names = [cell.strip() for cell in first[1]] if self.header else numbered
        twice = [name for name in self.names if self.names.count(name) > 1][:1]
        if twice:
            raise Refused(
                f"{where}: line {first[0]}: two columns are called {short(twice[0], 40)}; allowed: "
                "a name for each"
            )
        self._first = None if self.header else first

    def blocks(self) -> Iterator[tuple[list[int], list[list[str]]]]:
        """Line numbers and lines, some thousands at a time."""
        numbers: list[int] = []
        block: list[list[str]] = []
        for number, line in [self._first] if self._first else []:
            numbers.append(number)
            block.append(line)
        for number, line in self._lines:
            numbers.append(number)
            block.append(line)
            if len(block) == _BLOCK_ROWS:
                yield numbers, block
                numbers, block = [], []
        if block:
            yield numbers, block

    @staticmethod
    def _checked(reader: Any, where: str) -> Iterator[tuple[int, list[str]]]:
        width = None
        for line in reader:
            if not line:
                continue
            width = len(line) if width is None else width
            if len(line) != width:
                raise Refused(
                    f"{where}: line {reader.line_num} has {len(line)} values; allowed: {width}, as "
                    "in the first line"
                )
            yield reader.line_num, line


def _open(path: Path) -> TextIO:
    with open(path, "rb") as file:
        packed = file.read(2) == _GZIP
    if packed:
        return io.TextIOWrapper(gzip.open(path, "rb"), "utf-8-sig", newline="")
    return open(path, encoding="utf-8-sig", newline="")


def _number(cell: str) -> float | None:
    try:
        return float(cell)
    except ValueError:
        return None


def _numbers(
    block: list[list[str]],
    columns: Sequence[int],
    names: Sequence[str],
    lines: Sequence[int],
    where: str,
    hint: str,
) -> NDArray[np.float64]:
    """float64 [R, columns]. Raises Refused, with the hint, for what is no finite number."""
    if len(columns) == len(names):
        cells = np.array(block)
    else:
        cells = np.array([[line[j] for j in columns] for line in block])
    try:
        numbers = cells.astype(np.float64)
        if np.isfinite(numbers).all():
            return numbers
    except ValueError:
        pass
    for number, line in zip(lines, block, strict=True):
        for j in columns:
            value = _number(line[j])
            if value is None or not np.isfinite(value):
                place = f"line {number}, column {j + 1} ({short(names[j])})"
                raise Refused(
                    f"{where}: {place}: {short(line[j])}; "
                    "allowed: finite numbers in every column that --labels, --covariate and "
                    f"--split do not name{hint}"
                )
    raise Refused(f"{where}: a value that is no finite number; allowed: finite numbers")
