"""Scaled shells as components: weights, KL, modes, the score, and that they mix."""

import math

import few
import pytest
import torch
from spaces import EPS, drawn, raw_of, space, stream

from hvae import random
from hvae.distributions import ScaledVonMisesFisher
from hvae.latent import KAPPA_GRADIENTS, SCALE_FRAMES, LatentOptions
from hvae.latent.scaled_sphere import ScaledSpheres
from hvae.latent.sphere import Spheres
from hvae.model import objective

frames = pytest.mark.parametrize("frame", SCALE_FRAMES)


def normal(*shape):
    """Numbers of a fixed seed."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(3), dtype=torch.float64)


def options(frame, kappa_grad="implicit"):
    return LatentOptions(kappa_grad=kappa_grad, scale_frame=frame)


def family(sizes, frame, kappa_grad="implicit"):
    return ScaledSpheres(sizes, 0, options(frame, kappa_grad)).double()


def distributions(product, raw, frame):
    """The posterior of every shell of a space of scaled shells alone, from raw parameters."""
    sizes = [component.size for component in product.components]
    direction, a, b = raw.split(product.raw_sizes, 1)
    parts = zip(direction.split(sizes, 1), a.unbind(1), b.split(sizes, 1), sizes, strict=True)
    return [
        ScaledVonMisesFisher(
            torch.nn.functional.normalize(h, dim=1),
            m * (0.5 * k).exp(),
            (0.5 * (one - one.mean(1, keepdim=True))).exp(),
            frame,
        )
        for h, k, one, m in parts
    ]


@frames
def test_log_weights_are_those_of_the_distribution(frame):
    """log p - log q of every draw, from the kernel's v, |A x| and |A|, and from z alone.

    From z, v is off by |z - mu| eps times the stretch of up to s_max / s_min < e^5, k times that.
    """
    product = space("s3,s2,s7", "exponential", "implicit", frame)
    raw = raw_of(product, scale=0.8)
    draw = drawn(product, raw)
    log_q = sum(
        p.log_prob(z)
        for p, z in zip(
            distributions(product, raw, frame), draw.z.split([3, 2, 7], -1), strict=True
        )
    )
    expected = product.prior.log_prob(draw.z) - log_q
    assert draw.log_weight.shape == (40, 6)
    torch.testing.assert_close(draw.log_weight, expected, rtol=0, atol=2**13 * EPS * 100)


@frames
def test_the_divergence_is_the_mean_of_minus_the_log_weights(frame):
    """Within five standard errors for each of 6 rows: 4e-6."""
    product = space("s3,e1,s11", "exponential", "implicit", frame)
    raw = raw_of(product, scale=0.8)
    draw = product.posterior(raw).draw(stream(), 20_000, with_log_weights=True)
    spread = draw.log_weight.std(0) / math.sqrt(20_000)
    assert ((draw.kl.sum(1) + draw.log_weight.mean(0)).abs() <= 5 * spread).all()
    assert (draw.kl > -5 * spread[:, None]).all()


@frames
def test_equal_scales_are_a_plain_shell(frame):
    """The same draw and KL to rounding; b in common is nothing."""
    sizes, raw = [5, 2], normal(4, 7 + 2)
    plain = Spheres(sizes, 0, LatentOptions()).double().posterior(raw.split([7, 2], 1))
    b = torch.full((4, 7), 3.0, dtype=torch.float64)
    scaled = family(sizes, frame).posterior([*raw.split([7, 2], 1), b])
    one, other = (p.draw(stream(), 3, with_log_weights=True) for p in (scaled, plain))
    for x, y in zip(one[:3], other[:3], strict=True):
        torch.testing.assert_close(x, y, rtol=64 * EPS, atol=64 * EPS)
    assert torch.equal(scaled.concentration, plain.concentration)
    torch.testing.assert_close(scaled.mode(), plain.mode(), rtol=0, atol=4 * EPS)


def test_kinds_mix_in_any_order():
    """Each component's numbers stand in its place, as when it is alone in a family."""
    product = space("e2,s3,4,s2")
    assert product.raw_sizes == [4, 1, 5, 2, 5, 2, 2]
    raw = raw_of(product)
    draw = drawn(product, raw)
    assert draw.z.shape == (40, 6, 11) and draw.kl.shape == (6, 4)
    lengths = [part.norm(dim=-1) for part in draw.z.split([2, 3, 4, 2], -1)]
    for length in lengths[1:]:
        assert (length - 1).abs().max() < 8 * EPS
    scaled = product.families[1]
    assert isinstance(scaled, ScaledSpheres)
    alone = scaled.posterior(raw.split(product.raw_sizes, 1)[2:5]).draw(stream(), 40)
    assert torch.equal(draw.z[..., 2:5], alone.z[..., :3])
    assert torch.equal(draw.z[..., 9:], alone.z[..., 3:])
    assert torch.equal(draw.kl[:, [1, 3]], alone.kl)
    assert product.owners_of(torch.arange(product.raw_width) == 12).tolist() == [
        False,
        True,
        False,
        False,
    ]


def test_the_weight_of_its_divergence_is_1():
    assert ScaledSpheres.auto_kl_weights([3, 40]) == [1.0, 1.0]


@frames
def test_mode(frame):
    """Where draws go at a high concentration, shell by shell, without overflow."""
    sizes = [4, 3]
    direction = normal(3, 7)
    direction[1, :4] = 0
    b = normal(7, 3).T.contiguous()
    b[2] *= 1e3
    direction[2, :4] = 0
    kappa = torch.full((3, 2), 60.0, dtype=torch.float64)
    posterior = family(sizes, frame).posterior([direction, kappa, b])
    mode = posterior.mode()
    assert mode.isfinite().all()
    for part in mode.split(sizes, 1):
        assert (part.norm(dim=1) - 1).abs().max() < 4 * EPS
    z = posterior.draw(stream()).z[0]
    assert (z[:2] - mode[:2]).abs().max() < 1e-3


def test_the_score_weighs_the_sampled_part_of_the_divergence():
    """`reinforce` is unbiased: with the sampled KL in its cost, and off without it.

    The gradient of KL alone in the raw concentration, against `implicit`; five standard errors.
    """
    rows, m = 60_000, 2
    b = torch.tensor([[3.0, -3.0]], dtype=torch.float64).expand(rows, m)
    h = torch.tensor([[0.3, 1.0]], dtype=torch.float64).expand(rows, m)
    seen = {}
    for seed, kappa_grad in enumerate(("implicit", "reinforce", "without")):
        name = "reinforce" if kappa_grad == "without" else kappa_grad
        a = torch.zeros((rows, 1), dtype=torch.float64, requires_grad=True)
        draw = (
            family([m], "fixed", name)
            .posterior([h, a, b])
            .draw(random.stream(seed, "user"), with_log_weights=False)
        )
        loss = draw.kl[:, 0]
        if kappa_grad == "implicit":
            assert draw.score is None and draw.sampled_kl is None
        else:
            assert draw.sampled_kl.shape == (1, rows, 1) and not draw.sampled_kl.requires_grad
            if kappa_grad == "reinforce":
                loss = loss + draw.sampled_kl[0, :, 0] * draw.score[0]
        (seen[kappa_grad],) = torch.autograd.grad(loss.sum(), a)

    def apart(name):
        one, other = seen["implicit"], seen[name]
        return abs(one.mean() - other.mean()) / math.sqrt((one.var() + other.var()) / rows)

    assert apart("reinforce") < 5
    assert apart("without") > 5


def test_the_loss_weighs_it_too():
    """Of a model: the cost of a draw is its error and the weighed sampled KL, of scaled shells."""
    model = few.vae("s3,e2,3", kappa_grad="reinforce")
    rows = few.digits().train[:5]
    terms = model.terms(rows, random.stream(1, "user"), 4)
    assert terms.sampled_kl.shape == (4, 5, 3)
    assert (terms.sampled_kl[..., 1:] == 0).all() and (terms.sampled_kl[..., 0] != 0).any()
    weights = torch.tensor([0.5, 1.0, 1.0])
    (slope,) = torch.autograd.grad(objective.loss(terms, weights), terms.score, retain_graph=True)
    cost = (0.5 * terms.sampled_kl[..., 0] - terms.log_likelihood).detach()
    expected = (cost - cost.mean(0)) * (4 / 3) / cost.numel()
    torch.testing.assert_close(slope, expected, rtol=1e-4, atol=1e-4)
    plain = few.vae("3,e2", kappa_grad="reinforce").terms(rows, random.stream(1, "user"), 4)
    assert plain.sampled_kl is None


@frames
@pytest.mark.parametrize("kappa_grad", KAPPA_GRADIENTS)
def test_a_step_moves_every_raw_number(frame, kappa_grad):
    model = few.vae("s5,2,s3", kappa_grad=kappa_grad, scale_frame=frame)
    terms = model.terms(few.digits().train[:20], random.stream(1, "user"))
    objective.loss(terms, torch.ones(3)).backward()
    gradient = model.to_posterior.bias.grad
    assert gradient.isfinite().all() and (gradient != 0).all()
