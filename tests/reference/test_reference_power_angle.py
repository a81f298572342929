"""The reference's angles of Power Spherical draws, and their derivative."""

import exact
import pytest
import scipy.stats
import torch

from hvae import random, reference


@pytest.mark.parametrize("m", [2, 3, 17])
def test_distribution(m):
    """Kolmogorov-Smirnov against SciPy; false-alarm rate 1e-6 a case, 1e-5 in all."""
    for k in (0.0, 3.0, 1e4):
        rows = torch.full((20_000,), k, dtype=torch.float64)
        theta = reference.power_angle(rows, m, random.stream(m, "user"))[0]
        cdf = scipy.stats.beta((m - 1) / 2, k + (m - 1) / 2).cdf(torch.sin(theta / 2) ** 2)
        assert exact.kolmogorov_distance(cdf) < exact.kolmogorov_bound(1e-6), k


@pytest.mark.parametrize("m", [8, 17, 300])
def test_slope(m):
    """1e-10: nodes for m from 8 on, and digamma functions that differ by 1e-4 of their size."""
    for k, theta in ((0.0, 1.0), (3.0, 0.5), (3.0, 2.0), (1e3, 0.1)):
        found = reference.power_angle_slope(
            torch.tensor([k], dtype=torch.float64), torch.tensor([[theta]], dtype=torch.float64), m
        )
        assert found.item() == pytest.approx(float(exact.power_angle_slope(m, k, theta)), rel=1e-10)
