"""Files that users bring: opened as a data set for training, or as rows for a model that is there.

`open_file` recognises what a file holds, splits it and says in one line what was found. `read_rows`
reads every row of a file in its order, for a model of the same kind of rows.
"""

import os
import re
import warnings
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hvae.data import binarization
from hvae.data.categories import Covariates, categories, column, covariates
from hvae.data.dataset import Dataset
from hvae.data.file_options import FileOptions, listed
from hvae.data.identity import identity
from hvae.data.matrix import Matrix, Selected
from hvae.data.readers import image_folder, reader_of, stem
from hvae.data.recognition import (
    GREY,
    Found,
    Reading,
    chosen_kind,
    is_grey,
    kinds,
    look,
    reading,
)
from hvae.data.splitting import Indices, split_rows
from hvae.data.stored_rows import StoredRows, of_file
from hvae.data.table import SPLITS, Table
from hvae.description import DataDescription, Kind
from hvae.errors import EnvironmentProblem, HvaeError, Refused, refused_option, short
from hvae.rows import Rows

PathLike = str | os.PathLike[str]


@dataclass(frozen=True)
class FileRows:
    """Every row of a file, in its order.

    Attributes:
        rows: [N, W], as the model takes them.
        labels: int64 [N], the class of each row, or None; class c is called `label_names[c]`.
        label_names: the names of the classes of this file, or None.
        row_names: of the rows, where the file has them.
        checksum: as in `Dataset`.
    """

    rows: Rows
    labels: Tensor | None
    label_names: tuple[str, ...] | None
    row_names: tuple[str, ...] | None
    checksum: str


def dataset_name(path: PathLike) -> str:
    """What a file is called as a data set: its stem, of letters, digits, ".", "_" and "-"."""
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", stem(Path(path))).strip("-.")
    return name[:60] or "data"


def open_file(
    path: PathLike,
    options: FileOptions | None = None,
    *,
    takes: Collection[Kind] | None = None,
    binarized: bool | None = None,
) -> Dataset:
    """A file of the user's as a data set.

    What it holds is recognised: binary, of the unit interval, counts or real; bytes of images are
    of the unit interval, divided by 255. A file of up to 256 MiB is held in memory and looked at
    whole. Of a larger .npy or .h5ad a sample of 2^22 numbers is looked at, and rows are checked
    when they are read.

    Args:
        path: .npy, .npz, .csv, .csv.gz, .h5ad, .parquet, or a folder of PNG or JPEG images.
        options: what the user says of it.
        takes: the kinds that the likelihood takes; the numbers are read as the first of what they
            can be that is among them. None: as the first.
        binarized: whether numbers of the unit interval are probabilities of a 1, so that training
            rows are drawn anew in each epoch and the other splits once. None: they are.

    Raises:
        Refused: no such file, a damaged one, values or columns that are not allowed; one line says
            which and where.
        EnvironmentProblem: it cannot be read, or a package is not installed.
    """
    options = options or FileOptions()
    table, checksum, where = _opened(Path(path), options)
    found = of_file(lambda: look(table.matrix, where), where)
    grey = is_grey(table, found)
    kind = chosen_kind(kinds(found, grey), takes)
    drawn = kind is Kind.UNIT and binarized is not False
    read = reading(table.matrix, kind, grey, drawn, found.highest, where)
    beside = covariates(table.columns, options.covariate, where)
    description = DataDescription(
        _shape(table, options, where),
        kind,
        beside.names,
        _maxima(kind, grey, found),
        table.features,
    )
    splits, how = split_rows(table, options, where)
    labels, label_names = _labels(table, options, where)
    rows = {
        name: _split(table.matrix, read, beside, index, description.size, name, drawn)
        for name, index in splits.items()
    }
    return Dataset(
        name=dataset_name(path),
        description=description,
        binarization="dynamic" if drawn else "none",
        checksum=checksum,
        verified=True,
        source=where,
        labels=None if labels is None else {n: labels[torch.from_numpy(splits[n])] for n in SPLITS},
        label_names=label_names,
        summary=_summary(Path(path), table, found, read, options, splits, how, label_names),
        train=rows["train"],
        validation=rows["validation"],
        test=rows["test"],
    )


def read_rows(
    path: PathLike,
    description: DataDescription,
    options: FileOptions | None = None,
    *,
    binarized: bool = False,
) -> FileRows:
    """Every row of a file, for a model of rows of this description.

    Columns that both name are matched by name, in any order. The label and covariate columns of
    `options` are no data; labels need not be there, covariates must be.

    Args:
        path: as in `open_file`.
        description: of the model's rows.
        options: those of the run.
        binarized: whether numbers of the unit interval are drawn 0 and 1, once.

    Raises:
        Refused: as `open_file`, and for rows that are not of the description.
        EnvironmentProblem: as `open_file`.
    """
    options = options or FileOptions()
    table, checksum, where = _opened(Path(path), options)
    matrix = _matched(table, description, where)
    found = of_file(lambda: look(matrix, where), where)
    grey = description.kind is Kind.UNIT and is_grey(table, found, description.kind)
    drawn = binarized and description.kind is Kind.UNIT
    read = reading(matrix, description.kind, grey, drawn, found.highest, where)
    beside = covariates(table.columns, options.covariate, where, description.covariates)
    every = np.arange(matrix.shape[0])
    rows: Rows = _split(matrix, read, beside, every, description.size, "test", drawn)
    absent = options.labels is not None and options.labels not in table.columns
    labels, names = (None, None) if absent else _labels(table, options, where)
    return FileRows(rows, labels, names, table.row_names, checksum)


def _opened(path: Path, options: FileOptions) -> tuple[Table, str, str]:
    """What the file holds, its identity, and its name for messages."""
    where = str(path)
    try:
        os.stat(path)
    except (FileNotFoundError, NotADirectoryError, ValueError) as error:
        raise Refused(f"--data: {short(where, 200)} is not there; allowed: a file") from error
    except OSError as error:
        raise _unreadable(where, error) from error
    read = reader_of(path)
    try:
        files = image_folder.images(path) if path.is_dir() else None
        checksum = identity(path, files)
    except OSError as error:
        raise _unreadable(where, error) from error
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the libraries below, on files that they refuse anyway
        table: Table = of_file(lambda: read(path, options), where)
    return table, checksum, where


def _unreadable(where: str, error: OSError) -> HvaeError:
    return EnvironmentProblem(f"{where} cannot be read: {error.strerror or error}")


def _shape(table: Table, options: FileOptions, where: str) -> tuple[int, ...]:
    size, shape = table.matrix.shape[1], options.shape
    if shape is None:
        return table.shape
    if int(np.prod(shape, dtype=object)) != size:
        raise refused_option(
            "image_shape", options.image_shape, f"sizes whose product is {size}, as in {where}"
        )
    return shape


def _maxima(kind: Kind, grey: bool, found: Found) -> tuple[int, ...] | None:
    """Of counts; grey levels are counts up to 255 each."""
    if kind is not Kind.COUNTS:
        return None
    if grey and found.maxima is not None:
        return (GREY,) * len(found.maxima)
    return found.maxima


def _split(
    matrix: Matrix,
    read: Reading,
    beside: Covariates,
    index: NDArray[np.int64],
    size: int,
    name: str,
    drawn: bool,
) -> Rows:
    """The rows of a split: in memory where the file is and they are dense."""
    rows: Rows = StoredRows(matrix, read, beside, index)
    if drawn and name in binarization.SEEDS:
        rows = binarization.Binarized(rows, size, binarization.SEEDS[name])
    return rows[0 : len(rows)] if matrix.held and not matrix.sparse else rows


def _labels(
    table: Table, options: FileOptions, where: str
) -> tuple[Tensor | None, tuple[str, ...] | None]:
    name = options.labels or table.own_labels
    if name is None:
        return None, None
    codes, names = categories(column(table.columns, name, "labels", where))
    return torch.from_numpy(codes), names


def _matched(table: Table, description: DataDescription, where: str) -> Matrix:
    """The numbers with the columns of the model, by name where both have names."""
    wanted, there = description.features, table.features
    if wanted is not None and there is not None and wanted != there:
        number = {name: j for j, name in enumerate(there)}
        absent = [name for name in wanted if name not in number]
        if absent:
            raise Refused(
                f"{where} lacks {len(absent)} columns of the model: {listed(absent, 3)}; allowed: "
                f"those of its training data"
            )
        return Selected(table.matrix, [number[name] for name in wanted])
    if table.matrix.shape[1] != description.size:
        raise Refused(
            f"{where}: rows of {table.matrix.shape[1]} numbers; allowed: {description.size}, as "
            "the model"
        )
    return table.matrix


def _summary(
    path: Path,
    table: Table,
    found: Found,
    read: Reading,
    options: FileOptions,
    splits: Indices,
    how: str,
    label_names: tuple[str, ...] | None,
) -> str:
    """One line: what was found, and what is made of it."""
    rows, columns = table.matrix.shape
    shape = options.shape or table.shape
    size = "x".join(map(str, shape)) if len(shape) > 1 else str(columns)
    unit = {Kind.BINARY: "binary", Kind.UNIT: "of the unit interval", Kind.REAL: "real"}
    what = {k: f"{size} numbers, {text}" for k, text in unit.items()}.get(
        read.kind, f"{size} counts"
    )
    extent = f"{found.lowest:g} to {found.highest:g}"
    if is_grey(table, found) and read.kind is Kind.UNIT:
        extent += f", divided by {GREY}"
    if found.rows < rows:
        extent += f" in a sample of {found.rows} rows"
    parts = [f"{rows} rows x {what} ({extent})"]
    name = options.labels or table.own_labels
    if label_names is not None:
        parts.append(f"labels {name} ({len(label_names)})")
    parts += [f"covariate {name}" for name in options.covariate]
    sizes = "/".join(str(len(splits[name])) for name in SPLITS)
    return f"{path.name}: {', '.join(parts)}, split {sizes} {how}"
