"""`ops.vmf` and its derivatives. Its values are tested with the kernels' quantities."""

import math

import pytest
import torch
from op_inputs import DIMS

from hvae import ops, reference

pytestmark = pytest.mark.usefixtures("device")


@pytest.mark.parametrize("quantity", ["L", "k_minus_L", "A", "one_minus_A", "KL"])
def test_vmf_gradcheck(quantity):
    """First and second derivatives of both outputs, in both zones (the cutoffs are at 25 and 1)."""
    kappa = torch.tensor(
        [[0.2, 3.0, 24.0, 0.5], [30.0, 9.0, 60.0, 1.5]], dtype=torch.float64, requires_grad=True
    )
    dims = [2, 3, 10, 60]

    def values(k):
        return ops.vmf(k, dims, quantity)

    assert torch.autograd.gradcheck(values, kappa)
    assert torch.autograd.gradgradcheck(lambda k: values(k)[0], kappa)


@pytest.mark.parametrize("quantity", ["dA", "dKL"])
def test_slope_gradcheck(quantity):
    kappa = torch.tensor([[0.2, 3.0, 24.0, 40.0]], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda k: ops.vmf(k, DIMS, quantity)[0], kappa)


def test_log_area():
    for m in (2, 3, 4, 41):
        assert ops.log_area(m) == pytest.approx(reference.log_area(m), rel=1e-15)
    assert math.exp(ops.log_area(3)) == pytest.approx(4 * math.pi)


def test_orders_of_another_kind_than_the_arguments_are_refused():
    k = torch.ones(3, dtype=torch.float64)
    for order in (torch.ones(2, dtype=torch.float64), torch.ones(3)):
        with pytest.raises(ValueError, match=r"order has shape .*allowed: a number, or those of k"):
            ops.bessel(order, k, "log_iv")
    with pytest.raises(ValueError, match="allowed: "):
        ops.bessel(1.0, k, "I")
