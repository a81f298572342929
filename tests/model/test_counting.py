"""hvae.model.counting: against 40 digits, at counts and dispersions of every size."""

import itertools
import math

import pytest
import torch
from mpmath import digamma, log, loggamma, mpf, workdps

from hvae.model.counting import log_choose, log_poisson_mode

COUNTS = [0, 1, 2, 3, 10, 100, 10_000, 1_000_000, 1_000_000_000]
T = [1e-10, 1e-6, 1e-3, 0.3, 1.0, 2.5, 30.0, 1e3, 1e6, 1e8]
# The term of Stirling's series that is left out, at y = 4.
SERIES = {torch.float32: 3.7e-8, torch.float64: 4.6e-10}


@pytest.fixture(autouse=True)
def digits():
    with workdps(40):
        yield


def x_log_y(x, y):
    return x * log(y) if x else mpf(0)


@pytest.mark.parametrize(("x", "t"), list(itertools.product(COUNTS, T)))
def test_log_choose(x, t, dtype):
    """The series left out thrice, and 16 roundings of all parts that are added."""
    counts, given = torch.tensor([x], dtype=dtype), torch.tensor([t], dtype=dtype)
    x, t = mpf(x), mpf(given.item())
    expected = loggamma(x + t) - loggamma(t) - loggamma(x + 1)
    parts = t * log(1 + x / t) + x_log_y(x, 1 + t / max(x, 1)) + 5 * log(x + 5)
    parts += abs(log(t)) + 5 * log(t + 5)
    bound = 3 * SERIES[dtype] + 16 * torch.finfo(dtype).eps * float(parts)
    assert abs(log_choose(counts, given).item() - float(expected)) <= bound


def test_there_is_no_gradient_in_counts():
    counts = torch.tensor([3.0]).requires_grad_()
    log_choose(counts, torch.tensor([2.0])).backward()
    assert counts.grad is None


@pytest.mark.parametrize("x", COUNTS)
def test_log_poisson_mode(x, dtype):
    counts = torch.tensor([x], dtype=dtype)
    x = mpf(x)
    expected = x_log_y(x, x) - x - loggamma(x + 1)
    bound = SERIES[dtype] + 16 * torch.finfo(dtype).eps * float(5 * log(x + 5))
    assert abs(log_poisson_mode(counts).item() - float(expected)) <= bound


def test_they_are_sums_over_the_last_dimension(dtype):
    x = torch.tensor([[0.0, 3.0, 2.0], [7.0, 1.0, 0.0]], dtype=dtype)
    t = torch.tensor([0.5, 2.0, 9.0], dtype=dtype)
    each = torch.stack([log_choose(x[:, j : j + 1], t[j : j + 1]) for j in range(3)], 1)
    eps = torch.finfo(dtype).eps
    torch.testing.assert_close(log_choose(x, t), each.sum(1), rtol=8 * eps, atol=8 * eps)
    each = torch.stack([log_poisson_mode(x[:, j : j + 1]) for j in range(3)], 1)
    torch.testing.assert_close(log_poisson_mode(x), each.sum(1), rtol=8 * eps, atol=8 * eps)


@pytest.mark.parametrize("t", [1e-3, 0.3, 2.5, 1e3])
def test_negative_binomial_probabilities_add_up_to_1(t):
    """The tail beyond 20 000 counts is below 1e-90; 2e-9 is the error of a term."""
    x = torch.arange(20_000, dtype=torch.float64)
    q = 0.3 if t < 100 else 0.9
    given = torch.tensor([t], dtype=torch.float64)
    log_p = log_choose(x[:, None], given) + x * math.log1p(-q)
    total = (log_p + t * math.log(q)).exp().sum()
    assert abs(total - 1) <= 3e-9


def test_gradient_in_t():
    generator = torch.Generator().manual_seed(0)
    x = torch.poisson(9 * torch.rand(3, 5, dtype=torch.float64, generator=generator), generator)
    t = (0.01 + torch.rand(5, dtype=torch.float64, generator=generator)).requires_grad_()
    assert torch.autograd.gradcheck(lambda t: log_choose(x, t), t)
    by_row = t.detach().expand(3, 5).clone().requires_grad_()
    assert torch.autograd.gradcheck(lambda t: log_choose(x, t), by_row)


def test_gradient_in_t_is_that_of_digamma():
    """At sizes where differences of values have no digits; r' leaves out 11/4 of r's term."""
    pairs = list(itertools.product(COUNTS, T))
    x, t = torch.tensor(pairs, dtype=torch.float64).unbind(1)
    given = t[:, None].clone().requires_grad_()
    log_choose(x[:, None], given).sum().backward()
    slopes = [digamma(mpf(a) + mpf(b)) - digamma(mpf(b)) for a, b in pairs]
    expected = torch.tensor([float(slope) for slope in slopes], dtype=torch.float64)
    torch.testing.assert_close(given.grad[:, 0], expected, rtol=2.0**-44, atol=3e-9)


def test_there_is_no_second_derivative():
    x, t = torch.tensor([2.0]), torch.tensor([1.0], requires_grad=True)
    (slope,) = torch.autograd.grad(log_choose(x, t), t, create_graph=True)
    with pytest.raises(RuntimeError, match="^log_choose of hvae has no second derivative$"):
        slope.sum().backward()


def test_without_a_gradient_nothing_is_kept():
    t = torch.tensor([1.0])
    assert not log_choose(torch.tensor([2.0]), t).requires_grad
    assert not log_poisson_mode(torch.tensor([2.0], requires_grad=True)).requires_grad
