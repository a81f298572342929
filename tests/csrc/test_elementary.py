"""The kernels' elementary functions against long double."""

import exact
import numpy as np
import pytest

from hvae import _math


@pytest.mark.parametrize(
    "name, function, lo, hi, ulps",
    [
        ("log", np.log, 1e-30, 1e30, 2),
        ("log1p", np.log1p, -0.999, 1e3, 2),
        ("exp", np.exp, -80.0, 80.0, 2),
        ("expm1", np.expm1, -40.0, 40.0, 3),
        ("atan", np.arctan, 1e-6, 1e6, 2),
    ],
)
def test_elementary_functions(dtype, name, function, lo, hi, ulps):
    """Against long double; relative, in units of eps."""
    if lo > 0:
        x = np.geomspace(lo, hi, 40001).astype(dtype)
    else:
        x = np.concatenate([np.linspace(lo, hi, 40001), np.geomspace(1e-9, 1, 999)]).astype(dtype)
    expected = function(x.astype(np.longdouble))
    error = exact.relative_error(_math.elementary(name, x), expected)
    largest, where = exact.worst(error / np.finfo(dtype).eps, x=x)
    assert largest <= ulps, (largest, where)


def test_sines_and_cosines(dtype):
    """Absolute, in units of eps, and relative for small angles."""
    x = np.linspace(-12, 12, 40001).astype(dtype)
    for name, function in (("sin", np.sin), ("cos", np.cos)):
        error = np.abs(_math.elementary(name, x) - function(x.astype(np.longdouble)))
        assert error.max() <= 1.5 * np.finfo(dtype).eps
    small = np.geomspace(1e-30, 0.7, 999).astype(dtype)
    error = exact.relative_error(
        _math.elementary("sin", small), np.sin(small.astype(np.longdouble))
    )
    assert error.max() <= 1.5 * np.finfo(dtype).eps
