"""The worst point of every special function over the project's tables, and SciPy's there.

    python -m hvae.benchmarks.accuracy [--tables FOLDER]

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
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass

import numpy as np
import torch
from scipy.special import gammaln, ive

from hvae import ops
from hvae.distributions.bregman import bregman

TABLES = pathlib.Path("tests/tables")  # of the checkout that this is run in
INPUTS = ("nu", "kappa", "k1", "k2")
DTYPES = (np.float64, np.float32)
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

Columns = dict[str, np.ndarray]


@dataclass(frozen=True)
class Worst:
    """Of one side over the points of one quantity: the largest finite error and where it is."""

    error: float
    at: dict[str, float]
    lost: int

    @classmethod
    def of(cls, value: np.ndarray, expected: np.ndarray, scale: np.ndarray, at: Columns) -> "Worst":
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
    """A table's columns in long double; the inputs are float64 as they stand."""
    with gzip.open(path, "rt") as lines:
        header, *rows = (line.rstrip("\n").split(",") for line in lines)
    texts = dict(zip(header, zip(*rows, strict=True), strict=True))
    return {
        name: np.array([float(t) if name in INPUTS else np.longdouble(t) for t in column]).astype(
            np.longdouble
        )
        for name, column in texts.items()
    }


def exactly(table: Columns, dtype: type) -> Columns:
    """The rows whose inputs are normal numbers of dtype."""
    inputs = [table[name] for name in INPUTS if name in table]
    with np.errstate(over="ignore", under="ignore"):
        kept = [
            (x.astype(dtype) == x) & ((x == 0) | (np.abs(x) >= np.finfo(dtype).tiny))
            for x in inputs
        ]
    kept = np.logical_and.reduce(kept)
    return {name: column[kept] for name, column in table.items()}


# ---- ours ----------------------------------------------------------------------------------------


def each_order(quantity: str, nu: np.ndarray, kappa: np.ndarray) -> np.ndarray:
    """An order an element."""
    return ops.bessel(torch.from_numpy(nu), torch.from_numpy(kappa), quantity)[0].numpy()


def by_order(nu: np.ndarray, evaluate: Callable[[float, np.ndarray], np.ndarray]) -> np.ndarray:
    """One order a batch: evaluate(order, mask) for every order."""
    value = np.empty_like(nu)
    for order in np.unique(nu):
        rows = nu == order
        value[rows] = evaluate(float(order), rows)
    return value


def shared_order(quantity: str, nu: np.ndarray, kappa: np.ndarray) -> np.ndarray:
    def evaluate(order, rows):
        return ops.bessel(order, torch.from_numpy(kappa[rows]), quantity)[0].numpy()

    return by_order(nu, evaluate)


def divergence(nu: np.ndarray, k1: np.ndarray, k2: np.ndarray) -> np.ndarray:
    def evaluate(order, rows):
        a, b = (torch.from_numpy(k[rows])[:, None] for k in (k1, k2))
        return bregman(a, b, (round(2 * order + 2),))[:, 0].numpy()

    return by_order(nu, evaluate)


# ---- SciPy's -------------------------------------------------------------------------------------


def scipy_quantity(quantity: str, nu: np.ndarray, k: np.ndarray) -> np.ndarray:
    """As one writes it: the logarithm of ive, and ratios of ive."""
    with np.errstate(all="ignore"):
        scaled = np.log(ive(nu, k))
        log_norm = gammaln(nu + 1) + nu * np.log(2 / k) + scaled + k
        mean = ive(nu + 1, k) / ive(nu, k)
        slope = 1 - mean * mean - (2 * nu + 1) * mean / k
        return {
            "L": log_norm,
            "k_minus_L": k - log_norm,
            "A": mean,
            "one_minus_A": 1 - mean,
            "dA": slope,
            "KL": k * mean - log_norm,
            "dKL": k * slope,
            "log_iv": scaled + k,
            "log_ive": scaled,
        }[quantity]


def scipy_divergence(nu: np.ndarray, k1: np.ndarray, k2: np.ndarray) -> np.ndarray:
    with np.errstate(all="ignore"):
        rise = scipy_quantity("L", nu, k2) - scipy_quantity("L", nu, k1)
        return rise - scipy_quantity("A", nu, k1) * (k2 - k1)


# ---- the report ----------------------------------------------------------------------------------


def compare(tables: pathlib.Path) -> Iterator[tuple[str, str, int, float, Worst, Worst]]:
    """(quantity, dtype, points, bar, ours, SciPy's) of every quantity in both precisions."""
    special, pairs = read(tables / "special.csv.gz"), read(tables / "divergence.csv.gz")
    special["log_iv"] = special["log_ive"] + special["kappa"]
    for precision, dtype in enumerate(DTYPES):
        for quantity, bars in BARS.items():
            rows = exactly(pairs if quantity == "B" else special, dtype)
            limits, size = np.finfo(dtype), np.abs(rows[quantity])
            normal = (size >= limits.tiny) & (size <= limits.max)
            rows = {name: column[normal] for name, column in rows.items()}
            expected = rows[quantity]
            at = {name: rows[name] for name in INPUTS if name in rows}
            inputs = [column.astype(dtype) for column in at.values()]
            scale = np.abs(expected)
            if quantity.startswith("log_"):
                radius = np.hypot(rows["nu"], rows["kappa"])
                scale = np.maximum(np.abs(rows["log_iv"]), radius)
            if quantity == "B":
                values, theirs = [divergence(*inputs)], scipy_divergence(*inputs)
            else:
                values = [f(quantity, *inputs) for f in (each_order, shared_order)]
                theirs = scipy_quantity(quantity, *inputs)
            ours = max(
                (Worst.of(value, expected, scale, at) for value in values),
                key=lambda worst: (worst.lost, worst.error),
            )
            scipys = Worst.of(theirs, expected, scale, at)
            yield quantity, np.dtype(dtype).name, len(expected), bars[precision], ours, scipys


def main() -> None:
    parser = argparse.ArgumentParser(description="The accuracy of the special functions.")
    parser.add_argument("--tables", type=pathlib.Path, default=TABLES, help="default: tests/tables")
    document = []
    for quantity, dtype, points, bar, ours, scipys in compare(parser.parse_args().tables):
        print(f"{dtype} {quantity:<12} {points:6d} points, bar {bar:.1e}")
        print(f"    hvae  {ours}  {'met' if ours.error <= bar and not ours.lost else 'MISSED'}")
        print(f"    SciPy {scipys}")
        document.append(
            {"quantity": quantity, "dtype": dtype, "points": points, "bar": bar}
            | {"hvae": asdict(ours), "scipy": asdict(scipys)}
        )
    print(json.dumps(document))


if __name__ == "__main__":
    main()
