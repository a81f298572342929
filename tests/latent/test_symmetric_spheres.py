"""Power Spherical and spherical Cauchy shells: weights, divergences, gradients, streams, runs."""

import math
from itertools import pairwise

import few
import pytest
import torch
from spaces import EPS, ROWS, SAMPLES, drawn, raw_of, space, stream

import hvae
from hvae import data
from hvae.distributions import PowerSpherical, SphericalCauchy, VonMisesFisher
from hvae.distributions.packed import log_area
from hvae.errors import Interrupted, Refused
from hvae.evaluation.of_run import evaluate_run
from hvae.latent import KAPPA_GRADIENTS, LatentOptions
from hvae.latent.power_spherical import PowerSphericalSpheres
from hvae.latent.spherical_cauchy import SphericalCauchySpheres
from hvae.latent.symmetric_sphere import unit
from hvae.model import objective
from hvae.observer import Observer
from hvae.runs.folder import BEST, METRICS
from hvae.runs.metrics import read_metrics

FAMILIES = {"p": PowerSphericalSpheres, "c": SphericalCauchySpheres}
kinds = pytest.mark.parametrize("kind", FAMILIES)


def cauchy(mean, kappa):
    """Of the rho in [0, 1) with kappa = 2 (m - 1) rho / (1 - rho)^2, by the quadratic formula."""
    ratio = kappa / (2 * (mean.shape[-1] - 1))
    return SphericalCauchy(mean, 1 - (torch.sqrt(4 * ratio + 1) - 1) / (2 * ratio))


DISTRIBUTIONS = {"p": lambda mean, kappa: PowerSpherical(mean, 2 * kappa), "c": cauchy}


def shells(text):
    """`p` and `c` before every size of a list such as "3,7"."""
    return lambda kind: ",".join(kind + size for size in text.split(","))


def distributions(product, raw, kind):
    """The posterior of every shell of a space of one kind, from raw parameters."""
    sizes = [component.size for component in product.components]
    direction, a = raw.split(product.raw_sizes, 1)
    parts = zip(direction.split(sizes, 1), a.unbind(1), sizes, strict=True)
    return [
        DISTRIBUTIONS[kind](torch.nn.functional.normalize(h, dim=1), m * (0.5 * k).exp())
        for h, k, m in parts
    ]


@kinds
@pytest.mark.parametrize("text", ["3", "7,7", "3,2,7,3"])
def test_a_shell_is_that_of_the_distribution(kind, text):
    """Log weights and divergences shell by shell, of equal widths and of widths in any order.

    rho of the formula above is off by eps and 1 - rho > 1/100 by 100 eps here, log q by m - 1 < 7
    times that.
    """
    product = space(shells(text)(kind))
    raw = raw_of(product, scale=1.5)
    draw = drawn(product, raw)
    each = distributions(product, raw, kind)
    sizes = [component.size for component in product.components]
    points = draw.z.split(sizes, -1)
    log_q = sum(q.log_prob(z) for q, z in zip(each, points, strict=True))
    kl = torch.stack([q.kl_to_uniform() for q in each], -1)
    assert draw.z.shape == (SAMPLES, ROWS, sum(sizes)) and draw.score is None
    for z in points:
        assert (z.norm(dim=-1) - 1).abs().max() < 16 * EPS
    torch.testing.assert_close(draw.log_weight, -log_area(sizes) - log_q, rtol=0, atol=1e4 * EPS)
    torch.testing.assert_close(draw.kl, kl, rtol=1e4 * EPS, atol=1e4 * EPS)


@kinds
def test_the_mean_of_the_importance_weights_is_1(kind):
    """E p/q = 1, and KL is the mean of -log p/q: five standard errors in each of 6 rows, 7e-6.

    Opposite to its mode a Power Spherical density is 0. The weights have a variance for 2 kappa <
    (m - 1)/2 alone, and here kappa is at most m exp(-2).
    """
    product = space(shells("3,11,3")(kind))
    raw = raw_of(product, scale=0.5)
    raw[:, 17:] -= 6
    assert raw[:, 17:].max() < -4
    draw = product.posterior(raw).draw(stream(), 10_000, with_log_weights=True)
    weights = draw.log_weight.exp()
    assert ((weights.mean(0) - 1).abs() <= 5 * weights.std(0) / 100).all()
    raw[:, 17:] += 6
    draw = product.posterior(raw).draw(stream(), 10_000, with_log_weights=True)
    apart = draw.kl.sum(1) + draw.log_weight.mean(0)
    assert (apart.abs() <= 5 * draw.log_weight.std(0) / 100).all()


@kinds
def test_gradients_of_draws_are_unbiased(kind):
    """d/d raw of E (a.z)^2 in every raw number, by draws and by the score, f centred.

    Five standard errors for each of 6 numbers.
    """
    rows, m = 50_000, 5
    product = space(f"{kind}{m}")
    raw = torch.tensor([0.6, -0.3, 0.8, 0.1, -0.5, 0.4], dtype=torch.float64)
    a = torch.tensor([1.0, 0.5, -1.0, 0.2, 0.7], dtype=torch.float64)
    wide = raw.expand(rows, -1).clone().requires_grad_()
    z = product.posterior(wide).draw(stream()).z[0]
    f = (z @ a).square() + z @ a
    (path,) = torch.autograd.grad(f.sum(), wide)
    other = raw.expand(rows, -1).clone().requires_grad_()
    (q,) = distributions(product, other, kind)
    (score,) = torch.autograd.grad(q.log_prob(z.detach()).sum(), other)
    score = (f - f.mean()).detach()[:, None] * score
    error = ((path.var(0) + score.var(0)) / rows).sqrt()
    assert ((path.mean(0) - score.mean(0)).abs() <= 5 * error).all()
    assert (path.mean(0).abs() > 5 * error).any()


@pytest.mark.parametrize("m", [2, 3, 11])
def test_a_power_spherical_draw_turns_with_its_mean_direction(m):
    """By the smallest rotation, as in test_sphere: w g - (mu.g) z less its part along mu."""
    product = space(f"p{m}")
    raw = raw_of(product, scale=1.0).requires_grad_()
    posterior = product.posterior(raw)
    draw = posterior.draw(stream(), SAMPLES)
    g = torch.randn(draw.z.shape, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    (seen,) = torch.autograd.grad(draw.z, raw, g)
    z, mu = draw.z.detach(), posterior.mode()
    length = raw[:, :m].detach().norm(dim=1, keepdim=True)
    w, along = ((x * mu).sum(-1, keepdim=True) for x in (z, g))
    turned = w * g - along * z
    turned = turned - (turned * mu).sum(-1, keepdim=True) * mu
    expected = (turned / length).sum(0)
    bound = (SAMPLES + 100) * EPS * 2 * g.norm(dim=-1).sum(0)[:, None] / length
    assert ((seen[:, :m] - expected).abs() <= bound).all()


@kinds
def test_the_curvature_at_the_mode_is_kappa(kind):
    """log q falls by kappa v to first order in v, as that of a von Mises-Fisher distribution.

    At v = 1e-4 the next term is a share of kappa v below (v + kappa v / m).
    """
    m, kappa = 6, torch.tensor([0.3, 4.0, 50.0], dtype=torch.float64)
    mean = torch.eye(m, dtype=torch.float64)[0].expand(3, m)
    family = FAMILIES[kind]([m], 0, LatentOptions()).double()
    q = family.distribution(mean[:, None], kappa[:, None])
    v = 1e-4
    z = torch.tensor([1 - v, math.sqrt(v * (2 - v)), 0, 0, 0, 0], dtype=torch.float64)
    fall = q.log_prob(mean[:, None])[:, 0] - q.log_prob(z.expand(3, 1, m))[:, 0]
    expected = VonMisesFisher(mean, kappa).log_prob(mean) - VonMisesFisher(mean, kappa).log_prob(z)
    assert ((fall - expected).abs() <= kappa * v * (v + kappa * v / m) + 100 * EPS).all()


@kinds
def test_a_draw_depends_on_its_place_only(kind):
    """Of rows, samples and components: alone, among others, and where a part begins elsewhere."""
    product = space(shells("5,3,5")(kind))
    raw = raw_of(product)
    whole = drawn(product, raw)
    part = product.posterior(raw[2:4]).draw(stream(row=2, sample=7), 3, with_log_weights=True)
    assert torch.equal(part.z, whole.z[7:10, 2:4])
    assert torch.equal(part.log_weight, whole.log_weight[7:10, 2:4])
    same = torch.zeros(ROWS, product.raw_width, dtype=torch.float64)
    first, _, third = drawn(product, same).z.split([5, 3, 5], -1)
    assert not torch.isclose(first, third, rtol=0, atol=1e-9).any()


def test_kinds_mix_and_share_no_numbers():
    """In the order of the list; equal parameters give other draws in every kind."""
    product = space("e4,c4,4,p4,s4,p4,c4")
    raw = torch.zeros(ROWS, product.raw_width, dtype=torch.float64)
    draw = drawn(product, raw)
    assert draw.z.shape == (SAMPLES, ROWS, 28) and draw.kl.shape == (ROWS, 7)
    parts = draw.z.split(4, -1)
    for i, one in enumerate(parts):
        assert i == 0 or (one.norm(dim=-1) - 1).abs().max() < 16 * EPS
        for other in parts[:i]:
            assert not torch.isclose(one, other, rtol=0, atol=1e-9).all(-1).any()
    # kappa = m: that of the list's order, whatever the order of the families.
    assert torch.equal(draw.kl[:, 3], draw.kl[:, 5]) and torch.equal(draw.kl[:, 1], draw.kl[:, 6])
    assert (draw.kl[:, 3] != draw.kl[:, 1]).all()


@kinds
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_inputs_at_the_edge(kind, dtype):
    """Raw directions of zeros, tiny and huge ones, concentrations of exp(-40) and exp(40)."""
    product = space(shells("4,2,4")(kind)).to(dtype)
    raw = raw_of(product).to(dtype)
    raw[0, :10], raw[1, :10], raw[2, :10] = 0, raw[1, :10] * 1e-30, raw[2, :10] * 1e30
    raw[3, 10:], raw[4, 10:] = -80, 36  # the largest kappa is 4 exp(18), beyond 1e8
    raw.requires_grad_()
    draw = product.posterior(raw).draw(stream(), 50, with_log_weights=True)
    (slope,) = torch.autograd.grad(draw.z.sum() + draw.kl.sum(), raw)
    eps = torch.finfo(dtype).eps
    for tensor in (*draw[:3], slope):
        assert tensor.isfinite().all()
    for z in draw.z.split([4, 2, 4], -1):
        assert (z.norm(dim=-1) - 1).abs().max() < 16 * eps
    assert draw.kl[3].abs().max() < 100 * eps
    assert (draw.kl[4] > 5).all()
    mode = product.posterior(raw).mode().detach()
    assert (draw.z[:, 4] - mode[4]).norm(dim=-1).quantile(0.5) < 2e-3


def test_directions_of_any_length():
    raw = torch.tensor([[3.0, 4.0], [0.0, 0.0], [1e-44, 0.0], [-2e38, 2e38]])
    expected = torch.tensor([[0.6, 0.8], [1, 0], [1, 0], [-math.sqrt(0.5), math.sqrt(0.5)]])
    torch.testing.assert_close(unit(raw), expected, rtol=0, atol=2e-7)


@kinds
def test_the_prior_is_uniform_and_the_weight_1(kind):
    product = space(shells("3,5")(kind))
    z = product.prior.sample(stream(), 2, 3)
    assert torch.equal(product.prior.log_prob(z), torch.full((2, 3), -log_area([3, 5])))
    assert FAMILIES[kind].auto_kl_weights([3, 40]) == [1.0, 1.0]


@kinds
def test_no_mixture(kind):
    family = FAMILIES[kind]([3], 0, LatentOptions())
    raw = [torch.zeros(2, 3), torch.zeros(2, 1)]
    for ask in (lambda: family.features(raw[0]), *(lambda f=f: f(raw) for f in _of(family))):
        with pytest.raises(Refused, match="has no mixture; allowed: uniform"):
            ask()


def _of(family):
    return family.ratio, family.members


@kinds
@pytest.mark.parametrize("kappa_grad", KAPPA_GRADIENTS)
def test_a_step_moves_every_raw_number(kind, kappa_grad):
    model = few.vae(f"{kind}5,2,{kind}3", kappa_grad=kappa_grad)
    terms = model.terms(few.digits().train[:20], hvae.random.stream(1, "user"))
    objective.loss(terms, torch.ones(3)).backward()
    gradient = model.to_posterior.bias.grad
    assert gradient.isfinite().all() and (gradient != 0).all()


class Cut(Observer):
    """Ends a run after its second epoch."""

    def epoch(self, line, epochs):
        if line["epoch"] == 2:
            raise KeyboardInterrupt


@kinds
def test_it_trains_resumes_and_is_evaluated(tmp_path, monkeypatch, kind):
    """The ELBO grows; a run that was cut ends with the same bits; KL is by component."""
    monkeypatch.setattr(data, "load", lambda name, folder=None, **options: few.digits())
    text = f"{kind}3,e2,{kind}4"
    settings = few.config(shells=text, epochs=4)
    hvae.train(settings, tmp_path / "whole", checkpoint_every=0)
    with pytest.raises(Interrupted):
        hvae.train(settings, tmp_path / "cut", checkpoint_every=0, observer=Cut())
    assert hvae.resume(tmp_path / "cut")["completed"] is True
    whole, cut = ((tmp_path / name / BEST).read_bytes() for name in ("whole", "cut"))
    assert whole == cut
    lines = read_metrics(tmp_path / "whole" / METRICS)
    elbo = [line["train"]["elbo"] for line in lines]
    assert all(later > earlier for earlier, later in pairwise(elbo))
    document = evaluate_run(tmp_path / "cut", samples=6)
    assert document["shells"] == text and len(document["kl_per_shell"]) == 3
