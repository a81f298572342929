"""hvae.model.gaussian: standardized numbers, a learned scale with a floor, log p in their units."""

import math

import pytest
import torch
from shares import assert_shares
from torch.distributions import Normal

from hvae import ops, random
from hvae.description import DataDescription, Kind
from hvae.model.gaussian import FLOOR, Gaussian

EPS = 2.0**-52


def gaussian(rows, kind=Kind.REAL):
    likelihood = Gaussian(DataDescription((rows.shape[1],), kind)).double()
    likelihood.reset_parameters()
    likelihood.observe(rows)
    return likelihood


@pytest.fixture
def rows():
    generator = torch.Generator().manual_seed(0)
    sizes = torch.tensor([1e-3, 1.0, 50.0, 1e6], dtype=torch.float64)
    return sizes * (3 + torch.randn(200, 4, dtype=torch.float64, generator=generator))


@pytest.fixture
def parameters():
    generator = torch.Generator().manual_seed(1)
    return torch.randn(3, 200, 4, dtype=torch.float64, generator=generator)


def test_log_prob_is_that_of_torch(rows, parameters):
    """In the data's units; the terms are below 60."""
    likelihood = gaussian(rows)
    with torch.no_grad():
        likelihood.raw_scale.copy_(torch.tensor([-3.0, 0.0, 0.5, 4.0]))
    scale = FLOOR + torch.nn.functional.softplus(likelihood.raw_scale)
    center, spread = rows.mean(0), rows.std(0, correction=0)
    expected = Normal(center + spread * parameters, spread * scale).log_prob(rows).sum(-1)
    seen = likelihood.log_prob(parameters, rows)
    assert seen.shape == (3, 200)
    torch.testing.assert_close(seen, expected, rtol=200 * EPS, atol=4 * 60 * 16 * EPS)


def test_the_encoder_sees_standardized_numbers(rows):
    seen = gaussian(rows).encoder_input(rows)
    assert (seen.mean(0).abs() <= 1e-13).all()
    torch.testing.assert_close(seen.std(0, correction=0), torch.ones(4).double())


def test_another_unit_of_the_data_moves_log_prob_by_the_jacobian(rows, parameters):
    """x -> a x + b: by -sum_j log a_j."""
    unit = torch.tensor([100.0, 1e-2, 3.0, 0.125], dtype=torch.float64)
    moved = rows * unit + torch.tensor([5.0, -1.0, 0.0, 2.0], dtype=torch.float64)
    one = gaussian(rows).log_prob(parameters, rows)
    other = gaussian(moved).log_prob(parameters, moved)
    torch.testing.assert_close(other, one - unit.log().sum(), rtol=1e-12, atol=1e-11)


def test_the_density_integrates_to_1():
    """Over a grid of +-10 deviations, where the trapezoidal rule of a Gaussian is exact."""
    likelihood = gaussian(torch.tensor([[2.0], [6.0]]))
    x = torch.linspace(-60, 60, 6001, dtype=torch.float64)[:, None]
    log_p = likelihood.log_prob(torch.tensor(0.3).double().expand(1, 6001, 1), x)
    assert abs(log_p.exp().sum() * 0.02 - 1) <= 6001 * EPS + 1e-12


def test_the_scale_has_a_floor():
    """A constant column that the decoder gets right has a finite log p, of the floor."""
    likelihood = gaussian(torch.full((50, 2), 7.25))
    assert likelihood.spread.tolist() == [1.0, 1.0]
    with torch.no_grad():
        likelihood.raw_scale.fill_(-1e4)
    zero = torch.zeros(1, 1, 2, dtype=torch.float64)
    seen = likelihood.log_prob(zero, torch.full((1, 2), 7.25))
    expected = -2 * (math.log(FLOOR) + 0.5 * math.log(2 * math.pi))
    assert seen.item() == pytest.approx(expected, rel=8 * EPS)


def test_a_column_whose_spread_float32_does_not_resolve():
    """Of 1.7e9 and 1e-3 the spread is what float32 resolves there; all numbers stay of order 1."""
    rows = 1.7e9 + 1e-3 * torch.arange(10, dtype=torch.float64)[:, None]
    likelihood = Gaussian(DataDescription((1,), Kind.REAL))
    likelihood.reset_parameters()
    likelihood.observe(rows)
    assert likelihood.spread.item() == pytest.approx(1.7e9 * 2.0**-23, rel=1e-6)
    assert (likelihood.encoder_input(rows).abs() <= 1).all()
    assert likelihood.log_prob(torch.zeros(1, 10, 1), rows).isfinite().all()


def test_a_float32_model_sees_all_digits_of_float64_data():
    """1e6 + 1e-3 i: the center is subtracted in float64."""
    rows = 1e6 + torch.arange(100, dtype=torch.float64)[:, None]
    likelihood = Gaussian(DataDescription((1,), Kind.REAL))
    likelihood.observe(rows)
    shifted = rows + 0.001
    moved = likelihood.encoder_input(shifted) - likelihood.encoder_input(rows)
    torch.testing.assert_close(
        moved * likelihood.spread, torch.full_like(rows, 1e-3), rtol=1e-6, atol=0
    )


def test_integers_are_numbers():
    rows = torch.tensor([[0, 255], [10, 0], [20, 128]], dtype=torch.uint8)
    likelihood = gaussian(rows, Kind.COUNTS)
    zero = torch.zeros(1, 3, 2, dtype=torch.float64)
    assert torch.equal(likelihood.log_prob(zero, rows), likelihood.log_prob(zero, rows.double()))


def test_mean_and_draws(rows):
    """In the data's units; by the shares of draws below ten quantiles."""
    likelihood = gaussian(rows)
    parameters = torch.tensor([-1.0, 0.0, 0.5, 2.0], dtype=torch.float64)
    mean = likelihood.mean(parameters)
    center, spread = rows.mean(0), rows.std(0, correction=0)
    torch.testing.assert_close(mean, center + spread * parameters, rtol=1e-13, atol=0)
    draws = likelihood.sample(parameters.expand(2, 10_000, 4), random.stream(3, "user"))
    assert draws.shape == (2, 10_000, 4) and draws.dtype == torch.float64
    level = torch.linspace(0.05, 0.95, 10, dtype=torch.float64)
    quantiles = Normal(mean, spread * likelihood.scale.detach()).icdf(level[:, None])
    hits = draws.detach().flatten(0, 1)[:, None] < quantiles
    assert_shares(hits.flatten(1), level[:, None].expand(10, 4).flatten())


def test_a_draw_is_that_of_the_normal_numbers_of_its_place(rows):
    likelihood, rng = gaussian(rows), random.stream(1, "user")
    zero = torch.zeros(3, 5, 4, dtype=torch.float64)
    noise = ops.normal(rng, 3, 5, 4, dtype=torch.float64)
    assert torch.equal(likelihood.sample(zero, rng), likelihood.mean(likelihood.scale * noise))


def test_gradients(rows):
    likelihood = gaussian(rows)

    def log_prob(parameters, raw_scale):
        changed = {"raw_scale": raw_scale}
        return torch.func.functional_call(likelihood, changed, (parameters, rows[:3]))

    likelihood.forward = likelihood.log_prob
    parameters = torch.randn(2, 3, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(log_prob, (parameters, likelihood.raw_scale))
