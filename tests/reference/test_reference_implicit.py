"""`reference.dtheta_dkappa` against certified quadrature, closed forms and exact means."""

import math

import exact
import numpy as np
import pytest
import torch

from hvae import reference


def test_dtheta_agrees_with_the_table():
    """The limit that the module states."""
    rows = exact.table("dtheta")
    for m in np.unique(rows["m"]):
        mine = {name: column[rows["m"] == m] for name, column in rows.items()}
        theta, kappa = (torch.from_numpy(mine[c].astype(np.float64)) for c in ("theta", "kappa"))
        value = reference.dtheta_dkappa(int(m), theta, kappa).numpy()
        error = exact.relative_error(value, mine["dtheta"])
        largest, where = exact.worst(error, kappa=mine["kappa"], theta=mine["theta"])
        assert largest <= 1e-12, (m, where)


def test_dtheta_at_its_limits():
    """At kappa = 0 on the circle A' = 1/2 and dtheta/dk = -sin theta; at the poles it is 0."""
    theta = torch.tensor([0.0, 1e-6, 1.0, 3.0, math.pi], dtype=torch.float64)
    kappa = torch.tensor(0.0, dtype=torch.float64)
    expected = -torch.sin(theta) * (theta < math.pi)
    value = reference.dtheta_dkappa(2, theta, kappa)
    torch.testing.assert_close(value, expected, rtol=1e-12, atol=0)
    assert reference.dtheta_dkappa(2, theta, kappa * math.nan)[1:4].isnan().all()


def test_dtheta_on_s2_is_the_derivative_of_the_closed_form():
    kappa = torch.tensor([0.5, 3.0, 50.0, 1e4], dtype=torch.float64)[:, None]
    u = torch.tensor([0.02, 0.4, 0.8, 0.999], dtype=torch.float64)
    kappa = kappa.expand(-1, 4).clone().requires_grad_()
    v = -torch.log(u + (1 - u) * torch.exp(-2 * kappa)) / kappa
    theta = 2 * torch.asin(torch.sqrt(v / 2))
    (slope,) = torch.autograd.grad(theta.sum(), kappa)
    # The logarithm near 1 costs the closed form up to four digits here.
    torch.testing.assert_close(
        reference.dtheta_dkappa(3, theta.detach(), kappa.detach()), slope, rtol=1e-11, atol=0
    )


@pytest.mark.parametrize("m", [2, 3, 4, 11, 41])
@pytest.mark.parametrize("kappa", [1e-3, 1.0, 30.0, 1e4])
def test_mean_change_of_the_cosine_is_the_slope_of_a(m, kappa):
    """E[-sin(theta) dtheta/dk] = A' for the implicit field, its known share for the naive one."""
    x, w = np.polynomial.legendre.leggauss(200)
    mode = math.acos(2 * kappa / (m - 2 + math.hypot(m - 2, 2 * kappa))) if m > 2 else 0.0
    reach = 14 / math.sqrt(kappa + m)
    lo, hi = max(0.0, mode - reach), min(math.pi, mode + reach)
    theta = torch.from_numpy(lo + (hi - lo) * (1 + x) / 2)
    density = np.exp(exact.log_density(m, kappa, theta.numpy())) * w
    k = torch.tensor(kappa, dtype=torch.float64)
    for kind, share in (("implicit", 1.0), ("naive", exact.naive_share(m, kappa))):
        change = -torch.sin(theta) * reference.dtheta_dkappa(m, theta, k, kind)
        mean = (change.numpy() * density).sum() / density.sum()
        assert mean == pytest.approx(share * exact.special(m, kappa, "dA"), rel=1e-10)
