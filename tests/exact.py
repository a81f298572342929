"""What numerical tests hold results against: tables, exact distributions, exact expectations."""

import gzip
import math
import pathlib

import mpmath
import numpy as np
import torch

from hvae import reference
from hvae.benchmarks.reports import accuracy

TABLES = pathlib.Path(__file__).with_name("tables")
INPUTS = ("nu", "kappa", "m", "theta")
# The accuracy of the kernels that hvae.ops.vmf and hvae.ops.bessel state: float64, float32. That of
# the logarithms is in units of max(|log I|, sqrt(nu^2 + kappa^2)), the others are relative.
LOG_BARS = {name: accuracy.BARS[name] for name in ("log_ive", "log_iv")}
BARS = {name: bars for name, bars in accuracy.BARS.items() if name not in (*LOG_BARS, "B")}
DEVICES = ["cpu", "cuda"] if torch.cuda.is_available() else ["cpu"]


def array(x):
    """A tensor of any device as a NumPy array of its dtype."""
    return x.detach().cpu().numpy()


def bar(quantity, dtype):
    """The bar of a quantity in a NumPy dtype."""
    return accuracy.BARS[quantity][dtype == np.float32]


def texts(name):
    """A table of tests/tables as it is written: a dict of columns of decimal numbers."""
    with gzip.open(TABLES / f"{name}.csv.gz", "rt") as lines:
        header, *rows = (line.rstrip("\n").split(",") for line in lines)
    return dict(zip(header, zip(*rows, strict=True), strict=True))


def table(name):
    """A table of tests/tables as a dict of long double columns.

    The inputs are exactly float64 (most exactly float32); of the 21 digits of a value long double
    keeps 19, float64 where they are the same 16.
    """
    return {
        title: np.array(
            [float(text) if title in INPUTS else np.longdouble(text) for text in column]
        ).astype(np.longdouble)
        for title, column in texts(name).items()
    }


def relative_error(actual, expected):
    """|actual - expected|/|expected|, 0 where both are 0 and inf where actual is not a number."""
    with np.errstate(divide="ignore", invalid="ignore"):
        error = np.abs((np.asarray(actual, np.longdouble) - expected) / expected)
    error = np.where((expected == 0) & (actual == 0), 0, error)
    return np.where(np.isnan(error), np.inf, error).astype(np.float64)


def worst(error, **where):
    """(largest error, where it is), for an assertion message."""
    i = int(np.argmax(error))
    return float(error[i]), {name: float(column[i]) for name, column in where.items()}


def ambient(nu):
    """The integral dimensions m = 2 nu + 2 among orders nu, and a mask of them."""
    m = 2 * nu + 2
    return m, m == np.floor(m)


def log_density(m, kappa, theta):
    """The logarithm of the density of theta, up to a constant."""
    power = (m - 2) * np.log(np.sin(theta)) if m > 2 else 0.0
    return power - 2 * kappa * np.sin(theta / 2) ** 2


def theta_cdf(m, kappa, theta):
    """P(angle <= theta) under vMF(kappa) on S^(m-1), by 8-point Gauss-Legendre on 4096 panels.

    The panels cover 14 standard deviations around the mode, all of the mass to 1e-16.
    """
    mode = math.acos(2 * kappa / (m - 2 + math.hypot(m - 2, 2 * kappa))) if m > 2 else 0.0
    width = 14 / math.sqrt(kappa + m)
    knots = np.linspace(max(0.0, mode - width), min(math.pi, mode + width), 4097)
    x, w = np.polynomial.legendre.leggauss(8)
    top = log_density(m, kappa, mode) if mode else 0.0

    def integral(lo, hi):
        nodes = lo[:, None] + (hi - lo)[:, None] * (1 + x) / 2
        with np.errstate(divide="ignore"):
            return np.exp(log_density(m, kappa, nodes) - top) @ w * (hi - lo) / 2

    below = np.concatenate([[0.0], np.cumsum(integral(knots[:-1], knots[1:]))])
    theta = np.clip(theta, knots[0], knots[-1])
    left = np.clip(np.searchsorted(knots, theta, side="right") - 1, 0, 4095)
    return (below[left] + integral(knots[left], theta)) / below[-1]


def kolmogorov_distance(cdf):
    """sqrt(n) sup |empirical - exact| from the exact CDF at the n draws.

    It exceeds x with probability at most 2 exp(-2 x^2) (Dvoretzky, Kiefer, Wolfowitz, Massart).
    """
    cdf = np.sort(cdf)
    n = len(cdf)
    steps = np.arange(n + 1) / n
    return math.sqrt(n) * max((steps[1:] - cdf).max(), (cdf - steps[:-1]).max())


def kolmogorov_bound(false_alarm):
    """The distance that is exceeded with probability at most `false_alarm`."""
    return math.sqrt(math.log(2 / false_alarm) / 2)


def special(m, kappa, quantity):
    """A vMF quantity at one point, float64 (hvae.reference, itself held against the table)."""
    return reference.vmf(torch.tensor([kappa], dtype=torch.float64), [m], quantity)[0].item()


def exponential_moment(mu, kappa, a):
    """E[exp(a.z)], its derivative in kappa and its gradient in mu along the sphere.

    E = exp(L(rho) - L(kappa)), rho = |kappa mu + a|, since the density is exp(kappa mu.z - L).
    """
    m = len(mu)
    rho = float(np.linalg.norm(kappa * mu + a))
    value = math.exp(special(m, rho, "L") - special(m, kappa, "L"))
    pull = special(m, rho, "A") / rho
    slope = value * (pull * (kappa + mu @ a) - special(m, kappa, "A"))
    return value, slope, value * pull * kappa * (a - (mu @ a) * mu)


def power_angle_slope(m, k, theta):
    """d theta/dk of a draw of density (1 + cos theta)^k sin^(m-2) theta, by quadrature in mpmath.

    -int_0^theta (log cos^2(p/2) - its mean) density(p)/density(theta) dp, to 30 digits.
    """
    with mpmath.workdps(40):
        k, theta, b = mpmath.mpf(k), mpmath.mpf(theta), mpmath.mpf(m - 1) / 2
        mean = mpmath.digamma(k + b) - mpmath.digamma(k + 2 * b)

        def integrand(p):
            power = 2 * k * mpmath.log(mpmath.cos(p / 2) / mpmath.cos(theta / 2))
            power += (m - 2) * mpmath.log(mpmath.sin(p) / mpmath.sin(theta))
            return (2 * mpmath.log(mpmath.cos(p / 2)) - mean) * mpmath.exp(power)

        mode = 2 * mpmath.atan(mpmath.sqrt((m - 2) / (2 * k + m - 2))) if m > 2 else 0
        cuts = [mode + s / mpmath.sqrt(k + m) for s in (-20, -8, -4, -2, 0, 2, 4, 8, 20)]
        return -mpmath.quad(integrand, sorted([0, theta, *(c for c in cuts if 0 < c < theta)]))


def naive_share(m, kappa):
    """The share of A' = dE[w]/dk that the naive gradient recovers, w = cos theta.

    It takes dw/dk = sin^2(theta)/sqrt(4 k^2 + (m-1)^2), and E[sin^2 theta] = (m-1) A/k.
    """
    seen = (m - 1) * special(m, kappa, "A") / kappa / math.hypot(2 * kappa, m - 1)
    return seen / special(m, kappa, "dA")
