"""NumPy's .npz: arrays by name, with the splits in it or not. It is held in memory."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hvae.data.file_options import FileOptions, listed
from hvae.data.matrix import Dense
from hvae.data.readers.npy import checked
from hvae.data.table import SPLIT_NAMES, SPLITS, Table
from hvae.errors import Refused

_DATA = ("data", "x", "images", "arr_0")
_LABELS = ("labels", "y")
_WORDS = {**dict.fromkeys(_DATA[:3], "data"), **dict.fromkeys((*_LABELS, "label"), "labels")}


def read(path: Path, options: FileOptions) -> Table:
    """Splits by keys such as train or x_train, test, valid; else one array, and columns beside it.

    Labels by split have keys such as y_train or labels_train.

    Raises:
        Refused: no array is the data, or the splits do not fit each other.
    """
    with open(path, "rb") as file, np.load(file, allow_pickle=False) as archive:
        arrays = {name: archive[name] for name in archive.files}
    keys = {found: name for name in arrays if (found := _of_split(name)) is not None}
    if ("data", "train") in keys:
        return _split(arrays, keys, str(path))
    name = _data(arrays, str(path))
    array = checked(arrays.pop(name), f"{path}: {name}")
    columns = _columns(arrays, len(array))
    own = next((key for key in columns if key.lower() in _LABELS), None)
    return Table(Dense(array), array.shape[1:], columns, own_labels=own)


def _of_split(key: str) -> tuple[str, str] | None:
    """("data" or "labels", split) that a key such as "x_train" or "valid" names."""
    words = [word for word in re.split(r"[_\W]+", key.lower()) if word]
    split = [SPLIT_NAMES[word] for word in words if word in SPLIT_NAMES]
    what = [_WORDS.get(word) for word in words if word not in SPLIT_NAMES]
    if len(split) != 1 or len(what) > 1 or None in what:
        return None
    return str((what or ["data"])[0]), split[0]


def _split(
    arrays: Mapping[str, NDArray[Any]], keys: Mapping[tuple[str, str], str], where: str
) -> Table:
    there = [name for name in SPLITS if ("data", name) in keys]
    data = {name: checked(arrays[keys["data", name]], f"{where}: {name}") for name in there}
    shapes = {array.shape[1:] for array in data.values()}
    if len(shapes) > 1:
        raise Refused(f"{where}: rows of shapes {sorted(shapes)}; allowed: the same in each split")
    parts = np.repeat(there, [len(data[name]) for name in there])
    columns = {}
    if all(("labels", name) in keys for name in there):
        labels = [arrays[keys["labels", name]] for name in there]
        for name, own in zip(there, labels, strict=True):
            if own.shape != (len(data[name]),):
                raise Refused(
                    f"{where}: {keys['labels', name]} has shape {own.shape}; allowed: "
                    f"({len(data[name])},), one label a row"
                )
        columns["labels"] = np.concatenate(labels)
    joined = np.concatenate(list(data.values()))
    shape = next(iter(shapes))
    return Table(Dense(joined), shape, columns, parts=parts, own_labels=next(iter(columns), None))


def _data(arrays: Mapping[str, NDArray[Any]], where: str) -> str:
    """The key of the data: a usual name, or the only array of two dimensions or more."""
    usual = [name for name in arrays if name.lower() in _DATA]
    wide = [name for name, array in arrays.items() if array.ndim >= 2]
    found = usual or wide
    if len(found) != 1:
        raise Refused(
            f"{where}: its arrays are {listed(arrays)}; allowed: train, validation and test, or "
            f"one array of two dimensions or more, or one called {' or '.join(_DATA[:3])}"
        )
    return found[0]


def _columns(arrays: Mapping[str, NDArray[Any]], rows: int) -> dict[str, NDArray[Any]]:
    return {name: array for name, array in arrays.items() if array.shape == (rows,)}
