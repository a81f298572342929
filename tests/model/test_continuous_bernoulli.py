"""hvae.model.continuous_bernoulli: a density on the unit interval, by the kernel of S^2."""

import math

import pytest
import torch
from shares import assert_shares
from torch.distributions import ContinuousBernoulli as TorchContinuousBernoulli

from hvae import random
from hvae.description import DataDescription, Kind
from hvae.model.continuous_bernoulli import ContinuousBernoulli

EPS = 2.0**-52
LIKELIHOOD = ContinuousBernoulli(DataDescription((4,), Kind.UNIT))


def numbers(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(*shape, dtype=torch.float64, generator=generator)


def test_log_prob_is_that_of_torch():
    """Where torch's is good: it expands about l = 0, to (p - 1/2)^4, within |l| < 0.004."""
    parameters = 10 * numbers(3, 20, 4) - 5
    assert parameters.abs().min() > 0.004
    x = numbers(20, 4, seed=1)
    expected = TorchContinuousBernoulli(logits=parameters).log_prob(x).sum(-1)
    seen = LIKELIHOOD.log_prob(parameters, x)
    assert seen.shape == (3, 20)
    torch.testing.assert_close(seen, expected, rtol=0, atol=1e-11)


@pytest.mark.parametrize("logit", [-1e4, -100.0, -3.0, -1e-8, 0.0, 1e-3, 2.0, 100.0, 1e4])
@pytest.mark.parametrize("x", [0.0, 0.3, 1.0])
def test_log_prob_at_every_size(logit, x, dtype):
    """l x - log((e^l - 1)/l), to a few roundings of l."""
    a = abs(logit)
    low = x if logit < 0 else 1 - x  # l x - max(l, 0) = -a low
    normalizer = math.log(-math.expm1(-a) / a) if a else 0.0
    one = ContinuousBernoulli(DataDescription((1,), Kind.UNIT))
    seen = one.log_prob(torch.tensor([[[logit]]], dtype=dtype), torch.tensor([[x]], dtype=dtype))
    eps = torch.finfo(dtype).eps
    assert seen.item() == pytest.approx(-a * low - normalizer, abs=8 * eps * (1 + a))


def test_the_density_integrates_to_1():
    """Simpson's rule of exp(l x) with |l| <= 30 and a step of 1e-3: relative error (l h)^4/180."""
    x = torch.linspace(0, 1, 1001, dtype=torch.float64)[:, None]
    weights = torch.tensor([2.0, 4.0] * 501, dtype=torch.float64)[:1001]
    weights[0] = weights[-1] = 1
    one = ContinuousBernoulli(DataDescription((1,), Kind.UNIT))
    for logit in (-30.0, -1.0, 0.0, 5.0, 30.0):
        parameters = torch.full((1, 1001, 1), logit, dtype=torch.float64)
        total = (one.log_prob(parameters, x)[0].exp() * weights).sum() / 3000
        assert abs(total - 1) <= (0.03) ** 4 / 180 + 1e-12


def test_the_mean_is_that_of_torch():
    parameters = torch.tensor([-5.0, -0.5, 0.5, 5.0], dtype=torch.float64)
    expected = TorchContinuousBernoulli(logits=parameters).mean
    torch.testing.assert_close(LIKELIHOOD.mean(parameters), expected, rtol=0, atol=1e-11)


def test_the_mean_at_every_size():
    parameters = torch.tensor([-1e6, 0.0, 1e-6, 1e6], dtype=torch.float64)
    expected = torch.tensor([1e-6, 0.5, 0.5 + 1e-6 / 12, 1 - 1e-6], dtype=torch.float64)
    torch.testing.assert_close(LIKELIHOOD.mean(parameters), expected, rtol=0, atol=4 * EPS)


@pytest.mark.parametrize("scale", [1.0, 10.0])
def test_draws(scale, dtype):
    """By the shares of draws below ten quantiles, the inverse of (e^(l x) - 1)/(e^l - 1)."""
    parameters = scale * torch.tensor([-3.0, -0.1, 0.0, 2.0], dtype=dtype)
    draws = LIKELIHOOD.sample(parameters.expand(2, 10_000, 4), random.stream(3, "user"))
    assert draws.shape == (2, 10_000, 4) and draws.dtype == dtype
    assert ((draws >= 0) & (draws <= 1)).all()
    level = torch.linspace(0.05, 0.95, 10, dtype=torch.float64)[:, None]
    wide = parameters.double()
    exact = (level * torch.expm1(wide)).log1p() / wide
    quantiles = torch.where(wide == 0, level, exact)
    hits = draws.flatten(0, 1)[:, None] < quantiles
    assert_shares(hits.flatten(1), level.expand(10, 4).flatten())


@pytest.mark.parametrize("logit", [0.0, 1e-45, -1e-20, 1e-6, 1e4, -1e30])
def test_draws_at_every_size_are_in_the_interval(logit):
    draws = LIKELIHOOD.sample(torch.full((1, 1000, 4), logit), random.stream(0, "user"))
    assert ((draws >= 0) & (draws <= 1)).all()
    expected = min(max(1 / max(abs(logit), 1e-9), 0.0), 0.5)
    mean = draws.mean().item() if logit <= 0 else 1 - draws.mean().item()
    assert abs(mean - expected) <= 5 * expected / math.sqrt(4000)


def test_a_draw_depends_on_its_place_alone():
    parameters = 4 * numbers(3, 6, 4) - 2
    whole = LIKELIHOOD.sample(parameters, random.stream(0, "user"))
    place = random.stream(0, "user", row=2, sample=1)
    assert torch.equal(LIKELIHOOD.sample(parameters[1:, 2:], place), whole[1:, 2:])


def test_gradients():
    """At l = 0 too, where |l| has none: that of log p is x - 1/2."""
    x = numbers(2, 4, seed=1)
    parameters = (6 * numbers(2, 2, 4) - 3).requires_grad_()
    assert torch.autograd.gradcheck(lambda p: LIKELIHOOD.log_prob(p, x), parameters)
    zero = torch.zeros(1, 2, 4, dtype=torch.float64, requires_grad=True)
    LIKELIHOOD.log_prob(zero, x).sum().backward()
    assert torch.equal(zero.grad[0], x - 0.5)
