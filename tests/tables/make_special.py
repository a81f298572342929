"""Make special.csv.gz: the vMF special functions to 21 digits, by ball arithmetic.

    python tests/tables/make_special.py            write the table beside this script
    python tests/tables/make_special.py --check    compute it again and compare it with the file

Needs python-flint (pip; arb proves an error bound for every value) and mpmath. A row is
(nu, kappa) with both exactly float64, and both exactly float32 for 1e-8 <= kappa <= 1e8, so that
one table serves both precisions; the orders are m/2 - 1 for ambient dimensions m = 2 to 4096 and
some that are not half-integers. Columns after nu and kappa, with I = I_nu, A = I_{nu+1}/I_nu:

    L = log Gamma(nu+1) + nu log(2/k) + log I(k),  k - L,  A,  1 - A,
    dA = 1 - A^2 - (2 nu + 1) A/k,  KL = k A - L,  dKL = k dA,  log_ive = log(exp(-k) I(k))

The working precision is doubled until arb certifies every column to 2^-90 (8e-28) relative. A
random sample of rows is then compared with an independent method: tanh-sinh quadrature of Poisson's
integral (DLMF 10.32.2) in mpmath, which shares no code and no formula with arb's Bessel functions.
"""

import math
import pathlib
import random

import flint
import mpmath
from flint import arb
from store import float32, lines, write_or_check

TABLE = pathlib.Path(__file__).with_name("special.csv.gz")
COLUMNS = ("L", "k_minus_L", "A", "one_minus_A", "dA", "KL", "dKL", "log_ive")
DIMS = (2, 3, 4, 5, 8, 10, 11, 20, 41, 50, 51, 52, 53, 60, 100, 128, 257, 512, 1000, 2048, 4096)
REAL_ORDERS = (0.125, 0.3, 0.75, 1.25, 3.7, 9.3, 24.9, 25.2, 99.9, 1000.3, 12345.6, 1e5)
WIDE_ORDERS = (0.0, 0.3, 0.5, 1.0, 4.0, 9.3, 19.5, 24.5, 25.5, 63.0, 500.0, 2047.0, 12345.6, 1e5)
RADII = (8, 9, 9.9, 9.99, 10, 10.01, 10.1, 12, 20, 23, 24.9, 24.99, 25, 25.01, 25.1, 28, 30)
CERTIFIED_BITS = 90
DIGITS = 21


def kappas(nu):
    """1e-8 to 1e8, denser where schemes meet: sqrt(nu^2 + k^2) at RADII, L of order 1."""
    points = [10 ** (i / 8) for i in range(-64, 65)]
    points += [math.sqrt(r * r - nu * nu) for r in RADII if r > nu]
    points += [c * math.sqrt(nu + 1) for c in (0.25, 0.5, 1, 1.4, 2, 2.8, 4, 6)]
    points += [c * (nu + 1) for c in (0.3, 0.6, 1, 1.99, 2, 2.01, 4)]
    points += [0.5, 0.75, 0.9, 0.99, 1.0, 1.01, 1.1, 1.5, 2.0, 2.5, 3.0, 4.0]
    return sorted({float32(x) for x in points})


def wide_kappas():
    """Down to 1e-300 and up to 1e12 (float64 only beyond float32's range)."""
    return [10.0**e for e in range(-300, -8, 4)] + [10 ** (8 + i / 3) for i in range(1, 13)]


def grid():
    orders = [m / 2 - 1 for m in DIMS] + [float32(nu) for nu in REAL_ORDERS]
    rows = {(nu, k) for nu in orders for k in kappas(nu)}
    rows |= {(float32(nu), k) for nu in WIDE_ORDERS for k in wide_kappas()}
    return sorted(rows)


def columns(nu, k):
    """The columns as balls at the current working precision."""
    nu, k = arb(nu), arb(k)
    below, above = k.bessel_i(nu, scaled=True), k.bessel_i(nu + 1, scaled=True)
    log_ive = below.log()
    k_minus_l = -(log_ive + (nu + 1).lgamma() + nu * (2 / k).log())
    a = above / below
    slope = 1 - a * a - (2 * nu + 1) * a / k
    log_norm = k - k_minus_l
    return log_norm, k_minus_l, a, 1 - a, slope, k * a - log_norm, k * slope, log_ive


def certified(nu, k):
    """The columns with a proven relative error below 2^-CERTIFIED_BITS."""
    flint.ctx.prec = 256
    while True:
        values = columns(nu, k)
        if all(v.rel_accuracy_bits() >= CERTIFIED_BITS for v in values):
            return values
        flint.ctx.prec *= 2


def quadrature(nu, k):
    """The columns by Poisson's integral: means over the density ~ exp(-k v) sin(theta)^(2 nu)."""
    nu, k = mpmath.mpf(nu), mpmath.mpf(k)
    peak = 2 * mpmath.atan(mpmath.sqrt(2 * nu / (nu + k + mpmath.sqrt(nu * nu + k * k))))
    width = 1 / mpmath.sqrt(k * mpmath.cos(peak) + 2 * nu / (mpmath.sin(peak) ** 2 or 1) + 1)
    cuts = [peak + s * width for s in (-40, -12, -4, 0, 4, 12, 40)]
    cuts = [0, *(c for c in cuts if 0 < c < mpmath.pi), mpmath.pi]

    def haversine(theta):
        return 2 * mpmath.sin(theta / 2) ** 2

    top = nu * mpmath.log(mpmath.sin(peak) ** 2) - k * haversine(peak) if nu else mpmath.mpf(0)

    def mean(f):
        def integrand(theta):
            log_sine = 2 * nu * mpmath.log(mpmath.sin(theta)) if nu else 0
            return f(theta) * mpmath.exp(log_sine - k * haversine(theta) - top)

        return mpmath.quad(integrand, cuts, maxdegree=10)

    mass = mean(lambda theta: 1)
    one_minus_a = mean(haversine) / mass
    spread = mean(lambda theta: (haversine(theta) - one_minus_a) ** 2) / mass
    k_minus_l = mpmath.log(mpmath.beta(nu + mpmath.mpf(1) / 2, mpmath.mpf(1) / 2)) - (
        mpmath.log(mass) + top
    )
    log_ive = -k_minus_l - mpmath.loggamma(nu + 1) - nu * mpmath.log(2 / k)
    log_norm, kl = k - k_minus_l, k_minus_l - k * one_minus_a
    return log_norm, k_minus_l, 1 - one_minus_a, one_minus_a, spread, kl, k * spread, log_ive


def cross_check(rows, values, samples=40):
    """Raise unless quadrature agrees to 1e-20 on a fixed random sample of rows."""
    index = [i for i, (_, k) in enumerate(rows) if k >= 1e-8]
    with mpmath.workdps(60):
        for i in random.Random(0).sample(index, samples):
            for name, text, other in zip(COLUMNS, values[i], quadrature(*rows[i]), strict=True):
                if abs(mpmath.mpf(text) - other) > 1e-20 * abs(other):
                    raise SystemExit(f"{name} at nu, kappa = {rows[i]}: {text} against {other}")


def table():
    rows = grid()
    values = [[v.str(DIGITS, radius=False) for v in certified(*row)] for row in rows]
    cross_check(rows, values)
    text = ((repr(nu), repr(k), *v) for (nu, k), v in zip(rows, values, strict=True))
    return lines(("nu", "kappa", *COLUMNS), text)


if __name__ == "__main__":
    write_or_check(TABLE, table)
