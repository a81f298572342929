"""Draws around a mean direction at given angles, and the gradients of Power Spherical draws."""

import pytest
import torch
from torch.func import grad, jacfwd, jacrev, jvp, vmap

from hvae import random
from hvae.distributions import PowerSpherical
from hvae.distributions.around import around

pytestmark = pytest.mark.usefixtures("device")

DOUBLE = torch.float64


def directions(rows, m, dtype=DOUBLE):
    generator = torch.Generator("cpu").manual_seed(m)
    x = torch.randn(rows, m, generator=generator, dtype=DOUBLE, device="cpu")
    return torch.nn.functional.normalize(x, dim=-1).to(torch.get_default_device(), dtype)


@pytest.mark.parametrize("m", [2, 3, 4, 300])
def test_points_lie_at_their_angles(m, dtype):
    """Unit vectors to 8 eps, with cosines to the rounding of a sum of m terms of size 1/m."""
    mean, theta = directions(50, m, dtype), torch.rand(3, 50, dtype=dtype) * 3.1
    z, eps = around(mean, theta, random.stream(1, "user"), 2).double(), torch.finfo(dtype).eps
    assert z.shape == (3, 50, m)
    assert (z.norm(dim=-1) - 1).abs().max() < 8 * eps
    assert ((z * mean.double()).sum(-1) - theta.double().cos()).abs().max() < 8 * eps


def test_tangents_are_uniform():
    """Across the mean direction the second moments are 1/(m-1), to 5 standard errors."""
    mean = directions(1, 4).expand(40_000, -1)
    z = around(
        mean, torch.full((1, 40_000), torch.pi / 2, dtype=DOUBLE), random.stream(1, "user"), 0
    )
    expected = (torch.eye(4, dtype=DOUBLE) - mean[0][:, None] * mean[0]) / 3
    products = z[0, :, :, None] * z[0, :, None, :]
    assert ((products.mean(0) - expected).abs() < 5 * products.std(0) / 200).all()
    assert (z[0].mean(0).abs() < 5 / 200).all()


@pytest.mark.parametrize("m", [2, 3, 6])
def test_modes_agree_and_there_is_no_second(m):
    mean, rng = directions(3, m), random.stream(1, "user")
    theta = torch.rand(2, 3, dtype=DOUBLE) * 3

    def total(mean, theta):
        return around(mean, theta, rng, 1).sin().square().sum()

    for i in range(2):
        reverse = jacrev(total, i)(mean, theta)
        torch.testing.assert_close(jacfwd(total, i)(mean, theta), reverse, rtol=1e-12, atol=1e-13)
        for outer in (jacfwd, jacrev):
            with pytest.raises(RuntimeError, match="no second derivative"):
                outer(jacrev(total, i), i)(mean, theta)
    both = jvp(total, (mean, theta), (mean.flip(0), theta))[1]
    by_mean, by_theta = (jacrev(total, i)(mean, theta) for i in range(2))
    torch.testing.assert_close(both, (by_mean * mean.flip(0)).sum() + (by_theta * theta).sum())
    batch = torch.stack((theta, theta / 2))
    each = vmap(grad(total, 1), (None, 0))(mean, batch)
    for mine, one in zip(each, batch, strict=True):
        torch.testing.assert_close(mine, grad(total, 1)(mean, one), rtol=1e-13, atol=0)


@pytest.mark.parametrize("m", [2, 3, 8])
@pytest.mark.parametrize("k", [0.8, 15.0])
def test_gradients_of_power_spherical_draws(m, k):
    """Of E[(a.z)^2] in loc and in k, to 5 standard errors: the variance is finite at m = 3 too.

    E[z z'] = s mu mu' + t (I - mu mu'), t = E[sin^2] / (m-1), s = 1 - (m-1) t, and with
    x = (1 - w)/2 of Beta(d/2, k + d/2), d = m - 1: t = 4 E[x (1-x)] / d
    = (2k + d) / ((k + d) (k + d + 1)).
    """
    n, d, a = 100_000, m - 1, torch.arange(1.0, m + 1, dtype=DOUBLE) / m
    mean = directions(1, m)
    loc, concentration = (
        x.requires_grad_() for x in (mean.repeat(n, 1), torch.full((n,), k).double())
    )
    torch.manual_seed(m)
    z = PowerSpherical(loc, concentration, validate_args=False).rsample()
    by_loc, by_k = torch.autograd.grad((z @ a).square().sum(), (loc, concentration))
    along = mean[0] @ a
    t = (2 * k + d) / ((k + d) * (k + d + 1))
    slope = 2 / ((k + d) * (k + d + 1)) - t * (2 * k + 2 * d + 1) / ((k + d) * (k + d + 1))
    # (a.z)^2 = s along^2 + t (|a|^2 - along^2); s - t = 1 - m t.
    exact_k = slope * ((a @ a) - m * along**2)
    exact_loc = 2 * (1 - m * t) * along * (a - along * mean[0])
    for found, expected in ((by_k, exact_k), (by_loc, exact_loc)):
        error = found.std(0) / n**0.5
        assert ((found.mean(0) - expected).abs() < 5 * error + 1e-12).all()
