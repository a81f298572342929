"""AnnData's .h5ad, of old layouts and new: X, a layer or the raw matrix, and the columns of obs.

A matrix of more than `LARGE_BYTES` stays in the file; a sparse one stays sparse in any case.
"""

import warnings
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hvae.data import table
from hvae.data.file_options import RAW, FileOptions, listed
from hvae.data.matrix import Dense, Matrix, Sparse, Stored
from hvae.data.table import Table
from hvae.errors import Refused
from hvae.extras import require


def read(path: Path, options: FileOptions) -> Table:
    """The numbers that `options.layer` names, with all columns of obs beside them.

    Raises:
        Refused: the layer is not there, or no matrix.
        EnvironmentProblem: h5py or anndata is not installed.
    """
    h5py = require("h5py", extra="data")
    require("anndata", extra="data")
    file = h5py.File(path, "r", locking=False)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # anndata's, of old layouts
            matrix, var = _matrix(file, options.layer, str(path))
            names, columns = _frame(file, "obs", matrix.shape[0])
            features, _ = _frame(file, var, matrix.shape[1])
    except BaseException:
        file.close()
        raise
    if matrix.held:  # else it is open for as long as its rows can be asked for
        file.close()
    return Table(matrix, (matrix.shape[1],), columns, features, names)


def _matrix(file: Any, layer: str | None, where: str) -> tuple[Matrix, str]:
    """The matrix, and where the names of its columns are."""
    layers = file.get("layers", {})
    raw = next((name for name in ("raw/X", "raw.X") if name in file), None)
    if layer is None:
        place, var = "X", "var"
    elif layer == RAW and raw:
        place, var = raw, "raw/var" if raw == "raw/X" else "raw.var"
    else:
        place, var = f"layers/{layer}", "var"
        if layer not in layers:
            there = [*(["raw"] if raw else []), *layers]
            raise Refused(f"--layer: {where} has no {layer}; allowed: {listed(there)}")
    if place not in file:
        raise Refused(f"{where} has no X; allowed: --layer with {listed(layers)}")
    return _of_element(file[place], f"{where}: {place}"), var


def _of_element(element: Any, where: str) -> Matrix:
    if isinstance(element, require("h5py", extra="data").Dataset):
        if element.ndim != 2 or element.dtype.kind not in "buif":
            raise Refused(
                f"{where}: shape {element.shape}, type {str(element.dtype)[:40]}; allowed: a "
                "matrix of numbers"
            )
        return Stored(element) if element.nbytes > table.LARGE_BYTES else Dense(element[:])
    sparse = require("anndata.io", extra="data").sparse_dataset(element)
    data, indices = element["data"], element["indices"]
    rows, columns = map(int, sparse.shape)
    if data.nbytes + indices.nbytes > table.LARGE_BYTES:
        if sparse.format != "csr":
            raise Refused(f"{where}: is stored by columns; allowed: by rows (CSR), at this size")
        return Stored(sparse)
    matrix = sparse.to_memory()
    matrix.check_format(full_check=True)  # indices out of range would be followed in compiled code
    matrix = matrix.tocsr()
    if matrix.dtype.kind not in "buif" or matrix.shape != (rows, columns):
        raise Refused(f"{where}: type {matrix.dtype}; allowed: a matrix of numbers")
    return Sparse(matrix)


def _frame(
    file: Any, name: str, rows: int
) -> tuple[tuple[str, ...] | None, dict[str, NDArray[Any]]]:
    """The index and the columns of obs or var, which are as long as the matrix says."""
    if name not in file:
        return None, {}
    element = file[name]
    if isinstance(element, require("h5py", extra="data").Dataset):
        index, columns = _old_frame(file, element[:])
    else:
        frame = require("anndata.io", extra="data").read_elem(element)
        index = [str(key) for key in frame.index]
        columns = {str(key): frame[key].astype(object).to_numpy() for key in frame.columns}
    if len(index) != rows:
        raise Refused(f"{name} has {len(index)} rows; allowed: {rows}, as the matrix")
    return tuple(index), columns


def _old_frame(file: Any, records: NDArray[Any]) -> tuple[list[str], dict[str, NDArray[Any]]]:
    """Of anndata before 0.7: a table of records, whose categories are named in uns."""
    names = records.dtype.names or ()
    index = next((name for name in ("index", "_index") if name in names), None)
    columns = {}
    for name in names:
        values, key = records[name], f"uns/{name}_categories"
        if name != index and values.ndim == 1:
            columns[name] = _named(values, file[key][:]) if key in file else values
    rows = records[index] if index else np.arange(len(records))
    return [row.decode() if isinstance(row, bytes) else str(row) for row in rows], columns


def _named(codes: NDArray[Any], names: NDArray[Any]) -> NDArray[Any]:
    """The name of each code; None of -1, which stands for an absent value."""
    values: NDArray[Any] = names.astype(object)[codes]
    values[codes < 0] = None
    return values
