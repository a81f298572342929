"""The projected normal distribution: its density, divergence and moments to high precision."""

import math

import mpmath
import numpy as np
import pytest
import scipy.special
import scipy.stats
import torch
from directions import DOUBLE, circle, directions
from numpy.polynomial.legendre import leggauss

from hvae import ops
from hvae.distributions import HypersphericalUniform, ProjectedNormal
from hvae.distributions.chi import NODES, _interval, log_chi_moment

EPS = 2.0**-52
DIMS = (2, 3, 11, 1000, 32768)


def exact_moment(t, m):
    """log E exp(t r) - max(t, 0)^2/2 and its derivative, r chi with m degrees of freedom.

    The trapezoid rule in log r, whose error falls exponentially in the reciprocal of the step, a
    quarter of the standard deviation at the peak: exp(-2 (4 pi)^2) for a Gaussian peak.
    """
    with mpmath.workdps(30):
        t = mpmath.mpf(t)
        (value, mean), (start, _) = _trapezoid(t, m), _trapezoid(mpmath.mpf(0), m)
        past = max(t, 0)
        return float(value - start - past**2 / 2), float(mean - past)


def _trapezoid(t, m):
    """log of the integral of r^(m-1) exp(-r^2/2 + t r), and the mean of r."""
    mode = (t + mpmath.sqrt(t * t + 4 * m)) / 2
    step = 1 / (4 * mpmath.sqrt(m + mode**2))
    total = moment = mpmath.mpf(0)
    for direction in (1, -1):
        for j in range(direction < 0, 10**6):
            x = direction * j * step
            term = mpmath.exp(-m * (mpmath.expm1(x) - x) - mode**2 / 2 * mpmath.expm1(x) ** 2)
            total, moment = total + term, moment + term * mpmath.exp(x)
            if term < mpmath.mpf(10) ** -22:
                break
    value = m * mpmath.log(mode) + mode**2 / 2 - m + mpmath.log(total * step)
    return value, mode * moment / total


@pytest.mark.parametrize("m", DIMS)
def test_moments_of_chi_against_high_precision(m):
    """To the 2e-14 of the rule, and 8 eps of the value or of the numbers that make the slope."""
    numbers = [10.0**e for e in (-12, -2, 0, 1, 2, 4, 8)]
    for t in (*numbers, *(-x for x in numbers), 0.0999, 0.1001, 3.0, 0.0):
        value, slope = exact_moment(t, m)
        x = torch.tensor(t, dtype=DOUBLE, requires_grad=True)
        found = log_chi_moment(x, m)
        (found_slope,) = torch.autograd.grad(found, x)
        rule = 2e-14 * (abs(value) if abs(t) < 0.1 else 1)
        assert abs(found.item() - value) <= rule + 8 * EPS * abs(value), t
        assert abs(found_slope.item() - slope) <= (2e-14 + 8 * EPS) * (1 + abs(slope)), t


def test_the_rule_is_good_by_bernstein_ellipses():
    """|error| <= (64/15) M rho^(-2N) / (1 - rho^-2) with N + 1 nodes, where |f| <= M on the ellipse
    rho (Trefethen 2013, theorem 19.3), for the best of many rho: 2e-14 of the integral.
    """
    across = np.exp(1j * np.linspace(0, np.pi, 100))
    rho = 1.2 * 1.05 ** np.arange(40)[:, None]
    points = (rho * across + 1 / (rho * across)) / 2
    x, weight = leggauss(200)
    for m in (2, 3, 6, 11, 31, 61, 100, 1000, 32768):
        for t in (0.0, *(sign * 10.0**e for sign in (1, -1) for e in range(-1, 7))):
            n = m - 1
            mode = 2 * n / (math.hypot(t, 2 * math.sqrt(n)) - t) if t <= 0 else 0
            mode = mode or (t + math.hypot(t, 2 * math.sqrt(n))) / 2
            low, high = (
                y.item() for y in _interval(torch.tensor(mode**2, dtype=DOUBLE, device="cpu"), n)
            )

            def log_size(y, n=n, mode=mode):
                return n * (np.log(np.abs(1 + y)) - y.real) - mode**2 * (y * y).real / 2

            def stretched(x, low=low, high=high):
                return low + (high - low) * (x + 1) / 2

            largest = log_size(stretched(points)).max(1, keepdims=True)
            bound = np.min(largest - 2 * (NODES - 1) * np.log(rho) - np.log1p(-(rho**-2.0)))
            assert 64 / 15 * np.exp(bound) <= 2e-14 * (
                weight @ np.exp(log_size(stretched(x + 0j)))
            ), (m, t)


def test_circle_has_its_closed_form():
    """exp(-k^2/2) (1 + t cdf(t)/pdf(t)) / (2 pi), t = k w (Mardia and Jupp 2000, 3.5.48)."""
    angle = torch.linspace(-3, 3, 31, dtype=DOUBLE)
    for k in (0.0, 0.05, 1.0, 5.0):
        z = circle(angle)
        found = ProjectedNormal(circle(torch.zeros((), dtype=DOUBLE)), k).log_prob(z).cpu().numpy()
        t = k * np.cos(angle.cpu().numpy())
        # Below t = -5 the two terms of the closed form cancel to 1/t^2.
        ratio = 1 + t * scipy.stats.norm.cdf(t) / scipy.stats.norm.pdf(t)
        expected = np.log(ratio) - k**2 / 2 - math.log(2 * math.pi)
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("m", [2, 3, 11])
@pytest.mark.parametrize("k", [1e-3, 0.7, 1.5, 6.0, 30.0])
def test_divergence_and_moments_against_a_fine_quadrature(m, k):
    """Gauss-Legendre of 200 nodes over the whole half circle, and log q/p by the moment of chi.

    In this rule (1 + a) log(1 + a) - a, of order k^2, is off by eps k, and log q/p by eps k^2.
    """
    x, weight = (
        torch.tensor(a).to(torch.get_default_device()) for a in scipy.special.roots_legendre(200)
    )
    cosine = torch.cos(math.pi / 2 * (1 + x))
    weight = weight * (1 - cosine**2) ** ((m - 2) / 2)
    weight = weight / weight.sum()
    t = k * cosine
    ratio = log_chi_moment(t, m) + t.clamp(min=0).square() / 2 - k**2 / 2
    above = torch.expm1(ratio)
    density = weight * (1 + above)
    mean = (weight * above * cosine).sum()
    q = ProjectedNormal(torch.eye(m, dtype=DOUBLE)[0], torch.tensor(k, dtype=DOUBLE))
    rtol = 1e-13 + 16 * EPS / k + 4 * EPS * k**2
    divergence = (density * ratio - weight * above).sum()
    torch.testing.assert_close(q.kl_to_uniform(), divergence, rtol=rtol, atol=0)
    torch.testing.assert_close(q.mean[0], mean, rtol=rtol, atol=0)
    # Of log q/p, of size k^2/2 + k sqrt(m), eps is lost: 3e-13 at k = 30.
    along = (density * (cosine - mean) ** 2).sum()
    torch.testing.assert_close(q.variance[0], along, rtol=1e-12, atol=0)
    across = (density * (1 - cosine**2)).sum() / (m - 1)
    torch.testing.assert_close(q.variance[1], across, rtol=1e-12, atol=0)


@pytest.mark.parametrize("m", DIMS)
def test_concentrations_of_any_size(m, dtype):
    """Finite values and gradients; 0 is uniform; at 1e8 log q is that of a normal in the tangent.

    There kl = log |S| - (m-1)/2 log(2 pi e / k^2) to (m/k)^2, and to 4 eps of its parts.
    """
    k = torch.tensor([0.0, 1e-8, 1e-3, 1.0, 50.0, 1e4, 1e8], dtype=dtype, requires_grad=True)
    loc = directions(m, dtype=dtype).requires_grad_()
    q = ProjectedNormal(loc, k)
    z = q.rsample((3,))
    assert z.dtype == dtype and q.support.check(z).all()
    kl = q.kl_to_uniform()
    far = q.log_prob(-loc.detach())
    loss = z.sum() + q.log_prob(z.detach()).sum() + kl.sum() + q.mean.sum() + q.variance.sum()
    assert all(g.isfinite().all() for g in torch.autograd.grad(loss + far[:4].sum(), (loc, k)))
    assert kl[0] == 0 and (kl.diff() >= 0).all() and (q.mean[0] == 0).all()
    torch.testing.assert_close(q.log_prob(z)[:, 0], torch.full_like(z[:, 0, 0], -ops.log_area(m)))
    scale = (m - 1) / 2 * math.log(2 * math.pi * math.e / 1e16)
    eps = torch.finfo(dtype).eps
    assert abs(kl[-1].item() - ops.log_area(m) + scale) <= 4 * eps * abs(scale) + (m / 1e8) ** 2
    # Opposite to loc the density is exp(-k^2/2) E exp(-k r), which is that of -loc.
    value = exact_moment(-50.0, m)[0] - 1250 - ops.log_area(m)
    assert abs(far[4].item() - value) <= (4 * eps + 3e-5 * (eps > 1e-10)) * abs(value)


def test_the_gradient_of_draws_by_loc_is_unbiased():
    """d/d mu of E[a.z] along a tangent: E[z] turned, so E[w] a.t; five standard errors."""
    rows, m, k = 100_000, 5, 2.0
    loc = torch.eye(m, dtype=DOUBLE)[0].expand(rows, m).clone().requires_grad_()
    q = ProjectedNormal(loc, k)
    (slope,) = torch.autograd.grad(q.rsample()[:, 1].sum(), loc)
    length = ProjectedNormal(loc[0].detach(), k).mean[0].item()
    seen = slope[:, 1]
    assert abs(seen.mean() - length) <= 5 * seen.std() / math.sqrt(rows)


def test_its_direction_is_that_of_a_normal_vector():
    """The angle from loc of 20,000 draws and of normal vectors; false alarm 1e-6."""
    loc, k = directions(4), 1.7
    z = ProjectedNormal(loc, k).sample((20_000,))
    x = k * loc + torch.randn(20_000, 4, dtype=DOUBLE)
    other = (x @ loc) / x.norm(dim=-1)
    found = scipy.stats.ks_2samp((z @ loc).cpu().numpy(), other.cpu().numpy())
    assert found.pvalue > 1e-6


def test_streams_of_normal_numbers_under_vmap():
    """Each stream of a batch has the numbers that it has alone."""
    streams = torch.tensor([[3, 0, 0, 0], [4, 0, 1, 0]])
    each = torch.vmap(lambda rng: ops.normal(rng, 2, 3, 5))(streams)
    for found, rng in zip(each, streams, strict=True):
        assert torch.equal(found, ops.normal(rng, 2, 3, 5))


def test_divergence_by_torch():
    q = ProjectedNormal(directions(3, 4), torch.tensor([0.1, 1.0, 9.0], dtype=DOUBLE))
    found = torch.distributions.kl_divergence(q, HypersphericalUniform(4, dtype=DOUBLE))
    assert torch.equal(found, q.kl_to_uniform())
    with pytest.raises(ValueError, match="dims"):
        torch.distributions.kl_divergence(q, HypersphericalUniform(5, dtype=DOUBLE))
