"""The kernels' special functions against the table, in every zone and on both sides of each cutoff.

The bars are those that `hvae.ops.vmf` and `hvae.ops.bessel` state: relative errors, float64 and
float32.
"""

import math

import exact
import numpy as np
import pytest
import torch

from hvae import _math, ops, reference

pytestmark = pytest.mark.usefixtures("device")


ALL_BARS = {**exact.BARS, **exact.LOG_BARS}
SLOPES = {"L": "A", "k_minus_L": "one_minus_A", "A": "dA", "KL": "dKL"}


@pytest.fixture(scope="module")
def special():
    return exact.table("special")


def representable(table, dtype):
    """Rows whose inputs are exact and normal in dtype."""
    limits = np.finfo(dtype)
    with np.errstate(over="ignore", under="ignore"):
        same = [table[name].astype(dtype) == table[name] for name in ("nu", "kappa")]
    return same[0] & same[1] & (table["kappa"] >= limits.tiny)


def normal(values, dtype):
    """Where a true value is a normal number of dtype."""
    return (np.abs(values) >= np.finfo(dtype).tiny) & (np.abs(values) <= np.finfo(dtype).max)


def near_a_cutoff(table, dtype):
    """Rows within 1.2 % of the concentration at which the zones meet."""
    cut = _math.cut(table["nu"].astype(dtype)).astype(np.longdouble)
    return np.abs(table["kappa"] / cut - 1) < 0.012


def check(quantity, table, rows, dtype, evaluate):
    """evaluate(nu, kappa) of the chosen rows keeps the bar of the quantity."""
    nu, kappa, log_ive = (table[name][rows] for name in ("nu", "kappa", "log_ive"))
    log_iv = log_ive + kappa
    expected = log_iv if quantity == "log_iv" else table[quantity][rows]
    value = evaluate(nu.astype(dtype), kappa.astype(dtype))
    if quantity in exact.BARS:
        error = np.where(normal(expected, dtype), exact.relative_error(value, expected), 0)
    else:
        error = np.abs(value - expected) / np.maximum(np.abs(log_iv), np.hypot(nu, kappa))
        error = np.where(np.abs(expected) <= np.finfo(dtype).max, error, 0)
    largest, where = exact.worst(error, nu=nu, kappa=kappa)
    assert largest <= exact.bar(quantity, dtype), (largest, where)


@pytest.mark.parametrize("quantity", ALL_BARS)
def test_any_order(special, dtype, quantity):
    """nu from 0 to 1e300, half-integers and others; kappa from 1e-300 (float32: 1e-37) to 1e302."""
    rows = representable(special, dtype)
    assert rows.sum() > 5000
    check(quantity, special, rows, dtype, lambda nu, k: _math.evaluate(quantity, nu, k))


@pytest.mark.parametrize("zone", ["uniform", "series"])
@pytest.mark.parametrize("quantity", ALL_BARS)
def test_both_sides_of_a_cutoff(special, dtype, quantity, zone):
    """Each zone still holds a little beyond its end, so nothing jumps where they meet."""
    rows = representable(special, dtype) & near_a_cutoff(special, dtype)
    assert rows.sum() > 50
    for side in (0, 1):
        chosen = _math.zone(special["nu"].astype(dtype), special["kappa"].astype(dtype)) == side
        assert (rows & chosen).any()
    check(quantity, special, rows, dtype, lambda nu, k: _math.evaluate(quantity, nu, k, zone))


@pytest.mark.parametrize("quantity", ALL_BARS)
def test_op_of_free_orders(special, dtype, quantity):
    """`hvae::elements`, an order for every element, in vectors."""

    def evaluate(nu, kappa):
        index = ops.QUANTITIES.index(quantity)
        return exact.array(torch.ops.hvae.elements(torch.tensor(nu), torch.tensor(kappa), index)[0])

    check(quantity, special, representable(special, dtype), dtype, evaluate)


@pytest.mark.usefixtures("tier")
@pytest.mark.parametrize("quantity", exact.BARS)
def test_op_of_shared_orders(special, dtype, quantity):
    """`ops.vmf` (one order a column), m from 2 to 4096: value, and derivative where tabulated."""
    m, whole = exact.ambient(special["nu"])
    base = representable(special, dtype) & whole & (m <= 4096)
    for dims in np.unique(m[base]):
        rows = base & (m == dims)
        kappa = torch.tensor(special["kappa"][rows].astype(dtype))[:, None]
        value, derivative = ops.vmf(kappa, [int(dims)], quantity)
        results = [(quantity, value)]
        if quantity in SLOPES:
            results.append((SLOPES[quantity], derivative))
        for name, result in results:
            expected = special[name][rows]
            error = exact.relative_error(exact.array(result[:, 0]), expected)
            error = np.where(normal(expected, dtype), error, 0)
            largest, where = exact.worst(error, kappa=special["kappa"][rows])
            assert largest <= exact.bar(name, dtype), (name, largest, dims, where)


def test_op_takes_many_shells_and_leading_axes(dtype):
    """A mixture of zones within a vector, of orders within a row, and of sizes across chunks."""
    dims = [2, 3, 11, 60, 200]
    exponent = np.random.default_rng(0).uniform(-8, 8, (3, 701, 5))
    kappa = torch.tensor((10**exponent).astype(dtype))
    for quantity in exact.BARS:
        value, derivative = ops.vmf(kappa, dims, quantity)
        assert value.shape == derivative.shape == kappa.shape and value.dtype == kappa.dtype
        for shell, m in enumerate(dims):
            expected = ops.vmf(kappa[..., shell : shell + 1].contiguous(), [m], quantity)
            assert torch.equal(value[..., shell], expected[0][..., 0])
            assert torch.equal(derivative[..., shell], expected[1][..., 0])


@pytest.mark.parametrize("quantity", exact.BARS)
def test_derivative_against_the_reference(quantity):
    """dA and dKL too: their derivatives lose eps kappa relative (they serve double backward)."""
    dims = [2, 3, 4, 11, 41, 300]
    kappa = torch.logspace(-6, 4, 101, dtype=torch.float64)[:, None].expand(-1, len(dims))
    _, derivative = ops.vmf(kappa, dims, quantity)
    _, expected = reference.vmf(kappa, dims, quantity)
    error = ((derivative - expected) / expected).abs()
    assert error.max() <= 1e-9, kappa.flatten()[error.argmax()]


def test_limits_at_zero_and_infinity(dtype):
    """L, A and KL vanish at 0, A' is 1/m; at infinity A is 1 and what is left over 0."""
    for m in (2.0, 3.0, 11.0, 4096.0):
        nu = np.array(m / 2 - 1, dtype)
        at = {
            0.0: {"L": 0, "k_minus_L": 0, "A": 0, "one_minus_A": 1, "KL": 0, "dA": 1 / m, "dKL": 0},
            math.inf: {"L": math.inf, "A": 1, "one_minus_A": 0, "KL": math.inf, "dA": 0, "dKL": 0},
        }
        for kappa, limits in at.items():
            for quantity, limit in limits.items():
                value = float(_math.evaluate(quantity, nu, np.array(kappa, dtype)))
                assert value == pytest.approx(limit, rel=float(4 * np.finfo(dtype).eps)), quantity


def test_outside_the_domain(dtype):
    for nu, kappa in ((1.0, -1.0), (1.0, math.nan), (-0.5, 1.0), (math.nan, 1.0)):
        for quantity in (*exact.BARS, "log_iv", "log_ive"):
            assert np.isnan(_math.evaluate(quantity, np.array(nu, dtype), np.array(kappa, dtype)))
    with pytest.raises(ValueError, match="allowed: L, k_minus_L"):
        _math.evaluate("bessel", 1.0, 1.0)
    with pytest.raises(ValueError, match="allowed: auto, uniform, series"):
        _math.evaluate("L", 1.0, 1.0, "middle")


def test_small_concentrations_follow_the_leading_terms(dtype):
    """A = k/m and A' = 1/m down to the smallest normal number; nothing is lost to underflow."""
    kappa = np.array([np.finfo(dtype).tiny * 4, 1e-37, 1e-30, 1e-20], dtype)
    for m in (2, 3, 11, 1000):
        nu = np.array(m / 2 - 1, dtype)
        eps = 4 * np.finfo(dtype).eps
        np.testing.assert_allclose(_math.evaluate("A", nu, kappa), kappa / dtype(m), rtol=eps)
        np.testing.assert_allclose(_math.evaluate("dA", nu, kappa), 1 / m, rtol=eps)
        np.testing.assert_allclose(_math.evaluate("k_minus_L", nu, kappa), kappa, rtol=eps)
