"""Parquet, by pyarrow. It is held in memory."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hvae.data.file_options import FileOptions
from hvae.data.matrix import Dense
from hvae.data.table import Table
from hvae.errors import Refused, short
from hvae.extras import require

_INDEX = "__index_level_0__"  # where pandas puts the names of rows


def read(path: Path, options: FileOptions) -> Table:
    """The data are the columns that no option names.

    Raises:
        Refused: a column of the data has an empty cell, or holds no numbers.
        EnvironmentProblem: pyarrow is not installed.
    """
    table = require("pyarrow.parquet", extra="data").read_table(path)
    names = [str(name) for name in table.column_names]
    beside = {name: _values(table.column(name)) for name in names if name in options.columns}
    features = [name for name in names if name not in beside and name != _INDEX]
    arrays = [_numbers(table.column(name), name, str(path)) for name in features]
    joined = np.stack(arrays, 1) if arrays else np.zeros((table.num_rows, 0))
    rows = tuple(map(str, _values(table.column(_INDEX)))) if _INDEX in names else None
    return Table(Dense(joined), (len(features),), beside, tuple(features), rows)


def _values(column: Any) -> NDArray[Any]:
    values = np.empty(len(column), object)
    values[:] = column.to_pylist()
    return values


def _numbers(column: Any, name: str, where: str) -> NDArray[Any]:
    types = require("pyarrow", extra="data").types
    kind = column.type
    if not (types.is_integer(kind) or types.is_floating(kind) or types.is_boolean(kind)):
        raise Refused(
            f"{where}: column {short(name, 40)} holds {str(kind)[:40]}; allowed: numbers in every "
            "column that --labels, --covariate and --split do not name"
        )
    if column.null_count:
        row = column.is_null().to_pylist().index(True)
        raise Refused(
            f"{where}: row {row} (counted from 0), column {short(name, 40)} is empty; allowed: "
            "finite numbers"
        )
    array: NDArray[Any] = np.asarray(column)
    return array
