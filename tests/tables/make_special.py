"""Make special.csv.gz: the vMF special functions to 21 digits, by ball arithmetic.

    python tests/tables/make_special.py            write the table beside this script
    python tests/tables/make_special.py --check    compute it again and compare it with the file

Needs python-flint (pip; arb proves an error bound for every value) and mpmath. A row is
(nu, kappa) with both exactly float64, and both exactly float32 for 1e-8 <= kappa <= 1e8 and for the
large orders to 1e38, so that one table serves both precisions; the orders are m/2 - 1 for ambient
dimensions m = 2 to 4096, some that are not half-integers, and some up to 1e300.

Columns after nu and kappa, with I = I_nu, A = I_{nu+1}/I_nu:

    L = log Gamma(nu+1) + nu log(2/k) + log I(k),  k - L,  A,  1 - A,
    dA = 1 - A^2 - (2 nu + 1) A/k,  KL = k A - L,  dKL = k dA,  log_ive = log(exp(-k) I(k))

Above LARGE, where arb's series do not end, log I is the uniform expansion with Olver's bound of the
rest (DLMF 10.41.3 and 10.41(iv); Olver 1997, Asymptotics and Special Functions, 10.7.3).

The working precision is doubled until arb certifies every column to 2^-90 (8e-28) relative. A
random sample of rows is then compared with an independent method: tanh-sinh quadrature of Poisson's
integral (DLMF 10.32.2) in mpmath, which shares no code nor formula with arb's Bessel functions;
every row of a large order with the continued fraction DLMF 10.33.1 of A and, where it is short, the
power series of 0F1.
"""

import math
import pathlib
import random

import flint
import mpmath
from flint import arb, fmpq, fmpq_poly
from store import float32, lines, write_or_check

TABLE = pathlib.Path(__file__).with_name("special.csv.gz")
COLUMNS = ("L", "k_minus_L", "A", "one_minus_A", "dA", "KL", "dKL", "log_ive")
DIMS = (2, 3, 4, 5, 8, 10, 11, *range(17, 29), 41, *range(48, 55), 60, 100, 128, 257, 512, 1000)
DIMS += (2048, 4096)
REAL_ORDERS = (0.125, 0.3, 0.75, 1.25, 3.7, 9.3, 24.9, 25.2, 99.9, 1000.3, 12345.6, 1e5)
WIDE_ORDERS = (0.0, 0.3, 0.5, 1.0, 4.0, 9.3, 19.5, 24.5, 25.5, 63.0, 500.0, 2047.0, 12345.6, 1e5)
RADII = (8, 9, 9.9, 9.99, 10, 10.01, 10.1, 12, 20, 23, 24.9, 24.99, 25, 25.01, 25.1, 28, 30)
LARGE = 2e5
LARGE_ORDERS = (1e6, 7.3e6, 1e8, 1e10, 1e15, 1e20, 1e30, 1e38, 1e80, 1e154, 1.35e154, 1e200, 1e300)
UNIFORM_TERMS = 24  # leave 1e-110 at an order of 1e6
CERTIFIED_BITS = 90
DIGITS = 21


def kappas(nu):
    """1e-8 to 1e8, denser where schemes meet: sqrt(nu^2 + k^2) at RADII, k at 1 and 6, L of order
    1.
    """
    points = [10 ** (i / 8) for i in range(-64, 65)]
    points += [math.sqrt(r * r - nu * nu) for r in RADII if r > nu]
    points += [c * math.sqrt(nu + 1) for c in (0.25, 0.5, 1, 1.4, 2, 2.8, 4, 6)]
    points += [c * (nu + 1) for c in (0.3, 0.6, 1, 1.99, 2, 2.01, 4)]
    points += [0.5, 0.75, 0.9, 0.99, 1.0, 1.01, 1.1, 1.5, 2.0, 2.5, 3.0, 4.0, 5.94, 6.0, 6.06]
    return sorted({float32(x) for x in points})


def wide_kappas():
    """Down to 1e-300 and up to 1e12 (float64 only beyond float32's range)."""
    return [10.0**e for e in range(-300, -8, 4)] + [10 ** (8 + i / 3) for i in range(1, 13)]


def large_kappas(nu):
    """Where D + delta cancels, where L is of order 1, and beside the order."""
    points = [1e-8, 0.5, 0.999, 1.0, 1.1, 2.0, 30.0, 1e3]
    points += [c * math.sqrt(nu) for c in (0.1, 1, 10)]
    points += [c * nu for c in (1e-4, 0.01, 0.3, 1, 3, 100)]
    exact = float32 if nu <= 1e38 else float
    return sorted({exact(k) for k in points if k <= (3e38 if nu <= 1e38 else 1e302)})


def grid():
    orders = [m / 2 - 1 for m in DIMS] + [float32(nu) for nu in REAL_ORDERS]
    rows = {(nu, k) for nu in orders for k in kappas(nu)}
    rows |= {(float32(nu), k) for nu in WIDE_ORDERS for k in wide_kappas()}
    large = [float32(nu) if nu <= 1e38 else nu for nu in LARGE_ORDERS]
    rows |= {(nu, k) for nu in large for k in large_kappas(nu)}
    return sorted(rows)


def debye_polynomials():
    """U_0 to U_n of DLMF 10.41.9."""
    p = fmpq_poly([0, 1])
    found = [fmpq_poly([1])]
    for _ in range(UNIFORM_TERMS):
        u = found[-1]
        grown = p * p * (1 - p * p) * u.derivative() / 2
        found.append(grown + ((1 - 5 * p * p) * u).integral() / 8)
    return found


U = debye_polynomials()
VARIATIONS = [sum((abs(c) for c in u.coeffs()), fmpq(0)) for u in U]  # at least that on [0, 1]


def evaluated(polynomial, p):
    """At a ball (Horner)."""
    value = arb(0)
    for coefficient in reversed(polynomial.coeffs()):
        value = value * p + arb(coefficient)
    return value


def log_scaled_bessel(nu, k):
    """log(exp(-k) I_nu(k)), a ball."""
    if nu < LARGE:
        return k.bessel_i(nu, scaled=True).log()
    r = (nu * nu + k * k).sqrt()
    total = sum((evaluated(u, nu / r) / nu**s for s, u in enumerate(U[:-1])), arb(0))
    bound = 2 * (2 * arb(VARIATIONS[1]) / nu).exp() * arb(VARIATIONS[-1]) / nu**UNIFORM_TERMS
    rest = arb(0, bound.upper())
    scale = nu * nu / (r + k) + nu * (k / (nu + r)).log() - (2 * arb.pi() * r).log() / 2
    return scale + (total + rest).log() - (1 + rest).log()


def columns(nu, k):
    """The columns as balls at the current working precision."""
    nu, k = arb(nu), arb(k)
    log_ive = log_scaled_bessel(nu, k)
    k_minus_l = -(log_ive + (nu + 1).lgamma() + nu * (2 / k).log())
    a = (log_scaled_bessel(nu + 1, k) - log_ive).exp()
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
    index = [i for i, (nu, k) in enumerate(rows) if k >= 1e-8 and nu < LARGE]
    with mpmath.workdps(60):
        for i in random.Random(0).sample(index, samples):
            for name, text, other in zip(COLUMNS, values[i], quadrature(*rows[i]), strict=True):
                if abs(mpmath.mpf(text) - other) > 1e-20 * abs(other):
                    raise SystemExit(f"{name} at nu, kappa = {rows[i]}: {text} against {other}")


def continued_fraction(nu, k):
    """A by DLMF 10.33.1, whose terms beside k/nu fall geometrically."""
    value = mpmath.mpf(0)
    for j in range(100 + int(60 * min(k / nu, 1e3)), 0, -1):
        value = 1 / (2 * (nu + j) / k + value)
    return value


def series(nu, k):
    """L by DLMF 10.25.2, of 300 terms."""
    term, total = mpmath.mpf(1), mpmath.mpf(0)
    for j in range(1, 300):
        term *= k * k / (4 * j * (nu + j))
        total += term
    return mpmath.log1p(total)


def cross_check_large(rows, values):
    """Raise unless other formulas agree to 1e-20 at every large order."""
    with mpmath.workdps(50):
        for (nu, k), row in zip(rows, values, strict=True):
            if nu < LARGE:
                continue
            found = dict(zip(COLUMNS, map(mpmath.mpf, row), strict=True))
            order, argument = mpmath.mpf(nu), mpmath.mpf(k)
            others = [("A", continued_fraction(order, argument))]
            if k * k < 100 * nu:
                others.append(("L", series(order, argument)))
            for name, other in others:
                if abs(found[name] - other) > 1e-20 * abs(other):
                    raise SystemExit(
                        f"{name} at nu, kappa = {nu, k}: {found[name]} against {other}"
                    )


def table():
    rows = grid()
    values = [[v.str(DIGITS, radius=False) for v in certified(*row)] for row in rows]
    cross_check(rows, values)
    cross_check_large(rows, values)
    text = ((repr(nu), repr(k), *v) for (nu, k), v in zip(rows, values, strict=True))
    return lines(("nu", "kappa", *COLUMNS), text)


if __name__ == "__main__":
    write_or_check(TABLE, table)
