"""Columns of names: classes for labels, and what a model is told beside the data."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hvae.data.file_options import listed
from hvae.errors import Refused, short

NONE = "(none)"  # the name of an absent value
MOST_VALUES = 1000  # of a covariate, which costs a number of every row each


def categories(values: NDArray[Any]) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    """The class [N] of each value, and the names of the classes.

    Names are in the order of numbers where all are numbers, else in that of text. A value that is
    absent is a class of its own, `NONE`.
    """
    names, codes = np.unique(np.array([_name(value) for value in values]), return_inverse=True)
    order = np.argsort(_ranks(names), kind="stable")
    back = np.empty_like(order)
    back[order] = np.arange(len(order))
    return back[codes].astype(np.int64), tuple(str(name) for name in names[order])


def column(columns: Mapping[str, NDArray[Any]], name: str, option: str, where: str) -> NDArray[Any]:
    """The values of a column that an option names.

    Raises:
        Refused: there is none; the message lists those that are there.
    """
    if name not in columns:
        raise Refused(
            f"--{option}: {where} has no column {short(name, 40)}; allowed: {listed(columns)}"
        )
    return columns[name]


@dataclass(frozen=True)
class Covariates:
    """What stands behind the data of every row, 0 but for a 1 a column.

    Attributes:
        places: where the ones are, [N, columns].
        names: "COLUMN=VALUE" of every number.
    """

    places: NDArray[np.int64]
    names: tuple[str, ...] = ()

    def rows(self, index: NDArray[np.int64]) -> Tensor:
        """uint8 [R, C] of the rows of an index."""
        ones = np.zeros((len(index), len(self.names)), np.uint8)
        np.put_along_axis(ones, self.places[index], 1, 1)
        return torch.from_numpy(ones)


def covariates(
    columns: Mapping[str, NDArray[Any]],
    names: Sequence[str],
    where: str,
    known: tuple[str, ...] | None = None,
) -> Covariates:
    """The covariates of N rows.

    Args:
        columns: of the file.
        names: of the columns that are covariates.
        where: the file.
        known: "COLUMN=VALUE" of the model that the rows are for; None: those of the file itself.

    Raises:
        Refused: a column is not there, has more than `MOST_VALUES` values, or one that is not
            known.
    """
    written: list[NDArray[Any]] = []
    found: list[str] = []
    for name in names:
        values = column(columns, name, "covariate", where)
        codes, classes = categories(values)
        if len(classes) > MOST_VALUES:
            raise Refused(
                f"--covariate: {where}: {short(name, 40)} has {len(classes)} values; allowed: a "
                f"column of at most {MOST_VALUES}"
            )
        own = [f"{name}={value}" for value in classes]
        written.append(np.array(own)[codes])
        found += own
    names_of = known if known is not None else tuple(found)
    strange = [text for text in found if text not in names_of]
    if strange:
        raise Refused(
            f"{where}: {short(strange[0], 60)} was not among the training data; allowed: "
            f"{listed(names_of)}"
        )
    place = {text: number for number, text in enumerate(names_of)}
    if not written:
        return Covariates(np.zeros((0, 0), np.int64), names_of)
    return Covariates(
        np.stack([np.array([place[text] for text in column]) for column in written], 1), names_of
    )


def _name(value: Any) -> str:
    """A value as text; whole numbers without a point, the absent as `NONE`."""
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    if value is None or value != value:  # noqa: PLR0124  # NaN, and pandas' NaT
        return NONE
    if isinstance(value, float | np.floating) and float(value).is_integer():
        return str(int(value))
    return str(value).strip() or NONE


def _ranks(names: NDArray[np.str_]) -> NDArray[Any]:
    try:
        return names.astype(np.float64)
    except ValueError:
        return np.arange(len(names))
