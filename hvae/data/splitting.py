"""Which rows of a file are for training, validation and test: ascending indices, [R] each."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from hvae.data.categories import categories, column
from hvae.data.file_options import FileOptions, listed
from hvae.data.table import SPLIT_NAMES, SPLITS, Table
from hvae.errors import Refused

Indices = dict[str, NDArray[np.int64]]


def split_rows(table: Table, options: FileOptions, where: str) -> tuple[Indices, str]:
    """The rows of every split, and by what they were split, for people.

    By the structure of the file where that says it; a split "validation" that is not there is
    taken from training. Else by a column, or by fractions of a permutation that
    numpy.random.RandomState makes of the seed (its streams are frozen, NEP 19).

    Raises:
        Refused: a split without a row, or a column that is not there or says something else.
    """
    rows = table.matrix.shape[0]
    if table.parts is not None:
        splits, how = _named(table.parts), "the file's own"
        if not len(splits["validation"]):
            splits = _with_validation(splits, options)
            how += f", validation from training by seed {options.split_seed}"
    elif options.fractions is None:
        splits, how = _by_column(table, options, where), f"by column {options.split}"
    else:
        splits, how = _by_fractions(rows, options), f"by seed {options.split_seed}"
    empty = [name for name in SPLITS if not len(splits[name])]
    if empty:
        raise Refused(
            f"--split: {where}: {rows} rows, of which none are for {' and '.join(empty)} ({how}); "
            "allowed: 1 row or more in every split"
        )
    return splits, how


def _named(parts: NDArray[Any]) -> Indices:
    return {name: np.flatnonzero(parts == name) for name in SPLITS}


def _by_column(table: Table, options: FileOptions, where: str) -> Indices:
    codes, names = categories(column(table.columns, options.split, "split", where))
    strange = [name for name in names if name.lower() not in SPLIT_NAMES]
    if strange:
        raise Refused(
            f"--split: {where}: column {options.split} has {listed(strange, 3)}; allowed: "
            f"{', '.join(SPLIT_NAMES)}"
        )
    return _named(np.array([SPLIT_NAMES[name.lower()] for name in names])[codes])


def _by_fractions(rows: int, options: FileOptions) -> Indices:
    assert options.fractions is not None
    _, validation, test = (max(1, round(part * rows)) for part in options.fractions)
    order = np.random.RandomState(options.split_seed).permutation(rows)
    train = max(0, rows - validation - test)
    return {
        name: np.sort(part)
        for name, part in zip(SPLITS, np.split(order, [train, train + validation]), strict=True)
    }


def _with_validation(splits: Indices, options: FileOptions) -> Indices:
    """Validation from training, as large beside it as the fractions are; 1 to 8 without any."""
    train = splits["train"]
    fractions = options.fractions or (0.8, 0.1, 0.1)
    held = max(1, round(len(train) * fractions[1] / (fractions[0] + fractions[1])))
    order = np.random.RandomState(options.split_seed).permutation(len(train))
    held = min(held, max(0, len(train) - 1))
    validation, rest = np.sort(order[:held]), np.sort(order[held:])
    return {**splits, "train": train[rest], "validation": train[validation]}
