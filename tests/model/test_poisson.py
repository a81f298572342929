"""hvae.model.poisson: rates relative to each feature's mean."""

import math

import pytest
import torch
from shares import assert_shares
from torch.distributions import Poisson as TorchPoisson

from hvae import random
from hvae.description import DataDescription, Kind
from hvae.model.poisson import MIN_MEAN, Poisson

EPS = 2.0**-52
MEANS = (0.01, 1.0, 30.0)


def poisson(rows=None, columns=3):
    likelihood = Poisson(DataDescription((columns,), Kind.COUNTS)).double()
    likelihood.observe(torch.tensor([MEANS], dtype=torch.float64) if rows is None else rows)
    return likelihood


def numbers(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, dtype=torch.float64, generator=generator)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int64, torch.float64])
def test_log_prob_is_that_of_torch(dtype):
    """The series is good to 5e-10 a count; parts are below 1000."""
    parameters, x = numbers(4, 50, 3), torch.randint(0, 90, (50, 3)).to(dtype)
    rate = torch.tensor(MEANS, dtype=torch.float64) * parameters.exp()
    expected = TorchPoisson(rate).log_prob(x.double()).sum(-1)
    seen = poisson().log_prob(parameters, x)
    assert seen.shape == (4, 50)
    torch.testing.assert_close(seen, expected, rtol=0, atol=3 * (5e-10 + 1000 * 16 * EPS))


def test_probabilities_add_up_to_1():
    """Of counts to 200 at rates to 30: what is left out is below 1e-90."""
    x = torch.arange(200, dtype=torch.float64)[:, None]
    for mean in MEANS:
        one = poisson(torch.tensor([[mean]]).double(), 1)
        total = one.log_prob(torch.zeros(1, 200, 1).double(), x).exp().sum()
        assert abs(total - 1) <= 1e-9


def test_large_counts_lose_no_digits_in_float32():
    """At a million the usual form, x log r - r - log x!, is off by nats."""
    single = Poisson(DataDescription((1,), Kind.COUNTS))
    single.observe(torch.tensor([[1e6]]))
    x = torch.tensor([[1e6], [1e6 - 1500], [1e6 + 1000]])
    parameters = torch.tensor([1e-3, -1e-3, 2.0**-12])[:, None, None].expand(3, 3, 1)
    exact = TorchPoisson((single.log_mean.double() + parameters.double()).exp()).log_prob(
        x.double()
    )
    error = (single.log_prob(parameters, x) - exact[..., 0]).abs()
    # d, at most 3e-3, is a difference of numbers below 14, each good to 2^-20; x times its square
    assert (error <= 1e6 * 3e-3 * 2 * 2.0**-20 + 32 * 2.0**-24 * 3e3).all()


def test_a_feature_that_no_row_has():
    """Its mean is `MIN_MEAN`, its log p finite."""
    likelihood = poisson(torch.zeros(4, 3))
    assert likelihood.log_mean.tolist() == pytest.approx([math.log(MIN_MEAN)] * 3)
    zero = torch.zeros(1, 1, 3, dtype=torch.float64)
    assert likelihood.log_prob(zero, torch.zeros(1, 3)).item() == pytest.approx(-3 * MIN_MEAN)


def test_a_rate_of_0_and_an_infinite_one():
    """Probability 0 is a log p of -inf for a count, 0 for none; never NaN below exp(700)."""
    rate_0 = torch.full((1, 1, 3), -1e3, dtype=torch.float64)
    assert abs(poisson().log_prob(rate_0, torch.zeros(1, 3)).item()) <= 3 * 5e-10
    assert poisson().log_prob(rate_0, torch.ones(1, 3)).item() < -2900
    assert poisson().log_prob(-rate_0, torch.ones(1, 3)).item() == -math.inf


def test_the_encoder_sees_the_logarithm_of_1_and_the_count():
    x = torch.tensor([[0, 1, 255]], dtype=torch.uint8)
    assert torch.equal(poisson().encoder_input(x), x.double().log1p())


def test_mean_and_draws():
    parameters = torch.tensor([5.0, 0.5, -1.0], dtype=torch.float64)
    mean = poisson().mean(parameters)
    torch.testing.assert_close(mean, torch.tensor(MEANS).double() * parameters.exp())
    draws = poisson().sample(parameters.expand(2, 20_000, 3), random.stream(0, "user"))
    assert draws.shape == (2, 20_000, 3) and draws.dtype == torch.float64
    cells = torch.tensor([0.0, 1.0, 2.0]), torch.tensor([0.0, 1.0, 3.0]), torch.arange(6.0, 18.0)
    for column, counts in enumerate(cells):
        probability = TorchPoisson(mean[column]).log_prob(counts).exp()
        assert_shares(draws[..., column].reshape(-1, 1) == counts, probability)


def test_a_stream_gives_one_draw():
    parameters = torch.zeros(2, 40, 3, dtype=torch.float64)
    one, same = (poisson().sample(parameters, random.stream(0, "user")) for _ in range(2))
    assert torch.equal(one, same)
    for other in (random.stream(1, "user"), random.stream(0, "user", row=1)):
        assert not torch.equal(one, poisson().sample(parameters, other))


def test_gradients():
    x = torch.tensor([[0.0, 3.0, 31.0], [1.0, 0.0, 25.0]], dtype=torch.float64)
    parameters = numbers(2, 2, 3).requires_grad_()
    assert torch.autograd.gradcheck(lambda p: poisson().log_prob(p, x), parameters)
