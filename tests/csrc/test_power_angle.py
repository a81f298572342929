"""d theta/dk of Power Spherical draws against quadrature in 40 digits."""

import exact
import numpy as np
import pytest
import thorough

from hvae import _math

DIMENSIONS = [2, 3, 4, 7, 8, 16, 64, 1024, 32768]


def bar(m, dtype):
    """Of the relative error.

    At m = 2, k = 0 24 nodes leave 1e-13. Two logarithms are multiplied by m/2 and by k + m/2 and
    differ by 18 (float64: 36) at most where they count, each about sqrt(m) there: 2 eps sqrt(m)
    beside the 16 eps of the sum over nodes.
    """
    return (16 + 2 * m**0.5) * np.finfo(dtype).eps + (3e-13 if dtype == np.float64 else 0)


@pytest.mark.parametrize("m", thorough.count([2, 3, 16, 1024], DIMENSIONS))
def test_slope(m, dtype):
    """In the tails and near the mean, where the side of the integral changes."""
    for k in (0.0, 0.7, 300.0, 1e8):
        mode = 2 * np.arctan(np.sqrt((m - 1) / (2 * k + m - 1)))
        for deviations in (-5, -1, 0, 0.3, 1, 5):
            angle = mode + deviations / np.sqrt(k + m)
            theta, concentration = dtype(np.clip(angle, mode / 20, 3.1)), dtype(k)
            found = _math.power_angle_slope(
                np.array([m], dtype), np.array([theta]), np.array([concentration])
            )
            expected = exact.power_angle_slope(m, float(concentration), float(theta))
            assert abs(float(found[0] / expected - 1)) <= bar(m, dtype), (k, theta)


def test_slope_at_its_limits(dtype):
    """0 at theta = 0 and beyond pi; NaN in, NaN out."""
    for m in (2, 3, 300):
        ends = np.array([0.0, np.nextafter(dtype(np.pi), dtype(4))], dtype)
        for k in (0.0, 5.0, 1e8):
            slopes = _math.power_angle_slope(dtype(m), ends, np.array(k, dtype))
            assert (slopes == 0).all()
        for theta, k in ((1.0, np.nan), (np.nan, 1.0), (0.0, np.nan)):
            arguments = (np.array([x], dtype) for x in (m, theta, k))
            assert np.isnan(_math.power_angle_slope(*arguments)).all()
