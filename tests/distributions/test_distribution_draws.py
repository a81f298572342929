"""Draws of hvae.distributions: their distribution, their gradients and their random numbers.

Statistical tests have a fixed seed and a stated false-alarm rate: by chance they fail once in so
many changes of the random numbers, never in a second run of the same code.
"""

import math

import exact
import numpy as np
import pytest
import torch
from directions import DOUBLE, directions

from hvae import ops, random
from hvae.distributions import HypersphericalUniformProduct, VonMisesFisher
from hvae.distributions.draws import uniform_draws


@pytest.mark.parametrize("m, draws", [(512, 10_000), (4096, 3_000)])
def test_distribution_of_theta_in_many_dimensions(m, draws, dtype):
    """Kolmogorov-Smirnov against the exact CDF; false-alarm rate 1e-6 a case, 2.4e-5 in all.

    tests/test_sampler.py has the same for m = 2 to 41.
    """
    kappas = (0.0, 1e-6, 1.0, 100.0, 1e4, 1e8)
    rows, size = 1000, len(kappas)
    head = directions(rows, m, dtype=dtype).repeat(1, size)
    kappa = torch.tensor(kappas, dtype=dtype).expand(rows, -1)
    angles = []
    for first in range(0, draws, rows):
        rng = random.stream(m, "user", row=first)
        angles.append(ops.sample(head, kappa, [m] * size, rng)[2][0])
    for shell, k in enumerate(kappas):
        theta = exact.array(torch.cat(angles)[:, shell].double())
        cdf = exact.theta_cdf(m, k, theta)
        assert exact.kolmogorov_distance(cdf) < exact.kolmogorov_bound(1e-6), k


@pytest.mark.parametrize("kappa", [0.0, 1.0, 1e4, 1e8])
def test_distribution_of_draws(kappa, dtype):
    """Of rsample itself, batch and sample axes together; false-alarm rate 1e-6 a case."""
    m = 11
    loc = directions(5, 4, m, dtype=dtype)
    z = VonMisesFisher(loc, kappa).sample((500, 2)).double()
    theta = 2 * torch.asin(((z - loc.double()).norm(dim=-1) / 2).clamp(max=1))
    cdf = exact.theta_cdf(m, kappa, exact.array(theta.flatten()))
    assert exact.kolmogorov_distance(cdf) < exact.kolmogorov_bound(1e-6)


def test_uniform_draws(dtype):
    """A coordinate of the uniform distribution has the angle CDF of kappa = 0; false alarm 1e-6."""
    z = HypersphericalUniformProduct((3, 7), dtype=dtype).expand((4,)).sample((2500,))
    assert z.dtype == dtype and z.shape == (2500, 4, 10)
    for m, part in zip((3, 7), z.double().split((3, 7), -1), strict=True):
        assert ((part.norm(dim=-1) - 1).abs() <= 4 * torch.finfo(dtype).eps).all()
        cdf = exact.theta_cdf(m, 0.0, exact.array(torch.acos(part[..., 1]).flatten()))
        assert exact.kolmogorov_distance(cdf) < exact.kolmogorov_bound(1e-6)


@pytest.mark.parametrize("dims", [(2,), (3, 7)])
def test_uniform_draws_are_posteriors_of_concentration_0(dims, dtype):
    """To the last bit, of rows and samples wherever they begin; on the device of the stream."""
    rng = random.stream(8, "prior", step=2, device=torch.get_default_device())
    z = uniform_draws(dims, rng, 3, 4, dtype)
    assert z.shape == (3, 4, sum(dims)) and z.dtype == dtype and z.device == rng.device
    head, kappa = torch.zeros(4, sum(dims), dtype=dtype), torch.zeros(4, len(dims), dtype=dtype)
    assert torch.equal(z, ops.sample(head, kappa, dims, rng, 3)[0])
    later = random.stream(8, "prior", step=2, row=1, sample=2, device=rng.device)
    assert torch.equal(uniform_draws(dims, later, 1, 3, dtype), z[2:, 1:])


def test_uniform_draws_from_a_later_shell(dtype):
    """A shell draws the same in whatever group it stands, and never what another shell draws."""
    rng = random.stream(8, "prior", device=torch.get_default_device())
    whole = uniform_draws((3, 5, 7), rng, 3, 4, dtype)
    for shell, columns in enumerate((slice(0, 3), slice(3, 8), slice(8, 15))):
        m = columns.stop - columns.start
        assert torch.equal(uniform_draws((m,), rng, 3, 4, dtype, shell), whole[..., columns])
    equal = uniform_draws((3, 3), rng, 3, 4, dtype)
    assert not (equal[..., :3] == equal[..., 3:]).any()


@pytest.mark.parametrize("m", [2, 3, 11])
def test_rsample_is_unbiased(m):
    """d/dkappa and d/dloc of E[exp(a.z)], draws folded from a batch and samples; 4 standard errors.

    Two numbers a case, 6 in all: a change of the random numbers fails by chance in 4e-4.
    """
    g = np.random.default_rng(m)
    mu, a = g.normal(size=m), g.normal(size=m)
    mu /= np.linalg.norm(mu)
    batch, samples = 200, 300
    loc = torch.tensor(mu).to(torch.get_default_device()).expand(batch, m).clone()
    kappa = torch.full((batch,), 3.0, dtype=DOUBLE)
    loc.requires_grad_(), kappa.requires_grad_()
    z = VonMisesFisher(loc, kappa).rsample((samples,))
    value = torch.exp(z @ torch.tensor(a).to(z.device))
    g_loc, g_kappa = torch.autograd.grad(value.mean(0).sum(), (loc, kappa))
    _, slope, pull = exact.exponential_moment(mu, 3.0, a)
    along = torch.tensor(pull / np.linalg.norm(pull)).to(z.device)
    for seen, expected in ((g_kappa, slope), (g_loc @ along, np.linalg.norm(pull))):
        assert abs(seen.mean() - expected) < 4 * seen.std() / math.sqrt(batch)


def test_naive_gradient_on_request():
    """dE[mu.z]/dkappa is the known share of A'; within 4 standard errors."""
    loc = torch.eye(4, dtype=DOUBLE)[1].expand(20_000, 4)
    kappa = torch.full((20_000,), 3.0, dtype=DOUBLE, requires_grad=True)
    z = VonMisesFisher(loc, kappa, kappa_grad="naive").expand((1, 20_000)).rsample()
    (slope,) = torch.autograd.grad(z[..., 1].sum(), kappa)
    expected = exact.naive_share(4, 3.0) * exact.special(4, 3.0, "dA")
    assert abs(slope.mean() - expected) < 4 * slope.std() / math.sqrt(20_000)


def test_torch_manual_seed_governs_draws():
    vmf = VonMisesFisher(directions(3, 4), 2.0)
    torch.manual_seed(1)
    first, second = vmf.sample((5,)), vmf.sample((5,))
    torch.manual_seed(1)
    assert torch.equal(vmf.rsample((5,)), first)
    assert not (first == second).any()
    keys = {vmf.sample()[0, 0].item() for _ in range(50)}
    assert len(keys) == 50
    loc = directions(3, 4).requires_grad_()
    assert not VonMisesFisher(loc, 2.0).sample().requires_grad


def test_no_second_derivative_of_a_draw():
    kappa = torch.ones(3, requires_grad=True)
    z = VonMisesFisher(directions(3, 4, dtype=torch.float32), kappa).rsample()
    (slope,) = torch.autograd.grad(z.sum(), kappa, create_graph=True)
    with pytest.raises(RuntimeError, match="no second derivative"):
        torch.autograd.grad(slope.sum(), kappa)
