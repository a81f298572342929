"""`ops.bernoulli_log_prob` against the reference, at its limits, and its derivatives."""

import math

import pytest
import torch
from op_inputs import pixels

from hvae import ops, reference

pytestmark = pytest.mark.usefixtures("device")


def test_bernoulli_gradcheck():
    logits, x = pixels(6, 2, 5, torch.float64)
    logits.requires_grad_()
    grey = torch.rand(2, 5, dtype=torch.float64, requires_grad=True)

    def by_bits(y):
        return ops.bernoulli_log_prob(y.unflatten(0, (3, 2)), x)

    def by_greys(y, p):
        return ops.bernoulli_log_prob(y.unflatten(0, (3, 2)), p)

    assert torch.autograd.gradcheck(by_bits, logits)
    assert torch.autograd.gradgradcheck(by_bits, logits)
    assert torch.autograd.gradcheck(by_greys, (logits, grey))
    assert torch.autograd.gradgradcheck(by_greys, (logits, grey))


@pytest.mark.parametrize("n", [1, 7, 16, 784, 1000])
def test_bernoulli_agrees_with_the_reference(n, dtype):
    """A sum of n terms of one sign: 4 eps of it covers the terms and the order of summation."""
    logits, x = pixels(12, 4, n, dtype)
    logits[0] *= 40
    grey = torch.rand(4, n, dtype=torch.float64).to(dtype)
    for image in (x, x.to(dtype), grey):
        stacked = logits.unflatten(0, (3, 4)).clone().requires_grad_()
        value = ops.bernoulli_log_prob(stacked, image)
        expected = reference.bernoulli_log_prob(stacked.double(), image.double())
        assert value.shape == (3, 4) and value.dtype == dtype
        eps = torch.finfo(dtype).eps
        torch.testing.assert_close(value.double(), expected, rtol=4 * eps, atol=4 * eps)
        (slope,) = torch.autograd.grad(value.sum(), stacked)
        torch.testing.assert_close(
            slope.double(),
            image.double() - torch.sigmoid(stacked.detach().double()),
            rtol=0,
            atol=4 * eps,
        )


def test_bernoulli_at_extreme_logits(dtype):
    """Far out a pixel's log-likelihood is minus the logit or 0; NaN stays NaN."""
    logits = torch.tensor([[1e4, -1e4], [-1e4, 1e4], [200.0, -200.0]], dtype=dtype)
    x = torch.tensor([1, 0], dtype=torch.uint8)
    expected = torch.tensor([0, -2e4, 0], dtype=dtype)
    value = ops.bernoulli_log_prob(logits, x.expand(3, 2))
    torch.testing.assert_close(value, expected, rtol=0, atol=1e-80)  # exp(-200)
    nan = ops.bernoulli_log_prob(torch.tensor([[math.nan, 1.0]], dtype=dtype), x[None])
    assert nan.isnan().all()


@pytest.mark.parametrize("shape", [(0, 4, 5), (3, 0, 5), (3, 4, 0), (2, 3, 4, 5), (5,)])
def test_bernoulli_shapes(shape, dtype):
    logits = torch.randn(shape, dtype=torch.float64).to(dtype)
    for lead in range(len(shape)):
        x = torch.randint(0, 2, shape[lead:], dtype=torch.uint8)
        expected = reference.bernoulli_log_prob(logits, x)
        torch.testing.assert_close(ops.bernoulli_log_prob(logits, x), expected)


def test_bernoulli_of_strided_inputs(dtype):
    logits, x = pixels(12, 4, 20, dtype)
    expected = ops.bernoulli_log_prob(logits.unflatten(0, (3, 4)), x)
    crossed = logits.unflatten(0, (3, 4)).permute(2, 1, 0).contiguous().permute(2, 1, 0)
    assert torch.equal(ops.bernoulli_log_prob(crossed, x.T.contiguous().T), expected)
