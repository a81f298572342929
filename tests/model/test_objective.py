"""hvae.model.objective: the loss written out, and the gradient that its score stands for.

Statistical tests have a fixed seed and a stated false-alarm rate.
"""

import math

import pytest
import torch
from few import digits, vae

from hvae import random
from hvae.model import Terms, objective

EPS = 2.0**-52  # the terms that are made up here are float64
ROWS = 5
WEIGHT = torch.tensor([0.5, 1.0, 3.0], dtype=torch.float64)


def made_up(samples):
    """Terms whose score has the gradient `slope` in `parameter`: (terms, slope, parameter)."""
    generator = torch.Generator().manual_seed(samples)
    wide = {"generator": generator, "dtype": torch.float64}
    log_likelihood = (-60 - 40 * torch.rand(samples, ROWS, **wide)).requires_grad_()
    kl = torch.rand(ROWS, len(WEIGHT), **wide).requires_grad_()
    slope = torch.randn(samples, ROWS, **wide)
    parameter = torch.ones(samples, ROWS, dtype=torch.float64, requires_grad=True)
    score = slope * (parameter - parameter.detach())
    return Terms(log_likelihood, kl, None, score, None), slope, parameter


@pytest.mark.parametrize("samples", [1, 4])
def test_the_loss_is_the_weighted_bound(samples):
    """Every part is positive, and the loops below take 37 roundings, half an ulp each; torch's
    sums take fewer.
    """
    terms, _, _ = made_up(samples)
    expected = 0.0
    for row in range(ROWS):
        for k in range(samples):
            expected -= terms.log_likelihood[k, row].item() / samples / ROWS
        for i, weight in enumerate(WEIGHT.tolist()):
            expected += weight * terms.kl[row, i].item() / ROWS
    loss = objective.loss(terms._replace(score=None), WEIGHT)
    assert loss.item() == pytest.approx(expected, rel=37 * EPS)


@pytest.mark.parametrize("samples", [1, 4])
def test_a_score_changes_the_gradient_and_not_the_value(samples):
    """The gradients in everything else stay; without a score none arrives where it came from."""
    terms, _, parameter = made_up(samples)
    plain, scored = (objective.loss(t, WEIGHT) for t in (terms._replace(score=None), terms))
    assert torch.equal(plain, scored)
    inputs = (terms.log_likelihood, terms.kl, parameter)
    *before, none = torch.autograd.grad(plain, inputs, allow_unused=True)
    *after, some = torch.autograd.grad(scored, inputs)
    assert none is None and (some != 0).all()
    assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))


@pytest.mark.parametrize("samples", [1, 2, 4])
def test_the_gradient_of_the_score_is_error_less_baseline(samples):
    """By a double loop: the baseline of a draw is the mean error of the image's others, if any."""
    terms, slope, parameter = made_up(samples)
    (seen,) = torch.autograd.grad(objective.loss(terms, WEIGHT), parameter)
    error = (-terms.log_likelihood).tolist()
    expected = torch.zeros_like(seen)
    for row in range(ROWS):
        for k in range(samples):
            others = [error[j][row] for j in range(samples) if j != k]
            baseline = sum(others) / len(others) if others else 0.0
            expected[k, row] = (error[k][row] - baseline) * slope[k, row] / (samples * ROWS)
    # Errors are below 100; a mean and a difference of up to 4 take 16 roundings, twice.
    bound = 16 * EPS * 100 * slope.abs() / (samples * ROWS)
    assert ((seen - expected).abs() <= bound).all()


@pytest.mark.parametrize("samples", [1, 4])
def test_a_constant_of_an_image_is_no_error_where_there_is_a_baseline(samples):
    """With one sample there is none, and the gradient moves by the constant times the score."""
    constant = torch.arange(1, ROWS + 1, dtype=torch.float64) * 1000

    def gradient(added):
        terms, slope, parameter = made_up(samples)
        terms = terms._replace(log_likelihood=terms.log_likelihood + added)
        (seen,) = torch.autograd.grad(objective.loss(terms, WEIGHT), parameter)
        return seen * (samples * ROWS), slope

    (before, slope), (after, _) = gradient(0 * constant), gradient(constant)
    expected = -constant * slope if samples == 1 else torch.zeros_like(slope)
    bound = 32 * EPS * (constant + 100) * slope.abs()  # 16 roundings of an error, twice
    assert ((after - before - expected).abs() <= bound).all()


IMAGES, BATCHES = 4, 20_000


def batch_gradients(kappa_grad, samples, batches, seed):
    """Of the loss at the bias of the raw concentration, over batches of the same four images.

    The rows of a stream are independent, so batches one below the other are many streams; a bias
    gets the sum of what arrives at its column. The decoder's first layer is scaled up until the
    likelihood depends on the point of the circle.
    """
    model = vae("2", parameterization="paper", kappa_grad=kappa_grad)
    with torch.no_grad():
        model.decoder[0].weight *= 20
    images = digits().train[:IMAGES].repeat(batches, 1)
    terms = model.terms(images, random.stream(seed, "user"), samples)
    loss = objective.loss(terms, torch.ones(1)) * batches
    (gradient,) = torch.autograd.grad(loss, terms.posterior.raw)
    return gradient[:, 2].double().unflatten(0, (batches, IMAGES)).sum(1)


@pytest.fixture(scope="module")
def found():
    """By gradient and samples, a number for each batch."""
    return {
        ("implicit", 1): batch_gradients("implicit", 1, BATCHES, seed=0),
        ("naive", 1): batch_gradients("naive", 1, BATCHES, seed=1),
        ("reinforce", 1): batch_gradients("reinforce", 1, BATCHES, seed=1),
        ("reinforce", 8): batch_gradients("reinforce", 8, BATCHES // 8, seed=2),
    }


def standard_errors_apart(one, other):
    spread = math.sqrt(one.var() / len(one) + other.var() / len(other))
    return abs(one.mean() - other.mean()) / spread


@pytest.mark.parametrize("samples", [1, 8])
def test_reinforce_has_the_mean_of_the_implicit_gradient(found, samples):
    """Within five standard errors, false-alarm rate 1e-6 in all; naive is off by more than ten."""
    implicit, seen = found["implicit", 1], found["reinforce", samples]
    assert standard_errors_apart(implicit, seen) < 5
    assert standard_errors_apart(implicit, found["naive", 1]) > 10
    assert standard_errors_apart(seen, found["naive", 1]) > 10


def test_the_baseline_lowers_the_spread_of_a_draw(found):
    """To less than half: the error is 66 nats, and its spread within an image 8."""
    alone, together = (found["reinforce", samples].std() for samples in (1, 8))
    assert math.sqrt(8) * together < alone / 2
