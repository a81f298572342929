"""Make divergence.csv.gz: the part of KL(vMF || vMF) on one shell that cancels, to 21 digits.

    python tests/tables/make_divergence.py            write the table beside this script
    python tests/tables/make_divergence.py --check    compute it again and compare it with the file

Needs python-flint (pip; arb proves an error bound for every value). A row is (nu, k1, k2), from
concentrations that are one float64 apart to a factor of 1e6; the columns after them are

    B = L(k2) - L(k1) - A(k1) (k2 - k1),  rise = A(k2) - A(k1)

with L = log 0F1(; nu+1; k^2/4) and A = L' = I_{nu+1}/I_nu. The working precision is doubled until
arb certifies both to 2^-90 (8e-28) relative. Rows whose k1 and k2 differ by more than 1e-6 are
exactly float32.
"""

import math
import pathlib

import flint
from flint import arb
from store import float32, lines, write_or_check

TABLE = pathlib.Path(__file__).with_name("divergence.csv.gz")
ORDERS = (0.0, 0.5, 1.0, 4.5, 19.5, 63.0, 255.0, 2047.0)
KAPPAS = tuple(1.3 * 10.0**i for i in range(-6, 8))
FACTORS = (1.001, 1.01, 1.1, 1.5, 2, 3, 3.99, 4.01, 6, 10, 30, 300, 1e4, 1e6)
STEPS = (2.0**-52, 1e-13, 1e-11, 1e-9, 1e-7)
CERTIFIED_BITS = 90
DIGITS = 21


def pairs():
    """k1 and k2 within 1e-6 .. 1e8."""
    for k in KAPPAS:
        for factor in FACTORS:
            yield from ((float32(k), float32(other)) for other in (k * factor, k / factor))
        for step in STEPS:
            yield from ((k, k * (1 + step)), (k, k * (1 - step)))
        yield from ((k, math.nextafter(k, math.inf)), (k, math.nextafter(k, 0)))


def grid():
    kept = {(a, b) for a, b in pairs() if a != b and 1e-6 <= b <= 1e8}
    return sorted((nu, a, b) for nu in ORDERS for a, b in kept)


def columns(nu, k1, k2):
    """The columns as balls at the current working precision."""
    nu, k1, k2 = arb(nu), arb(k1), arb(k2)

    def log_norm(k):
        scaled = k.bessel_i(nu, scaled=True).log()
        return scaled + k + (nu + 1).lgamma() + nu * (2 / k).log()

    def mean(k):
        return k.bessel_i(nu + 1, scaled=True) / k.bessel_i(nu, scaled=True)

    return log_norm(k2) - log_norm(k1) - mean(k1) * (k2 - k1), mean(k2) - mean(k1)


def certified(*row):
    """The columns with a proven relative error below 2^-CERTIFIED_BITS."""
    flint.ctx.prec = 256
    while True:
        values = columns(*row)
        if all(v.rel_accuracy_bits() >= CERTIFIED_BITS for v in values):
            return values
        flint.ctx.prec *= 2


def table():
    rows = (
        (*map(repr, row), *(v.str(DIGITS, radius=False) for v in certified(*row))) for row in grid()
    )
    return lines(("nu", "k1", "k2", "B", "rise"), rows)


if __name__ == "__main__":
    write_or_check(TABLE, table)
