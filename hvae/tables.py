"""Tables of rows: arrays by name in a .npz or .csv file, or in the .obsm of an .h5ad file.

A table has an array [N] or [N, c] for each key. In a .csv file a key with c columns becomes the
columns KEY_NAME, with a name for each.
"""

import csv
import shutil
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hvae import files
from hvae.errors import EnvironmentProblem, Refused
from hvae.extras import require

Array = NDArray[Any]
Names = Mapping[str, Sequence[str]]

NPZ, CSV, H5AD = ".npz", ".csv", ".h5ad"

_CHUNK_ROWS = 1000
# What NumPy, zipfile and csv raise at the bytes of another file.
_DAMAGE = (
    *(ValueError, KeyError, EOFError, RuntimeError, OverflowError, MemoryError, SyntaxError),
    *(csv.Error, zlib.error, zipfile.BadZipFile),
)


def check_output(path: Path, suffixes: Sequence[str], force: bool, source: Path | None) -> None:
    """Refuse a name under which a table is not to be written, before any work is done.

    Args:
        path: the name.
        suffixes: those that are allowed.
        force: whether a file of that name may be replaced.
        source: the file that is read, which is never replaced; None where there is none.

    Raises:
        Refused: another suffix, a folder that is not there, or a file that is.
    """
    if path.suffix not in suffixes:
        raise Refused(f"--out: {path} is of an unknown format; allowed: {', '.join(suffixes)}")
    if not path.parent.is_dir():
        raise Refused(f"--out: {path.parent} is not a folder; allowed: a file in one that is there")
    if path.is_dir():
        raise Refused(f"--out: {path} is a folder; allowed: a file")
    if not path.exists():
        return
    if source is not None and source.exists() and path.samefile(source):
        raise Refused(f"--out: {path} is the file that is read; allowed: another one")
    if not force:
        raise Refused(f"--out: {path} is there; allowed: a new file, or --force to replace it")


def write(path: Path, arrays: Mapping[str, Array], names: Names) -> None:
    """Put a table at `path`, whole or not at all, in the format of its suffix.

    Floating-point numbers keep all their digits in either format.

    Args:
        path: .npz or .csv.
        arrays: [N] or [N, c] each: numbers or texts.
        names: the columns of every array [N, c], for .csv.

    Raises:
        EnvironmentProblem: the disk failed; what was at `path` before is still there.
    """
    with files.replacing(path) as temporary:
        if path.suffix == CSV:
            with open(temporary, "w", newline="", encoding="utf-8") as text:
                csv.writer(text).writerows(_lines(arrays, names))
        else:
            with open(temporary, "wb") as binary:
                np.savez(binary, **arrays)  # type: ignore[arg-type]


def write_obsm(source: Path, path: Path, arrays: Mapping[str, Array]) -> None:
    """Put a copy of the .h5ad file `source` at `path`, with these arrays in its .obsm.

    Everything else stays as it is, in files of AnnData's old layouts too, and is not read. An array
    of the same name is replaced.

    Args:
        source, path: .h5ad files.
        arrays: [N, c] each, by name.

    Raises:
        EnvironmentProblem: h5py is not there, or the disk failed; what was at `path` before is
            still there.
    """
    h5py = require("h5py", extra="data")
    with files.replacing(path) as temporary:
        shutil.copyfile(source, temporary)
        with h5py.File(temporary, "r+") as file:
            group = _obsm(file, h5py.Group)
            for name, array in arrays.items():
                if name in group:
                    del group[name]
                stored = group.create_dataset(name, data=array)
                stored.attrs.update({"encoding-type": "array", "encoding-version": "0.2.0"})


def read(path: Path, names: Names) -> dict[str, Array]:
    """Those of some keys that the file at `path` has.

    Args:
        path: .npz or .csv.
        names: for every key the names of its columns, which a .csv file must have all or none; none
            for a key that is a column itself, of texts.

    Returns:
        by key: of .npz the arrays as they are; of .csv float64 [N, c], or texts [N].

    Raises:
        Refused: another suffix, or a file that is missing, damaged, or no table.
        EnvironmentProblem: it cannot be read.
    """
    readers = {NPZ: _read_npz, CSV: _read_csv}
    if path.suffix not in readers:
        raise Refused(f"{path} is of an unknown format; allowed: {', '.join(readers)}")
    try:
        return readers[path.suffix](path, names)
    except Refused:
        raise
    except FileNotFoundError as error:
        raise Refused(f"{path} is missing; allowed: a .npz or .csv file") from error
    except OSError as error:
        raise EnvironmentProblem(f"{path} cannot be read: {error.strerror or error}") from error
    except _DAMAGE as error:
        reason = " ".join(str(error).split())[:100] or type(error).__name__
        raise Refused(
            f"{path} is damaged ({reason}); allowed: a {path.suffix} file as hvae writes it"
        ) from error


def _lines(arrays: Mapping[str, Array], names: Names) -> Iterator[list[str]]:
    """The header and the rows of a .csv file."""
    header: list[str] = []
    for key, array in arrays.items():
        header += [key] if array.ndim == 1 else [f"{key}_{name}" for name in names[key]]
    yield header
    rows = len(next(iter(arrays.values())))
    for first in range(0, rows, _CHUNK_ROWS):
        parts = [_texts(array[first : first + _CHUNK_ROWS]) for array in arrays.values()]
        for cells in zip(*parts, strict=True):
            yield [cell for part in cells for cell in part]


def _texts(array: Array) -> list[list[str]]:
    """Every row of [N] or [N, c] as texts from which the same numbers come back."""
    columns = array.reshape(len(array), -1)
    if array.dtype.kind != "f":
        return [[str(value) for value in row] for row in columns.tolist()]
    digits = 9 if array.dtype.itemsize <= 4 else 17  # IEEE 754-2019, 5.12.2
    return [[f"{value:.{digits}g}" for value in row] for row in columns.tolist()]


def _read_npz(path: Path, names: Names) -> dict[str, Array]:
    with open(path, "rb") as file:
        if not zipfile.is_zipfile(file):
            raise ValueError("it is no archive of arrays")
        found = np.load(file, allow_pickle=False)
        return {key: found[key] for key in names if key in found.files}


def _read_csv(path: Path, names: Names) -> dict[str, Array]:
    with open(path, newline="", encoding="utf-8") as file:
        lines = csv.reader(file)
        header = next(lines, [])
        wanted = _places(header, names)
        places = [place for found in wanted.values() for place in found]
        rows = []
        for number, line in enumerate(lines, 2):
            if len(line) != len(header):
                raise Refused(
                    f"{path}: line {number} has {len(line)} cells; allowed: {len(header)}, as the "
                    "first line"
                )
            rows.append([line[place] for place in places])
    cells = np.array(rows, dtype=np.str_).reshape(len(rows), len(places))
    arrays: dict[str, Array] = {}
    for key, found in wanted.items():
        part, cells = cells[:, : len(found)], cells[:, len(found) :]
        arrays[key] = part.astype(np.float64) if names[key] else part[:, 0]
    return arrays


def _places(header: Sequence[str], names: Names) -> dict[str, list[int]]:
    """Where the columns of every key are that the header has."""
    places = {name: place for place, name in enumerate(header)}
    found: dict[str, list[int]] = {}
    for key, own in names.items():
        columns = [f"{key}_{name}" for name in own] or [key]
        there = [places[column] for column in columns if column in places]
        if there and len(there) != len(columns):
            missing = next(column for column in columns if column not in places)
            raise ValueError(f"it has no column {missing}")
        if there:
            found[key] = there
    return found


def _obsm(file: Any, group: type) -> Any:
    """The group .obsm of an open file: made where it is not there, or is one table as of old."""
    fields: dict[str, Array] = {}
    if "obsm" in file and not isinstance(file["obsm"], group):
        table = file["obsm"][()]
        fields = {name: table[name] for name in table.dtype.names or ()}
        del file["obsm"]
    if "obsm" not in file:
        made = file.create_group("obsm")
        made.attrs.update({"encoding-type": "dict", "encoding-version": "0.1.0"})
        for name, array in fields.items():
            stored = made.create_dataset(name, data=array)
            stored.attrs.update({"encoding-type": "array", "encoding-version": "0.2.0"})
    return file["obsm"]
