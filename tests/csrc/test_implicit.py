"""dtheta/dkappa of the kernels against certified quadrature."""

import exact
import numpy as np
import pytest

from hvae import _math

BARS = {np.float64: 1e-10, np.float32: 2e-5}


@pytest.fixture(scope="module")
def dtheta():
    return exact.table("dtheta")


def test_implicit_slope(dtheta, dtype):
    """Relative, at every angle from the deep lower to the deep upper tail, m = 2 to 4096."""
    m, theta, kappa = (dtheta[name].astype(dtype) for name in ("m", "theta", "kappa"))
    error = exact.relative_error(_math.dtheta_dkappa(m, theta, kappa), dtheta["dtheta"])
    largest, where = exact.worst(error, m=m, theta=theta, kappa=kappa)
    assert largest <= BARS[dtype], (largest, where)


def test_naive_slope(dtheta, dtype):
    m, theta, kappa = (dtheta[name].astype(dtype) for name in ("m", "theta", "kappa"))
    wide = [x.astype(np.longdouble) for x in (m, theta, kappa)]
    expected = -np.sin(wide[1]) / np.hypot(2 * wide[2], wide[0] - 1)
    error = exact.relative_error(_math.dtheta_dkappa(m, theta, kappa, "naive"), expected)
    largest, where = exact.worst(error, m=m, theta=theta, kappa=kappa)
    assert largest <= 4 * np.finfo(dtype).eps, (largest, where)


def test_slope_at_its_limits(dtype):
    """0 at theta = 0 and pi; -sin(theta) on the circle at kappa = 0; NaN in, NaN out."""
    for m in (2, 3, 11):
        for kappa in (0.0, 1.0, 1e6):
            ends = np.array([0.0, np.pi], dtype)
            slopes = _math.dtheta_dkappa(dtype(m), ends, np.array(kappa, dtype))
            assert slopes[0] == 0 and abs(slopes[1]) <= 4 * np.finfo(dtype).eps
        assert np.isnan(_math.dtheta_dkappa(dtype(m), np.ones(1, dtype), np.array([np.nan], dtype)))
    theta = np.array([1e-3, 0.5, 1.5, 3.0], dtype)
    slopes = _math.dtheta_dkappa(dtype(2), theta, np.zeros(4, dtype))
    np.testing.assert_allclose(slopes, -np.sin(theta), rtol=BARS[dtype])
    with pytest.raises(ValueError, match="allowed: implicit, naive"):
        _math.dtheta_dkappa(2.0, 1.0, 1.0, "exact")
