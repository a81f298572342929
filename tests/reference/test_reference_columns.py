"""`reference.vmf` against the table, autograd and SciPy."""

import math

import exact
import numpy as np
import pytest
import scipy.special
import thorough
import torch

from hvae import reference

QUANTITIES = ("L", "k_minus_L", "A", "one_minus_A", "dA", "KL", "dKL")
LARGEST = 200_002  # m of the order 1e5
SMALLEST_NORMAL = np.finfo(np.float64).tiny


@pytest.fixture(scope="module")
def special():
    rows = exact.table("special")
    _, whole = exact.ambient(rows["nu"])
    return {name: column[whole] for name, column in rows.items()}


@pytest.mark.parametrize("quantity", QUANTITIES)
def test_vmf_agrees_with_the_table(special, quantity):
    """The limits that the module states: 1e-13, and 2e-12 for A' just inside the series.

    The table has orders beyond, which belong to the kernels alone.
    """
    bound = 2e-12 if quantity in ("dA", "dKL") else 1e-13
    m, _ = exact.ambient(special["nu"])
    for dims in np.unique(m[m <= LARGEST]):
        rows = (m == dims) & (special[quantity] > SMALLEST_NORMAL)
        kappa = torch.from_numpy(special["kappa"][rows].astype(np.float64))
        value, _ = reference.vmf(kappa[:, None], [int(dims)], quantity)
        error = exact.relative_error(value[:, 0].numpy(), special[quantity][rows])
        largest, where = exact.worst(error, kappa=special["kappa"][rows])
        assert largest <= bound, (dims, where)


@pytest.mark.parametrize("quantity", QUANTITIES)
def test_vmf_derivative_is_that_of_the_value(quantity):
    """Against autograd, on both sides of the seam at r = 32; A'' loses 1e4 at the largest kappa."""
    kappa = torch.tensor([0.0, 1e-3, 0.7, 9.0, 31.0, 33.0, 400.0, 1e4], dtype=torch.float64)
    dims = [2, 3, 11, 60, 200]
    kappa = kappa[:, None].expand(-1, len(dims)).clone().requires_grad_()
    value, derivative = reference.vmf(kappa, dims, quantity)
    (slope,) = torch.autograd.grad(value.sum(), kappa)
    torch.testing.assert_close(slope, derivative, rtol=1e-7, atol=1e-15)


@pytest.mark.parametrize("quantity", QUANTITIES)
def test_vmf_passes_gradcheck(quantity):
    """Every element depends on its own kappa alone, so one random combination, as in fast mode,
    shows a derivative that is wrong anywhere.
    """
    kappa = torch.tensor([[0.3, 2.0, 40.0], [5.0, 80.0, 1.0]], dtype=torch.float64)
    kappa.requires_grad_()

    def both(k):
        return reference.vmf(k, [2, 5, 24], quantity)

    assert torch.autograd.gradcheck(both, kappa, fast_mode=not thorough.ASKED)
    assert torch.autograd.gradgradcheck(both, kappa, fast_mode=not thorough.ASKED)


def test_vmf_agrees_with_scipy_where_scipy_is_finite():
    """ive is good to about 1e-13 here, its logarithm to that absolutely."""
    kappa = np.logspace(-1, 5, 61)
    for m in (2, 3, 4, 11, 41, 128):
        nu = m / 2 - 1
        ive = scipy.special.ive(nu, kappa)
        expected = -(np.log(ive) + scipy.special.gammaln(nu + 1) + nu * np.log(2 / kappa))
        value, _ = reference.vmf(torch.from_numpy(kappa)[:, None], [m], "k_minus_L")
        finite = ive > 1e-280
        np.testing.assert_allclose(value[finite, 0], expected[finite], rtol=1e-11, atol=1e-12)


def test_vmf_outside_its_domain():
    kappa = torch.tensor([[-1.0], [math.nan], [0.0]], dtype=torch.float64)
    for quantity, at_zero in zip(QUANTITIES, (0, 0, 0, 1, 1 / 3, 0, 0), strict=True):
        value, derivative = reference.vmf(kappa, [3], quantity)
        assert value[:2].isnan().all() and derivative[:2].isnan().all()
        assert value[2].item() == pytest.approx(at_zero)
    with pytest.raises(ValueError, match="allowed: L, k_minus_L"):
        reference.vmf(kappa, [3], "A2")


def test_log_area():
    assert reference.log_area(2) == pytest.approx(math.log(2 * math.pi), rel=1e-15)
    assert reference.log_area(3) == pytest.approx(math.log(4 * math.pi), rel=1e-15)
    assert reference.log_area(4) == pytest.approx(math.log(2 * math.pi**2), rel=1e-15)
