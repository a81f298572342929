"""Make dtheta.csv.gz: dtheta/dkappa of a vMF draw at fixed probability, to 21 digits.

    python tests/tables/make_dtheta.py            write the table beside this script
    python tests/tables/make_dtheta.py --check    compute it again and compare it with the file

Needs python-flint (pip) and mpmath. With density proportional to exp(k cos p) (sin p)^(m-2) on
[0, pi] and A the mean of cos p, the implicit derivative of an angle theta is (Figurnov et al. 2018)

    dtheta/dk = -dF/dk / f = - int_0^theta (cos p - A) exp(k (cos p - cos theta))
                                           (sin p / sin theta)^(m-2) dp

and, since the integral over [0, pi] is 0, plus the integral over [theta, pi]; the side on which
the first factor keeps its sign is taken. The integral is certified ball arithmetic (arb); a sample
of rows is compared with tanh-sinh quadrature of the other side in mpmath. theta (at quantiles of
the distribution from 1e-14 to 1 - 1e-14, at 0, and just below pi) and kappa are exactly float32.
"""

import math
import pathlib
import random

import flint
import mpmath
import numpy as np
from flint import acb, arb
from store import float32, lines, write_or_check

TABLE = pathlib.Path(__file__).with_name("dtheta.csv.gz")
DIMS = (2, 3, 4, 5, 11, 41, 128, 512)
KAPPAS = (1e-8, 1e-3, 1e-1, 0.5, 2.0, 7.0, 30.0, 200.0, 3e3, 1e5, 1e6, 1e8)
TOP_DIM, TOP_KAPPAS = 4096, (1.0, 100.0, 4e3, 1e6)
TAILS = (1e-14, 1e-6, 1e-3, 0.05, 0.25)
BELOW_PI = 3.1415925025939941  # the largest float32 below pi
CERTIFIED_BITS = 80
DIGITS = 21


def quantiles(m, k):
    """Angles whose lower or upper tail is in TAILS, and the median, to about 4 digits."""
    peak = math.acos(2 * k / (m - 2 + math.hypot(m - 2, 2 * k))) if m > 2 else 0.0
    width = 1 / math.sqrt(k + m)
    near = peak + width * np.linspace(-40, 40, 80001)
    far = [np.geomspace(1e-22, math.pi, 20001), np.linspace(0, math.pi, 20001)]
    theta = np.unique(np.concatenate([near, *far]))
    theta = theta[(theta > 0) & (theta < math.pi)]
    log_density = (m - 2) * np.log(np.sin(theta)) - 2 * k * np.sin(theta / 2) ** 2
    density = np.exp(log_density - log_density.max())
    steps = (density[1:] + density[:-1]) / 2 * np.diff(theta)
    lower = np.cumsum(steps)
    upper = np.cumsum(steps[::-1])[::-1]
    log_lower, log_upper = np.log(lower / lower[-1] + 1e-300), np.log(upper / upper[0] + 1e-300)
    angles = [np.interp(math.log(p), log_lower, theta[1:]) for p in (*TAILS, 0.5)]
    angles += [np.interp(-math.log(p), -log_upper, theta[:-1]) for p in TAILS]
    # Four digits are the same on every platform; the last places of libm are not.
    return [float32(float(f"{angle:.4g}")) for angle in angles]


def grid():
    cases = [(m, float32(k)) for m in DIMS for k in KAPPAS] + [(TOP_DIM, k) for k in TOP_KAPPAS]
    rows = set()
    for m, k in cases:
        rows |= {(m, k, theta) for theta in (0.0, *quantiles(m, k), BELOW_PI) if theta <= BELOW_PI}
    return sorted(rows)


def ball(m, k, theta):
    """dtheta/dk as a ball at the current working precision."""
    kappa, angle, nu = arb(k), arb(theta), arb(m) / 2 - 1
    mean = kappa.bessel_i(nu + 1, scaled=True) / kappa.bessel_i(nu, scaled=True)
    cosine, sine = angle.cos(), angle.sin()

    def integrand(p, _):
        scale = (kappa * (p.cos() - cosine)).exp() * (p.sin() / sine) ** (m - 2)
        return (p.cos() - mean) * scale

    below = bool(cosine > mean)
    ends = (acb(0), acb(angle)) if below else (acb(angle), acb(arb.pi()))
    value = acb.integral(integrand, *ends, rel_tol=arb(2) ** -100, abs_tol=arb(10) ** -400).real
    return -value if below else value


def certified(m, k, theta):
    """dtheta/dk as a ball of relative radius below 2^-CERTIFIED_BITS."""
    if theta == 0:
        return arb(0)
    flint.ctx.prec = 256
    while (value := ball(m, k, theta)).rel_accuracy_bits() < CERTIFIED_BITS:
        flint.ctx.prec *= 2
    return value


def quadrature(m, k, theta):
    """dtheta/dk by mpmath, integrating the other side: it agrees where nothing cancels."""
    k, theta = mpmath.mpf(k), mpmath.mpf(theta)
    nu = mpmath.mpf(m) / 2 - 1
    mean = mpmath.besseli(nu + 1, k) / mpmath.besseli(nu, k)
    peak = mpmath.acos(2 * k / (m - 2 + mpmath.sqrt((m - 2) ** 2 + 4 * k * k)))
    width = 1 / mpmath.sqrt(k + m)
    cuts = sorted({theta, *(peak + s * width for s in (-30, -8, -3, 0, 3, 8, 30))})

    def integral(lo, hi):
        def f(p):
            log_ratio = k * (mpmath.cos(p) - mpmath.cos(theta))
            if m > 2:
                log_ratio += (m - 2) * mpmath.log(mpmath.sin(p) / mpmath.sin(theta))
            return (mpmath.cos(p) - mean) * mpmath.exp(log_ratio)

        return mpmath.quad(f, [lo, *(c for c in cuts if lo < c < hi), hi], maxdegree=10)

    return integral(theta, mpmath.pi) if mpmath.cos(theta) > mean else -integral(0, theta)


def cross_check(rows, values, samples=25):
    """Raise unless mpmath agrees to 1e-15 on a fixed random sample of rows away from the tails."""
    index = [i for i, (m, k, theta) in enumerate(rows) if theta in quantiles(m, k)[3:9:5]]
    with mpmath.workdps(50):
        for i in random.Random(0).sample(index, samples):
            other = quadrature(*rows[i])
            if abs(mpmath.mpf(values[i]) - other) > 1e-15 * abs(other):
                raise SystemExit(f"dtheta/dk at {rows[i]}: {values[i]} against {other}")


def table():
    rows = grid()
    values = [certified(*row).str(DIGITS, radius=False) for row in rows]
    cross_check(rows, values)
    text = ((f"{m}", repr(k), repr(t), v) for (m, k, t), v in zip(rows, values, strict=True))
    return lines(("m", "kappa", "theta", "dtheta"), text)


if __name__ == "__main__":
    write_or_check(TABLE, table)
