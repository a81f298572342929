"""hvae.latent.mixture: the density of a mixture over a product, and its draws."""

import math

import pytest
import torch
from spaces import raw_of, space
from torch.distributions import Independent, Normal

from hvae import random
from hvae.distributions import VonMisesFisher
from hvae.errors import Refused
from hvae.latent import Mixture
from hvae.latent.component import MOST_PRECISE, ComponentFamily, bounded

C = 7


def mixture(text, components=C, scale=2.0, **options):
    product = space(text, **options)
    generator = torch.Generator().manual_seed(8)
    weights = torch.randn(components, generator=generator, dtype=torch.float64)
    return Mixture(product, raw_of(product, components, scale), weights)


def log_prob_by_parts(prior, z):
    """sum_c w_c prod_i q_ci by the distributions of hvae and of torch."""
    terms = []
    members = prior.space.members(prior.raw)
    for c in range(len(prior)):
        total = prior.log_weights[c]
        first = 0
        for i, component in enumerate(prior.space.components):
            part = z[..., first : first + component.size]
            mode = members.mode()[c, first : first + component.size]
            if component.kind == "":
                kappa = members.concentration[c, i]
                total = total + VonMisesFisher(mode, kappa).log_prob(part)
            else:
                _, _, mean, log_variance = split(prior, c)
                deviation = bounded((-log_variance).exp()).rsqrt()
                total = total + Independent(Normal(mean, deviation), 1).log_prob(part)
            first += component.size
        terms.append(total)
    return torch.stack(terms).logsumexp(0)


def split(prior, c):
    """Directions, concentrations, means, log variances of `3,4,e2`."""
    return prior.raw[c].split(prior.space.raw_sizes)


def test_its_density_is_that_of_the_distributions():
    """To 1e-11 of terms of a few hundred: eps times their size and the dimension is 1e-12."""
    prior = mixture("3,4,e2")
    z = prior.sample(random.stream(1, "user"), 1, 50, torch.float64)[0]
    assert torch.allclose(prior.log_prob(z), log_prob_by_parts(prior, z), rtol=0, atol=1e-11)


def test_components_on_a_scaled_shell_are_plain():
    """Their raw parameters are those of the posterior, whose widths have no part in it."""
    scaled = space("s5")
    raw = raw_of(scaled, C, 2.0)
    plain = Mixture(space("5"), raw[:, :6], torch.zeros(C).double())
    prior = Mixture(scaled, raw, torch.zeros(C).double())
    z = prior.sample(random.stream(1, "user"), 1, 20, torch.float64)[0]
    assert torch.equal(prior.log_ratio(z), plain.log_ratio(z))
    assert torch.equal(z, plain.sample(random.stream(1, "user"), 1, 20, torch.float64)[0])


def test_the_order_of_the_list_changes_nothing():
    """Raw parameters are packed by kind, points stand in the order of the list."""
    together, mixed = mixture("3,4,e2"), mixture("3,e2,4")
    mixed.raw = together.raw
    z = together.sample(random.stream(1, "user"), 2, 9, torch.float64)
    a, b, e = z.split([3, 4, 2], -1)
    other = Mixture(mixed.space, together.raw, together.log_weights)
    assert torch.allclose(
        other.log_ratio(torch.cat([a, e, b], -1)), together.log_ratio(z), rtol=1e-13, atol=1e-13
    )


def test_it_integrates_to_one_on_the_circle():
    """The trapezoidal rule of a smooth periodic function is exact beyond its bandwidth."""
    prior = mixture("2")
    angle = 2 * math.pi * torch.arange(4000, dtype=torch.float64) / 4000
    z = torch.stack([angle.cos(), angle.sin()], -1)
    assert prior.log_ratio(z).exp().mean().item() == pytest.approx(1, abs=1e-12)


def test_it_integrates_to_one_on_the_line():
    prior = mixture("e1")
    z = torch.linspace(-60, 60, 200_001, dtype=torch.float64)[:, None]
    total = prior.log_prob(z).exp().sum() * 120 / 200_000
    assert total.item() == pytest.approx(1, abs=1e-10)


def test_the_mean_of_the_ratio_under_the_uniform_prior_is_one():
    """Within four standard errors of 200,000 draws: a false alarm in 16,000 seeds."""
    prior = mixture("3,4,e2", scale=0.7)
    z = prior.space.prior.sample(random.stream(3, "user"), 1, 200_000, torch.float64)[0]
    ratio = prior.log_ratio(z).exp()
    assert abs(ratio.mean() - 1) < 4 * ratio.std() / len(z) ** 0.5


def test_draws_have_the_moments_of_the_mixture():
    """Means of every coordinate, each within 4.5 standard errors: all 9 within, once in 16,000."""
    prior = mixture("3,4,e2")
    z = prior.sample(random.stream(2, "user"), 4, 25_000, torch.float64).flatten(0, 1)
    members = prior.space.members(prior.raw)
    kappa = members.concentration
    mode = members.mode()
    length = [
        torch.stack([VonMisesFisher(mode[c, a:b], kappa[c, i]).mean for c in range(C)])
        for i, (a, b) in enumerate(((0, 3), (3, 7)))
    ]
    expected = prior.log_weights.exp() @ torch.cat([*length, mode[:, 7:]], -1)
    assert ((z.mean(0) - expected).abs() < 4.5 * z.std(0) / len(z) ** 0.5).all()
    assert torch.allclose(z[:, :3].norm(dim=-1), torch.ones(len(z), dtype=z.dtype))


def test_a_draw_depends_on_its_place_alone():
    prior = mixture("3,e2")
    rng = random.stream(2, "prior")
    whole = prior.sample(rng, 3, 8)
    part = prior.sample(random.stream(2, "prior", row=5, sample=1), 2, 3)
    assert torch.equal(part, whole[1:, 5:])


def test_responsibilities_are_shares_of_the_density():
    prior = mixture("3,e2")
    z = prior.sample(random.stream(2, "user"), 1, 20, torch.float64)[0]
    share = prior.responsibilities(z)
    assert share.shape == (20, C) and torch.allclose(share.sum(-1), torch.ones(20).double())
    one = Mixture(prior.space, prior.raw[2:3], torch.zeros(1).double())
    expected = prior.log_weights[2] + one.log_ratio(z) - prior.log_ratio(z)
    assert torch.allclose(share[:, 2], expected.exp(), rtol=0, atol=1e-10)


@pytest.mark.parametrize("most", [MOST_PRECISE, 7.5])
def test_concentrations_are_bounded_and_small_ones_stay(most):
    x = torch.tensor([0.0, 1e-3, 1.0, 1e4, 1e30], dtype=torch.float64)
    assert torch.allclose(bounded(x, most), x / (1 + x / most))
    product = space("3,e1", prior_precision=most)
    raw = torch.zeros(1, product.raw_width, dtype=torch.float64)
    raw[0, 3], raw[0, 5] = 300.0, -300.0  # concentration, log variance
    concentration = product.members(raw).concentration
    assert (concentration <= most * (1 + 1e-15)).all() and (concentration > 0.99 * most).all()
    prior = Mixture(product, raw, torch.zeros(1).double())
    assert prior.log_ratio(prior.sample(random.stream(1, "user"), 1, 5, raw.dtype)).isfinite().all()


@pytest.mark.parametrize("text", ["3,4,e2", "2,e1,5"])
def test_gradients(text):
    product = space(text)
    raw = raw_of(product, 4, 1.0).requires_grad_()
    weights = torch.randn(4, dtype=torch.float64).requires_grad_()
    z = product.prior.sample(random.stream(1, "user"), 1, 6, torch.float64)[0].requires_grad_()

    def ratio(z, raw, w):
        return Mixture(product, raw, w).log_ratio(z)

    assert torch.autograd.gradcheck(ratio, (z, raw, weights))


def test_a_raw_direction_of_zeros_has_a_finite_gradient():
    product = space("3")
    raw = torch.zeros(2, product.raw_width, dtype=torch.float64, requires_grad=True)
    z = product.prior.sample(random.stream(1, "user"), 1, 6, torch.float64)[0]
    Mixture(product, raw, torch.zeros(2).double()).log_ratio(z).sum().backward()
    assert raw.grad.isfinite().all()


def test_a_family_without_a_mixture_says_so(monkeypatch):
    product = space("3")
    family = product.families[0]
    for name in ("features", "ratio", "members"):
        with pytest.raises(Refused, match="^--prior: a von Mises-Fisher shell .* allowed: uniform"):
            getattr(ComponentFamily, name)(family, None)
