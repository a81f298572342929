"""hvae.model.negative_binomial: proportions of an observed library, a dispersion a feature."""

import math

import pytest
import torch
from shares import assert_shares
from torch.distributions import NegativeBinomial as TorchNegativeBinomial

from hvae import random
from hvae.description import DataDescription, Kind
from hvae.model.negative_binomial import MIN_SHARE, NegativeBinomial

EPS = 2.0**-52
LOG_T = torch.tensor([-6.0, -1.0, 0.0, 3.0, 12.0], dtype=torch.float64)


def numbers(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, dtype=torch.float64, generator=generator)


@pytest.fixture
def x():
    generator = torch.Generator().manual_seed(0)
    rates = torch.tensor([0.1, 1.0, 5.0, 40.0, 3.0]).expand(30, 5)
    return torch.poisson(rates, generator)


@pytest.fixture
def likelihood(x):
    one = NegativeBinomial(DataDescription((5,), Kind.COUNTS)).double()
    one.observe(x)
    with torch.no_grad():
        one.log_dispersion.copy_(LOG_T)
    return one


def torchs(likelihood, parameters, library):
    """The mean is the library's part; the odds of torch's are mean / dispersion."""
    proportion = (parameters + likelihood.log_share).softmax(-1)
    t = likelihood.log_dispersion.detach().exp()
    return TorchNegativeBinomial(t, logits=(library * proportion / t).log())


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int32, torch.float32])
def test_log_prob_is_that_of_torch(likelihood, x, dtype):
    """The series is good to 2e-9 a count; torch's lgamma of exp(12) takes 2e6 from 2e6."""
    parameters = numbers(4, 30, 5)
    library = x.double().sum(-1, keepdim=True)
    expected = torchs(likelihood, parameters, library).log_prob(x.double()).sum(-1)
    seen = likelihood.log_prob(parameters, x.to(dtype))
    assert seen.shape == (4, 30)
    torch.testing.assert_close(seen, expected.detach(), rtol=0, atol=5 * (2e-9 + 2e6 * 8 * EPS))


def test_an_empty_row_has_a_library_of_1(likelihood):
    parameters, zero = numbers(1, 1, 5), torch.zeros(1, 5)
    expected = torchs(likelihood, parameters, 1.0).log_prob(zero.double()).sum(-1)
    torch.testing.assert_close(likelihood.log_prob(parameters, zero), expected, rtol=0, atol=1e-8)


def test_large_counts_lose_no_digits_in_float32(x):
    """At a million the usual form takes numbers of 1e7 from each other: an error of nats."""
    single = NegativeBinomial(DataDescription((5,), Kind.COUNTS))
    single.reset_parameters()
    single.observe(1e5 * x)
    rows = (1e5 * x)[:4]
    zero = torch.zeros(1, 4, 5)
    double = NegativeBinomial(DataDescription((5,), Kind.COUNTS)).double()
    double.load_state_dict(single.state_dict())
    error = single.log_prob(zero, rows).double() - double.log_prob(zero.double(), rows)
    # parts: 5 log(x + 5), log(1 + x/t) and softplus, each below 80, in each of 5 columns
    assert (error.abs() <= 5 * 3 * 80 * 8 * 2.0**-24).all()


@pytest.mark.parametrize("size", [1e3, -1e3])
def test_proportions_of_0_are_finite(likelihood, x, size):
    """A logit that is a thousand below another's gives log p of minus thousands, and no NaN."""
    parameters = torch.tensor([size, 0.0, 0.0, 0.0, -size]).double().expand(1, 30, 5).clone()
    parameters.requires_grad_()
    log_prob = likelihood.log_prob(parameters, x)
    log_prob.sum().backward()
    assert log_prob.isfinite().all() and parameters.grad.isfinite().all()
    assert likelihood.log_dispersion.grad.isfinite().all()


def test_what_it_remembers(likelihood, x):
    total = x.double().mean(0)
    torch.testing.assert_close(likelihood.log_share, (total / total.sum()).log())
    assert likelihood.library == x.sum(1).median()


def test_features_and_rows_without_counts():
    likelihood = NegativeBinomial(DataDescription((2,), Kind.COUNTS))
    likelihood.observe(torch.tensor([[0, 3], [0, 0], [0, 0]]))
    assert likelihood.log_share.tolist() == pytest.approx([math.log(MIN_SHARE), 0.0])
    assert likelihood.library == 1
    likelihood.observe(torch.zeros(3, 2))
    assert likelihood.log_share.isfinite().all()


def test_the_encoder_sees_the_logarithm_of_1_and_the_count(likelihood, x):
    assert torch.equal(likelihood.encoder_input(x), x.double().log1p())


def test_mean_and_draws(likelihood):
    """Of the median library. Cells of 40 000 draws that have at least 100 hits."""
    parameters = numbers(5)
    mean = likelihood.mean(parameters).detach()
    exact = torchs(likelihood, parameters, likelihood.library)
    torch.testing.assert_close(mean, exact.mean)
    draws = likelihood.sample(parameters.expand(2, 20_000, 5), random.stream(0, "user"))
    assert draws.shape == (2, 20_000, 5) and draws.dtype == torch.float64
    counts = torch.arange(60.0).double()
    probability = exact.log_prob(counts[:, None]).exp().detach()
    for column in range(1, 5):
        cells = (40_000 * probability[:, column] >= 100) & (probability[:, column] < 0.99)
        assert cells.sum() >= 3
        hits = draws[..., column].reshape(-1, 1) == counts[cells]
        assert_shares(hits, probability[cells, column])


def test_a_stream_gives_one_draw(likelihood):
    parameters = torch.zeros(2, 10, 5, dtype=torch.float64)
    one, same = (likelihood.sample(parameters, random.stream(0, "user")) for _ in range(2))
    assert torch.equal(one, same)
    assert not torch.equal(one, likelihood.sample(parameters, random.stream(1, "user")))


def test_there_is_no_second_derivative(likelihood, x):
    parameters = numbers(2, 30, 5).requires_grad_()
    total = likelihood.log_prob(parameters, x).sum()
    (slope,) = torch.autograd.grad(total, parameters, create_graph=True)
    with pytest.raises(RuntimeError, match="of hvae has no second derivative$"):
        slope.square().sum().backward()


def test_gradients(likelihood, x):
    parameters = numbers(2, 3, 5).requires_grad_()

    def log_prob(parameters, log_dispersion):
        changed = {"log_dispersion": log_dispersion}
        return torch.func.functional_call(likelihood, changed, (parameters, x[:3]))

    likelihood.forward = likelihood.log_prob
    log_t = torch.linspace(-2, 3, 5, dtype=torch.float64).requires_grad_()
    assert torch.autograd.gradcheck(log_prob, (parameters, log_t))
