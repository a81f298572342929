"""`reference.sample`: exact distributions, exact means of its gradients, and its limits."""

import math

import exact
import numpy as np
import pytest
import torch

from hvae import random, reference


@pytest.mark.parametrize("m", [2, 3, 4, 11])
def test_draws_have_the_exact_distribution(m, dtype):
    """theta by Kolmogorov-Smirnov, false-alarm rate 1e-6 a case (2e-5 in all), fixed seed."""
    kappas = (0.0, 1.0, 1e4)
    raw = torch.randn(4000, m * len(kappas), generator=torch.Generator().manual_seed(m))
    kappa = torch.tensor(kappas, dtype=dtype).expand(4000, -1)
    rng = random.stream(m, "user")
    z, v, theta, _ = reference.sample(raw.to(dtype), kappa, [m] * len(kappas), rng)
    for shell, k in enumerate(kappas):
        cdf = exact.theta_cdf(m, k, theta[0, :, shell].double().numpy())
        assert exact.kolmogorov_distance(cdf) < exact.kolmogorov_bound(1e-6)
    eps = torch.finfo(dtype).eps
    norm = torch.linalg.vector_norm(z.double().unflatten(-1, (len(kappas), m)), dim=-1)
    assert (norm - 1).abs().max() < 4 * eps
    torch.testing.assert_close(v, 2 * torch.sin(theta / 2) ** 2, rtol=16 * eps, atol=0)


def test_axis_and_angle_of_a_draw():
    """mu.z = 1 - v and |z - mu|^2 = 2 v, any axis and scale; zero means e_1."""
    raw = torch.tensor(
        [[1.0, 0, 0, 0], [-1, 0, 0, 0], [0, 0, 0, 0], [3e-200, 4e-200, 0, 0], [3e200, 4e200, 0, 0]],
        dtype=torch.float64,
    )
    kappa = torch.full((5, 1), 3.0, dtype=torch.float64)
    z, v, _, kl = reference.sample(raw, kappa, [4], random.stream(1, "user"), samples=50)
    axes = [[1.0, 0, 0, 0], [-1, 0, 0, 0], [1, 0, 0, 0], [0.6, 0.8, 0, 0], [0.6, 0.8, 0, 0]]
    mu = torch.tensor(axes, dtype=torch.float64)
    torch.testing.assert_close((z * mu).sum(-1), 1 - v[..., 0], rtol=0, atol=1e-15)
    torch.testing.assert_close(((z - mu) ** 2).sum(-1), 2 * v[..., 0], rtol=1e-13, atol=0)
    torch.testing.assert_close(kl, reference.vmf(kappa, [4], "KL")[0], rtol=0, atol=0)


@pytest.mark.parametrize("m", [2, 3, 5])
def test_tangents_are_uniform(m):
    """A fixed axis: the tangent's direction is uniform in R^(m-1); moments within 5 errors."""
    raw = torch.zeros(20000, m, dtype=torch.float64)
    raw[:, -1] = 1
    kappa = torch.full((20000, 1), 2.0, dtype=torch.float64)
    z, _, theta, _ = reference.sample(raw, kappa, [m], random.stream(4, "user"))
    tangent = z[0, :, :-1] / torch.sin(theta[0])
    n = m - 1
    torch.testing.assert_close(
        torch.linalg.vector_norm(tangent, dim=-1), torch.ones(20000, dtype=torch.float64)
    )
    # E t = 0 with variance 1/n; E t t' = I/n, a product having variance at most 3/(n(n+2)).
    assert tangent.mean(0).abs().max() < 5 / math.sqrt(20000 * n)
    spread = tangent.T @ tangent / 20000 - torch.eye(n, dtype=torch.float64) / n
    assert spread.abs().max() < 5 * math.sqrt(3 / (n * (n + 2)) / 20000)


@pytest.mark.parametrize("m", [2, 3, 4, 11])
def test_gradients_of_draws_have_the_exact_mean(m):
    """Both fields against d E[exp(a.z)], within four standard errors (fixed seed)."""
    rows, kappa = 8000, 3.0
    g = np.random.default_rng(m)
    mu, a = g.normal(size=m), g.normal(size=m) / math.sqrt(m)
    mu /= np.linalg.norm(mu)
    raw = torch.from_numpy(mu).expand(rows, m).clone().requires_grad_()
    k = torch.full((rows, 1), kappa, dtype=torch.float64, requires_grad=True)
    z, *_ = reference.sample(raw, k, [m], random.stream(7, "user"))
    value = torch.exp(z[0] @ torch.from_numpy(a))
    g_raw, g_kappa = torch.autograd.grad(value.sum(), (raw, k))
    mean, slope, pull = exact.exponential_moment(mu, kappa, a)
    direction = torch.from_numpy(pull / np.linalg.norm(pull))
    for seen, expected in (
        (value.detach(), mean),
        (g_kappa[:, 0], slope),
        (g_raw @ direction, np.linalg.norm(pull)),
    ):
        assert abs(seen.mean() - expected) < 4 * seen.std() / math.sqrt(rows)
    assert (g_raw @ torch.from_numpy(mu)).abs().max() < 1e-14  # along the sphere


def test_a_gradient_field_is_not_differentiated():
    raw = torch.ones(2, 3, dtype=torch.float64, requires_grad=True)
    kappa = torch.ones(2, 1, dtype=torch.float64, requires_grad=True)
    z, *_ = reference.sample(raw, kappa, [3], random.stream(1, "user"))
    (slope,) = torch.autograd.grad((z**2).sum() + z.sum(), kappa, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        slope.sum().backward()
    with pytest.raises(ValueError, match="allowed: implicit, naive"):
        z, *_ = reference.sample(raw, kappa, [3], random.stream(1, "user"), 1, "none")
        z.sum().backward()


def test_shells_drawn_apart_are_those_drawn_together():
    """[a, b, c] at once is [a] and, from index 1 on, [b, c]: values and gradients, bit for bit."""
    dims = [5, 2, 3]
    raw = torch.randn(4, 10, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    kappa = torch.tensor([[0.5, 3.0, 40.0]], dtype=torch.float64).expand(4, -1)

    def draw(first, last):
        columns = slice(sum(dims[:first]), sum(dims[:last]))
        inputs = raw[:, columns].clone(), kappa[:, first:last].clone()
        for x in inputs:
            x.requires_grad_()
        rng = random.stream(1, "user")
        z, v, theta, kl = reference.sample(*inputs, dims[first:last], rng, 2, shell=first)
        g_raw, g_kappa = torch.autograd.grad((z**3).sum() + kl.sum(), inputs)
        return z, v, theta, kl, g_raw, g_kappa

    for whole, *parts in zip(draw(0, 3), draw(0, 1), draw(1, 3), strict=True):
        assert torch.equal(whole, torch.cat(parts, -1))
    two = raw[:, :7], kappa[:, :2], dims[:2], random.stream(1, "user")
    assert reference.sample(*two, shell=65533)[0].isfinite().all()
    for shell in (-1, 65534):
        with pytest.raises(ValueError, match=f"shell is {shell}; allowed: 0 to 65533 for 2 shells"):
            reference.sample(*two, shell=shell)


def test_a_nan_concentration_propagates():
    kappa = torch.tensor([[math.nan]], dtype=torch.float64)
    for m in (2, 3, 4):
        z, v, theta, kl = reference.sample(torch.ones(1, m), kappa, [m], random.stream(1, "user"))
        assert z.isnan().all() and v.isnan().all() and theta.isnan().all() and kl.isnan().all()
