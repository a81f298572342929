"""ScaledVonMisesFisher: density, draws, divergence and gradients against quadrature and limits.

Statistical tests have a fixed seed and a stated false-alarm rate: by chance they fail once in so
many changes of the random numbers, never in a second run of the same code.
"""

import math

import pytest
import scaled
import torch
from directions import DOUBLE, directions
from torch.distributions import kl_divergence

from hvae import ops
from hvae.distributions import HypersphericalUniform, ScaledVonMisesFisher, VonMisesFisher
from hvae.distributions.packed import log_area

frames = pytest.mark.parametrize("frame", ops.SCALE_FRAMES)


def some(m, k, spread, frame, batch=()):
    """One with scales whose logarithms have this standard deviation."""
    scale = torch.exp(spread * torch.randn(*batch, m, dtype=DOUBLE))
    return ScaledVonMisesFisher(directions(*batch, m), k, scale, frame)


@frames
@pytest.mark.parametrize("m", [2, 3])
@pytest.mark.parametrize("k", [0.0, 1.0, 30.0, 1000.0])
@pytest.mark.parametrize("spread", [0.0, 0.5, 1.5])
def test_integrates_to_one(m, k, spread, frame):
    """By a product rule whose error falls exponentially with its nodes: 1e-10."""
    p = some(m, k, spread, frame)
    count = {2: 20_000, 3: 500 if spread > 1 else 250}[m]
    points, weight = (x.to(p.loc.device) for x in scaled.nodes(m, count))
    assert (weight @ p.log_prob(points).exp()).item() == pytest.approx(1, abs=1e-10)


@frames
@pytest.mark.parametrize("m", [2, 3, 4, 11, 41])
def test_the_mean_importance_weight_is_1(m, frame):
    """p/q over 200,000 draws of q, p uniform: within four standard errors, 10 cases: 6e-4."""
    q = some(m, 2.0, 0.15, frame)
    z = q.sample((200_000,))
    weight = torch.exp(HypersphericalUniform(m).log_prob(z) - q.log_prob(z))
    off = abs(weight.mean().item() - 1)
    assert off <= 4 * weight.std().item() / math.sqrt(len(z))


@frames
@pytest.mark.parametrize("m", [2, 3, 11])
def test_scales_of_1_are_von_mises_fisher(m, frame, dtype):
    """To rounding, whatever the concentration; a common scale in the fixed frame too."""
    eps = torch.finfo(dtype).eps
    loc = directions(20, m, dtype=dtype)
    for k in (0.0, 1.0, 1e3):
        plain = VonMisesFisher(loc, k)
        z = plain.sample()
        common = 1.0 if frame == "mean" else 5.0
        p = ScaledVonMisesFisher(loc, k, torch.full((m,), common, dtype=dtype), frame)
        atol = 64 * eps * (m + k)
        torch.testing.assert_close(p.log_prob(z), plain.log_prob(z), rtol=0, atol=atol)
        kl = kl_divergence(plain, HypersphericalUniform(m, dtype=dtype))
        torch.testing.assert_close(p.kl_to_uniform(64)[0], kl, rtol=8 * eps, atol=16 * m * eps)


@frames
@pytest.mark.parametrize("m", [2, 3])
def test_divergence_is_within_its_error(m, frame):
    """Four standard errors, as it says itself, of the value by quadrature: 12 cases, 8e-4."""
    for k in (0.5, 6.0, 60.0):
        p = some(m, k, 0.6, frame)
        loc, scale = p.loc.cpu(), p.scale.cpu()
        expected = scaled.Quadrature(loc, torch.tensor(k), scale, frame).divergence()
        value, error = p.kl_to_uniform(5000)
        assert error > 0
        assert abs(value.item() - expected.item()) <= 4 * error.item()
        estimate = kl_divergence(p, HypersphericalUniform(m, dtype=DOUBLE))
        assert abs(estimate.item() - expected.item()) <= 5 * error.item() * math.sqrt(5000 / 1024)


@frames
def test_density_and_draws_in_float32(frame):
    """At its own draws, against float64: the rounding of z moves log q by k |z - mu| sqrt(m) eps.

    Scales from 0.1 to 10 stretch that by up to 100.
    """
    m, eps = 11, torch.finfo(torch.float32).eps
    loc = directions(300, m, dtype=torch.float32)
    scale = 10 ** (2 * torch.rand(300, m) - 1)
    for k in (0.0, 1.0, 1e3):
        p = ScaledVonMisesFisher(loc, k, scale, frame)
        z = p.sample()
        wide = torch.nn.functional.normalize(loc.double(), dim=-1)
        exactly = ScaledVonMisesFisher(wide, k, scale.double(), frame)
        value = exactly.log_prob(torch.nn.functional.normalize(z.double(), dim=-1))
        allowed = 100 * eps * (value.abs() + k * math.sqrt(m) + m)
        assert ((p.log_prob(z).double() - value).abs() <= allowed).all()


@frames
@pytest.mark.parametrize("m", [2, 3, 5])
def test_gradients_of_log_prob(m, frame):
    """In value, loc, concentration and scale: by central differences."""
    p = some(m, 3.0, 0.4, frame)
    z = p.sample()

    def log_prob(value, loc, concentration, scale):
        value, loc = (torch.nn.functional.normalize(x, dim=-1) for x in (value, loc))
        return ScaledVonMisesFisher(loc, concentration, scale, frame).log_prob(value)

    given = [x.detach().clone().requires_grad_() for x in (z, p.loc, p.concentration, p.scale)]
    assert torch.autograd.gradcheck(log_prob, given)


def test_mean_direction_and_mode():
    """In the frame at the mean direction: loc, which is a mode while k >= m (s^2 - 1)."""
    m, k = 3, 9.0
    loc = torch.tensor([0.0, 0.0, 1.0], dtype=DOUBLE)
    side = torch.tensor([1e-3, 0.0, math.sqrt(1 - 1e-6)], dtype=DOUBLE)
    for wide, is_mode in ((1.99, True), (2.01, False)):
        scale = torch.tensor([wide, 0.5, 1.0], dtype=DOUBLE)
        p = ScaledVonMisesFisher(loc, k, scale)
        assert torch.equal(p.mode, loc)
        assert (p.log_prob(loc) > p.log_prob(side)).item() is is_mode, m
    mean = p.sample((100_000,)).mean(0)
    assert mean[2] > 0.3
    assert (mean[:2].abs() < 5 / math.sqrt(100_000)).all()
    with pytest.raises(NotImplementedError, match="no closed form in the fixed frame"):
        _ = ScaledVonMisesFisher(loc, k, scale, "fixed").mode


def test_shapes():
    p = ScaledVonMisesFisher(directions(4, 1, 5), [1.0, 2.0, 3.0], torch.ones(5, dtype=DOUBLE))
    assert p.batch_shape == (4, 3) and p.event_shape == (5,)
    assert p.rsample((2, 7)).shape == (2, 7, 4, 3, 5)
    assert p.rsample((0,)).shape == (0, 4, 3, 5)
    wide = p.expand((2, 4, 3))
    assert wide.sample().shape == (2, 4, 3, 5) and wide.frame == p.frame
    assert wide.log_prob(directions(5)).shape == (2, 4, 3)
    value, error = p.kl_to_uniform(8)
    assert value.shape == error.shape == (4, 3)
    uniform = HypersphericalUniform(5, dtype=DOUBLE)
    assert kl_divergence(p, uniform).shape == (4, 3)
    assert p.log_prob(directions(5)).exp().isfinite().all() and math.isfinite(log_area((5,)))
    half = ScaledVonMisesFisher(directions(5).half(), 1.0, [1.0] * 5)
    assert half.sample().dtype == torch.float32
    torch.manual_seed(3)
    first = p.sample()
    torch.manual_seed(3)
    assert torch.equal(first, p.sample())
    assert repr(p) == (
        "ScaledVonMisesFisher(loc: (4, 3, 5), concentration: (4, 3), scale: (4, 3, 5), frame: mean)"
    )


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        (([1.0, 0.0], 1.0, [1.0, 0.0]), ValueError, r"scale is \[1.0, 0.0\]; allowed: 1e-13 <="),
        (([1.0, 0.0], 1.0, [1.0, math.nan]), ValueError, "allowed: 1e-13 <= scale <= 1e13"),
        (([1.0, 0.0], 1.0, [1.0, 1e14]), ValueError, "allowed: 1e-13 <= scale <= 1e13"),
        (([1.0, 0.0], -1.0, [1.0, 1.0]), ValueError, "concentration is -1.0; allowed"),
        (([1.0, 1.0], 1.0, [1.0, 1.0]), ValueError, "loc is a vector of length"),
        (([1.0, 0.0], 1.0, [1.0]), ValueError, r"scale has shape \(1,\); allowed: \[..., 2\]"),
        ((1.0, 1.0, [1.0]), ValueError, r"loc has shape \(\); allowed"),
        (([1.0, 0.0], 1.0, [1.0, 1.0], "moving"), ValueError, "allowed: mean, fixed"),
        (([1.0, 0.0], 1.0, [1.0, 1.0], "mean", "no"), ValueError, "allowed: implicit, naive"),
        (([[1.0, 0.0]] * 2, [1.0] * 3, [1.0, 1.0]), ValueError, "allowed: shapes that broadcast"),
        (([1.0, 0.0], 1.0, "wide"), TypeError, "scale is a str"),
    ],
)
def test_refusals(arguments, error, words):
    with pytest.raises(error, match=words):
        ScaledVonMisesFisher(*arguments)


def test_other_spheres_are_refused():
    p = some(3, 1.0, 0.1, "mean")
    with pytest.raises(ValueError, match=r"has dims \(4,\); allowed: \(3,\)"):
        kl_divergence(p, HypersphericalUniform(4))
    with pytest.raises(ValueError, match="value has shape"):
        p.log_prob(directions(4))
