"""The worst point of every special function over the project's tables, and SciPy's there.

    python -m hvae.benchmarks.reports.accuracy [--tables FOLDER]

Every row of tests/tables/special.csv.gz (nu from 0 to 1e5, half-integers and others, kappa from
1e-300 to 1e12) is evaluated with one order a batch and with an order an element, in float64 and,
where its inputs are exactly float32, in float32; the worse of the two counts. So is every pair of
tests/tables/divergence.csv.gz. An error is relative, in log_iv and log_ive in units of
max(|log I|, sqrt(nu^2 + kappa^2)), and taken where the true value is a normal number; "lost" counts
the values among them that are not finite. SciPy's side is the formula one writes with
scipy.special.ive and gammaln. The last line is one JSON document.
"""

import argparse
import gzip
import json
import pathlib
import sys
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from hvae import ops
from hvae.distributions.bregman import bregman
from hvae.errors import Refused

from ..baselines import scipy_bessel
from . import command

TABLES = pathlib.Path("tests/tables")  # of the checkout that this is run in
ALLOWED = "allowed: a folder with special.csv.gz and divergence.csv.gz, as tests/tables"
INPUTS = ("nu", "kappa", "k1", "k2")
DTYPES: tuple[type[np.floating[Any]], ...] = (np.float64, np.float32)
BARS = {
    "L": (1.5e-15, 5e-7),
    "k_minus_L": (1.5e-15, 5e-7),
    "A": (1.5e-15, 5e-7),
    "one_minus_A": (1.5e-15, 5e-7),
    "KL": (2e-15, 1e-6),
    "dA": (3e-15, 3e-6),
    "dKL": (3e-15, 3e-6),
    "log_iv": (1e-15, 3e-7),
    "log_ive": (1e-15, 3e-7),
    "B": (1e-13, 1e-5),
}

Array = npt.NDArray[Any]
Columns = dict[str, Array]


@dataclass(frozen=True)
class Worst:
    """Of one side over the points of one quantity: the largest finite error and where it is."""

    error: float
    at: dict[str, float]
    lost: int

    @classmethod
    def of(cls, value: Array, expected: Array, scale: Array, at: Columns) -> "Worst":
        wide = np.asarray(value, np.longdouble)
        lost = ~np.isfinite(wide)
        error = np.where(lost, -1, np.abs(np.where(lost, 0, wide) - expected) / scale)
        i = int(np.argmax(error))
        where = {name: float(column[i]) for name, column in at.items()}
        return cls(max(0.0, float(error[i])), where, int(lost.sum()))

    def __str__(self) -> str:
        place = ", ".join(f"{name} {value:.7g}" for name, value in self.at.items())
        return f"{self.error:8.1e} at {place:<42} {self.lost:5d} lost"


def read(path: pathlib.Path) -> Columns:
    """A table's columns in long double; the inputs are float64 as they stand.

    Raises:
        Refused: it is not a compressed table of numbers.
    """
    try:
        with gzip.open(path, "rt") as lines:
            header, *rows = (line.rstrip("\n").split(",") for line in lines)
        texts = dict(zip(header, zip(*rows, strict=True), strict=True))
        return {name: _numbers(name, column) for name, column in texts.items()}
    except (OSError, EOFError, zlib.error, ValueError) as error:
        what = "is missing" if isinstance(error, FileNotFoundError) else "is not a table"
        raise Refused(f"--tables: {path} {what}; {ALLOWED}") from error


def _numbers(name: str, texts: Sequence[str]) -> Array:
    kind = float if name in INPUTS else np.longdouble
    return np.array([kind(text) for text in texts]).astype(np.longdouble)


def tables(folder: pathlib.Path) -> tuple[Columns, Columns]:
    """The table of the functions and that of the divergence of pairs.

    Raises:
        Refused: one is missing, or lacks a column.
    """
    special, pairs = folder / "special.csv.gz", folder / "divergence.csv.gz"
    functions = {"nu", "kappa", *BARS} - {"log_iv", "B"}
    found = []
    for path, names in ((special, functions), (pairs, {"nu", "k1", "k2", "B"})):
        table = read(path)
        if absent := sorted(names - table.keys()):
            raise Refused(f"--tables: {path} has no column {', '.join(absent)}; {ALLOWED}")
        found.append(table)
    found[0]["log_iv"] = found[0]["log_ive"] + found[0]["kappa"]
    return found[0], found[1]


def exactly(table: Columns, dtype: type[np.floating[Any]]) -> Columns:
    """The rows whose inputs are normal numbers of dtype."""
    inputs = [table[name] for name in INPUTS if name in table]
    with np.errstate(over="ignore", under="ignore"):
        normal = [
            (x.astype(dtype) == x) & ((x == 0) | (np.abs(x) >= np.finfo(dtype).tiny))
            for x in inputs
        ]
    kept = np.logical_and.reduce(normal)
    return {name: column[kept] for name, column in table.items()}


# ---- ours ----------------------------------------------------------------------------------------


def each_order(quantity: str, nu: Array, kappa: Array) -> Array:
    """An order an element."""
    return _bessel(torch.from_numpy(nu), kappa, quantity)


def shared_order(quantity: str, nu: Array, kappa: Array) -> Array:
    """One order a batch."""
    return by_order(nu, lambda order, rows: _bessel(order, kappa[rows], quantity))


def _bessel(nu: torch.Tensor | float, kappa: Array, quantity: str) -> Array:
    value: Array = ops.bessel(nu, torch.from_numpy(kappa), quantity)[0].numpy()
    return value


def by_order(nu: Array, evaluate: Callable[[float, Array], Array]) -> Array:
    """evaluate(order, mask) for every order."""
    value = np.empty_like(nu)
    for order in np.unique(nu):
        rows = nu == order
        value[rows] = evaluate(float(order), rows)
    return value


def divergence(nu: Array, k1: Array, k2: Array) -> Array:
    """Between two concentrations of one mean direction."""

    def evaluate(order: float, rows: Array) -> Array:
        a, b = (torch.from_numpy(k[rows])[:, None] for k in (k1, k2))
        value: Array = bregman(a, b, (round(2 * order + 2),))[:, 0].numpy()
        return value

    return by_order(nu, evaluate)


# ---- the report ----------------------------------------------------------------------------------


class Comparison(NamedTuple):
    """One quantity in one precision: where either side is worst.

    Attributes:
        points: how many were compared.
        bar: what hvae's error must not exceed.
    """

    quantity: str
    dtype: str
    points: int
    bar: float
    ours: Worst
    scipys: Worst

    @property
    def met(self) -> bool:
        return self.ours.error <= self.bar and not self.ours.lost


def compare(folder: pathlib.Path) -> Iterator[Comparison]:
    """Every quantity in both precisions over the tables of a folder."""
    special, pairs = tables(folder)
    for precision, dtype in enumerate(DTYPES):
        for quantity, bars in BARS.items():
            rows = exactly(pairs if quantity == "B" else special, dtype)
            yield _compared(quantity, dtype, rows, bars[precision])


def _compared(
    quantity: str, dtype: type[np.floating[Any]], rows: Columns, bar: float
) -> Comparison:
    rows = _normal(rows, quantity, dtype)
    at = {name: rows[name] for name in INPUTS if name in rows}
    inputs = [column.astype(dtype) for column in at.values()]
    if quantity == "B":
        values, theirs = [divergence(*inputs)], scipy_bessel.divergence(*inputs)
    else:
        values = [f(quantity, *inputs) for f in (each_order, shared_order)]
        theirs = scipy_bessel.quantity(quantity, *inputs)
    expected, scale = rows[quantity], _scale(rows, quantity)
    ours = max(
        (Worst.of(value, expected, scale, at) for value in values),
        key=lambda worst: (worst.lost, worst.error),
    )
    scipys = Worst.of(theirs, expected, scale, at)
    return Comparison(quantity, np.dtype(dtype).name, len(expected), bar, ours, scipys)


def _normal(rows: Columns, quantity: str, dtype: type[np.floating[Any]]) -> Columns:
    """The rows where the true value is a normal number of dtype."""
    limits, size = np.finfo(dtype), np.abs(rows[quantity])
    normal = (size >= limits.tiny) & (size <= limits.max)
    return {name: column[normal] for name, column in rows.items()}


def _scale(rows: Columns, quantity: str) -> Array:
    """What an error is divided by."""
    if quantity.startswith("log_"):
        scale: Array = np.maximum(np.abs(rows["log_iv"]), np.hypot(rows["nu"], rows["kappa"]))
        return scale
    return np.abs(rows[quantity])


def main(arguments: Sequence[str] | None = None) -> int:
    options = command.Options("accuracy", "The accuracy of the special functions.")
    options.add_argument("--tables", type=pathlib.Path, default=TABLES, help="default: %(default)s")
    return command.run(options, _report, arguments)


def _report(options: argparse.Namespace) -> None:
    document = []
    for one in compare(options.tables):
        print(f"{one.dtype} {one.quantity:<12} {one.points:6d} points, bar {one.bar:.1e}")
        print(f"    hvae  {one.ours}  {'met' if one.met else 'MISSED'}")
        print(f"    SciPy {one.scipys}")
        document.append(
            {"quantity": one.quantity, "dtype": one.dtype, "points": one.points, "bar": one.bar}
            | {"hvae": asdict(one.ours), "scipy": asdict(one.scipys)}
        )
    print(json.dumps(document))


if __name__ == "__main__":
    sys.exit(main())
