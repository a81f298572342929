"""Angles of Power Spherical draws on a GPU, and their derivatives, against the CPU's."""

import pytest
import torch
from compare import apart, relative, same_places
from draws import CPU, MOVED, RNG


def concentrations(rows, dtype):
    generator = torch.Generator().manual_seed(1)
    return (10 ** (7 * torch.rand(rows, generator=generator, dtype=torch.float64) - 2)).to(dtype)


@pytest.mark.parametrize("m", [2, 3, 7, 8, 41, 4096])
def test_angles_and_slopes_are_those_of_the_cpu(backend, each_dtype, m):
    """200 eps of an angle, as of those of `test_sample`, where the same proposal was accepted; of a
    slope 16 + 2 sqrt(m) on either side (`tests/csrc/test_power_angle.py`), of whose mean over
    samples a small one, near a pole, is as exact.
    """
    for dtype in each_dtype:
        k = concentrations(37, dtype)
        (found,), expected = (
            backend("power_angle", k, m, RNG, 3, 2),
            CPU.power_angle(k, m, RNG, 3, 2),
        )
        same = (found - expected).abs() < MOVED
        assert int((~same).sum()) <= 1
        assert relative(found[same], expected[same]) < 200
        (slope,) = backend("power_angle_slope", k, expected, m)
        mine = CPU.power_angle_slope(k, expected, m)
        assert apart(slope, mine, mine.abs()) < 2 * (16 + 2 * m**0.5)


def test_not_a_number_and_nothing(backend):
    k = torch.tensor([1.0, torch.nan, 0.0])
    (theta,), expected = backend("power_angle", k, 5, RNG, 2, 0), CPU.power_angle(k, 5, RNG, 2, 0)
    same_places(theta, expected)
    same_places(backend("power_angle_slope", k, theta, 5)[0], CPU.power_angle_slope(k, theta, 5))
    for rows, samples in ((0, 2), (3, 0)):
        assert backend("power_angle", k[:rows], 5, RNG, samples, 0)[0].shape == (samples, rows)
