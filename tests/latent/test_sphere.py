"""hvae.latent.sphere: draws, log weights and gradients of shells, and their parameterizations."""

import math

import pytest
import scipy.special
import torch
from spaces import EPS, ROWS, SAMPLES, drawn, raw_of, space, stream

from hvae import TrainConfig, ops
from hvae.errors import Refused
from hvae.latent import KAPPA_GRADIENTS, PARAMETERIZATIONS, LatentOptions, Product, parse
from hvae.latent.reinforce import proposal_score
from hvae.latent.sphere import Spheres


@pytest.mark.parametrize("m", [2, 3])
def test_log_weight_of_a_shell_against_closed_forms(m):
    """log p - log q = log F - k w with F = I0(k) at m = 2 and sinh(k)/k at m = 3."""
    product = space(f"{m}")
    raw = raw_of(product)
    draw = drawn(product, raw)
    posterior = product.posterior(raw)
    kappa, mu = posterior.concentration, posterior.mode()
    w = (draw.z * mu).sum(-1)
    log_f = {
        2: kappa + torch.from_numpy(scipy.special.i0e(kappa.numpy())).log(),
        3: kappa + torch.log(-torch.expm1(-2 * kappa) / (2 * kappa)),
    }[m]
    expected = log_f[:, 0] - kappa[:, 0] * w
    torch.testing.assert_close(
        draw.log_weight, expected, rtol=0, atol=100 * kappa.max().item() * EPS
    )


def test_log_weights_keep_their_digits_at_large_concentrations_in_float32():
    """At k = 1e6 on S^2 the weight is k v - log(2k); k w - L is off by 0.07 there."""
    product = Product(parse("3"))
    kappa = torch.full((ROWS, 1), 1e6)
    product.families[0].kappa = lambda raw, m: kappa
    draw = drawn(product, raw_of(product).float())
    v = ops.sample(raw_of(product).float()[:, :3], kappa, [3], stream(), SAMPLES)[1]
    expected = 1e6 * v[:, :, 0].double() - math.log(2e6)
    torch.testing.assert_close(draw.log_weight.double(), expected, rtol=2e-7, atol=2e-5)


def test_the_mode_is_where_a_concentrated_posterior_draws():
    product = space("2,3,11")
    product.families[0].kappa = lambda raw, m: torch.full_like(raw, 1e24)
    raw = raw_of(product)
    z = drawn(product, raw).z
    torch.testing.assert_close(product.posterior(raw).mode().expand_as(z), z, rtol=0, atol=1e-10)


def test_the_mode_of_a_zero_raw_direction_is_the_first_basis_vector():
    product = Product(parse("3,e2,2"))
    mode = product.posterior(torch.zeros(1, product.raw_width)).mode()
    assert mode.tolist() == [[1, 0, 0, 0, 0, 1, 0]]


KAPPA = {
    "exponential": lambda a, m: m * math.exp(a / 2),
    "scaled": lambda a, m: 4 * m * math.log1p(math.exp(a)) + 0.01,
    "paper": lambda a, m: math.log1p(math.exp(a)) + 1,
}


@pytest.mark.parametrize("parameterization", KAPPA)
def test_parameterizations(parameterization):
    """Of the raw number and the ambient size; at most eight roundings on either side."""
    product = space("5,e3,2", parameterization)
    raw = raw_of(product)
    seen = product.posterior(raw).concentration[:, [0, 2]]
    expected = [
        [KAPPA[parameterization](a, m) for a, m in zip(row, (5, 2), strict=True)]
        for row in raw[:, 7:9].tolist()
    ]
    expected = torch.tensor(expected, dtype=torch.float64)
    torch.testing.assert_close(seen, expected, rtol=8 * EPS, atol=0)


def test_every_parameterization_is_a_setting_and_is_tested():
    for name in PARAMETERIZATIONS:
        assert TrainConfig(parameterization=name).parameterization == name
    with pytest.raises(Refused, match=f"; allowed: {', '.join(PARAMETERIZATIONS)}$"):
        TrainConfig(parameterization="linear")
    assert set(KAPPA) == set(PARAMETERIZATIONS)
    assert Product(parse("3")).families[0].kappa is PARAMETERIZATIONS["exponential"].kappa


@pytest.mark.parametrize("text", ["e2,3,2", "3,2", "e2"])
def test_the_paper_has_no_radius(text):
    assert Product(parse(text), LatentOptions("paper")).radius is None


@pytest.mark.parametrize("parameterization", PARAMETERIZATIONS)
@pytest.mark.parametrize("kappa_grad", KAPPA_GRADIENTS)
def test_draws_have_length_1_under_every_parameterization(parameterization, kappa_grad):
    product = space("e2,3,2,11", parameterization, kappa_grad)
    _, *shells = drawn(product, raw_of(product)).z.split([2, 3, 2, 11], -1)
    for shell in shells:
        assert (shell.norm(dim=-1) - 1).abs().max() <= 8 * EPS


def test_reinforce_draws_as_naive_does():
    raw = raw_of(space("e2,3,2"))
    naive, reinforce = (
        drawn(space("e2,3,2", "exponential", kappa_grad), raw)
        for kappa_grad in ("naive", "reinforce")
    )
    assert torch.equal(naive.z, reinforce.z) and torch.equal(naive.kl, reinforce.kl)
    assert torch.equal(naive.log_weight, reinforce.log_weight)


@pytest.mark.parametrize("kappa_grad", ["naive", "reinforce"])
def test_gradients_through_a_draw_are_the_naive_ones(kappa_grad):
    product = space("3,2", "exponential", kappa_grad)
    raw = raw_of(product).requires_grad_()
    z = drawn(product, raw).z
    (seen,) = torch.autograd.grad(z.sum(), raw)
    parts = [part.detach().requires_grad_() for part in raw.split([5, 2], 1)]
    kappa = (0.5 * parts[1]).exp() * torch.tensor([3.0, 2.0], dtype=torch.float64)
    z, *_ = ops.sample(parts[0], kappa, [3, 2], stream(), SAMPLES, "naive")
    assert torch.equal(seen, torch.cat(torch.autograd.grad(z.sum(), parts), 1))


@pytest.mark.parametrize("text", ["3,2,11", "e2,3,e1,2,11"])
def test_the_score_is_0_and_has_the_gradient_of_every_shell(text):
    """sum over shells of the slope of its proposal times dkappa/da = kappa/2."""
    dims = [3, 2, 11]
    product = space(text, "exponential", "reinforce")
    raw = raw_of(product, scale=1.0).requires_grad_()
    draw = drawn(product, raw)
    assert draw.score.shape == (SAMPLES, ROWS) and (draw.score == 0).all()
    generator = torch.Generator().manual_seed(2)
    arriving = torch.randn(SAMPLES, ROWS, generator=generator, dtype=torch.float64)
    (seen,) = torch.autograd.grad(draw.score, raw, arriving)
    direction, a = raw[:, :16].detach(), raw[:, 16:19].detach()
    kappa = (0.5 * a).exp() * torch.tensor(dims, dtype=torch.float64)
    _, v, _, _ = ops.sample(direction, kappa, dims, stream(), SAMPLES)
    parts = arriving[..., None] * proposal_score(kappa, v, dims) * kappa / 2
    bound = (SAMPLES + 8) * EPS * parts.abs().sum(0)
    assert ((seen[:, 16:19] - parts.sum(0)).abs() <= bound).all()
    assert (seen[:, :16] == 0).all() and (seen[:, 19:] == 0).all()


@pytest.mark.parametrize("text", ["3,2", "e2,3,2"])
def test_a_draw_whose_numbers_depend_on_no_weight_has_no_score(text):
    def score(components, kappa_grad, fixed=False):
        product = space(components, "exponential", kappa_grad)
        raw = raw_of(product).requires_grad_(not fixed)
        return product.posterior(raw).draw(stream()).score

    assert score(text, "reinforce") is not None
    assert score(text, "implicit") is None and score(text, "naive") is None
    assert score("e2,e3", "reinforce") is None
    assert score(text, "reinforce", fixed=True) is None
    with torch.no_grad():
        assert score(text, "reinforce") is None


@pytest.mark.parametrize("m", [2, 3, 11])
@pytest.mark.parametrize("first", [0, 4])
@pytest.mark.parametrize("kappa_grad", KAPPA_GRADIENTS)
def test_the_gradient_by_the_mean_direction_is_that_of_the_point_drawn(m, first, kappa_grad):
    """The smallest rotation moves z with the mean direction mu: of g.z, with w = mu.z, that is
    w g - (mu.g) z, less its part along mu, over the length of the raw direction. With several
    samples every one has its own point.
    """
    family = Spheres([m], first, LatentOptions(kappa_grad=kappa_grad)).double()
    raw = raw_of(space(f"{m}"), scale=1.0).requires_grad_()
    posterior = family.posterior(raw.split([m, 1], 1))
    draw = posterior.draw(stream(), SAMPLES)
    generator = torch.Generator().manual_seed(2)
    g = torch.randn(draw.z.shape, generator=generator, dtype=torch.float64)
    (seen,) = torch.autograd.grad(draw.z, raw, g)
    z, mu = draw.z.detach(), posterior.mode().detach()
    length = raw[:, :m].detach().norm(dim=1, keepdim=True)
    w, along = ((x * mu).sum(-1, keepdim=True) for x in (z, g))
    turned = w * g - along * z
    turned = turned - (turned * mu).sum(-1, keepdim=True) * mu
    expected = (turned / length).sum(0)
    # A sum of `SAMPLES` terms below 2 |g| / length, each of fewer than 100 roundings.
    bound = (SAMPLES + 100) * EPS * 2 * g.norm(dim=-1).sum(0)[:, None] / length
    assert ((seen[:, :m] - expected).abs() <= bound).all()


@pytest.mark.parametrize("first", [0, 4])
def test_shells_draw_from_their_place_in_the_stream(first):
    """A family of spheres may stand behind other components; its prior draws there too."""
    dims = [3, 2]
    family = Spheres(dims, first, LatentOptions())
    direction, a = raw_of(Product(parse("3,2"))).float().split([5, 2], 1)
    posterior = family.posterior([direction, a])
    z, v, _, _ = ops.sample(direction, posterior.kappa, dims, stream(), SAMPLES, shell=first)
    draw = posterior.draw(stream(), SAMPLES)
    assert torch.equal(draw.z, z) and v.shape == (SAMPLES, ROWS, 2)
    flat = [torch.zeros(ROWS, width) for width in (5, 2)]
    uniform = ops.sample(*flat, dims, stream(), SAMPLES, shell=first)[0]
    assert torch.equal(family.prior.sample(stream(), SAMPLES, ROWS), uniform)
    elsewhere = Spheres(dims, first + 1, LatentOptions()).posterior([direction, a])
    assert not torch.isclose(elsewhere.draw(stream(), SAMPLES).z, z).all(-1).any()
