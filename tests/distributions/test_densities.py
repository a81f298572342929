"""Densities and moments of hvae.distributions against SciPy's, torch's and exact ones."""

import math

import exact
import numpy as np
import pytest
import scipy.stats
import torch
from directions import DOUBLE, circle, directions
from torch.distributions import VonMises, kl_divergence

from hvae import ops, random
from hvae.distributions import HypersphericalUniform, VonMisesFisher, VonMisesFisherProduct
from hvae.distributions.density import log_density_to_uniform

EPS = torch.finfo(DOUBLE).eps


@pytest.mark.parametrize("m", [3, 11, 50])
@pytest.mark.parametrize("kappa", [0.01, 1.0, 30.0, 700.0])
def test_agrees_with_scipy(m, kappa):
    """log_pdf and entropy where SciPy has them: to its rounding, 1e-14 (kappa + 100)."""
    loc = directions(m)
    vmf = VonMisesFisher(loc, kappa)
    other = scipy.stats.vonmises_fisher(exact.array(loc), kappa)
    z = vmf.sample((20,))
    atol = 1e-14 * (kappa + 100)
    expected = other.logpdf(exact.array(z))
    np.testing.assert_allclose(exact.array(vmf.log_prob(z)), expected, rtol=0, atol=atol)
    if math.isfinite(other.entropy()):
        assert vmf.entropy().item() == pytest.approx(other.entropy(), abs=atol)


def test_circle_is_the_von_mises_distribution():
    """m = 2: SciPy's to rounding, torch's to the 1e-7 of its Bessel polynomials (Abramowitz)."""
    mean, angle = torch.tensor(0.3, dtype=DOUBLE), torch.linspace(-3, 3, 31, dtype=DOUBLE)
    for kappa in (1e-3, 1.0, 30.0, 1e4):
        vmf = VonMisesFisher(circle(mean), kappa)
        value = vmf.log_prob(circle(angle))
        theirs = scipy.stats.vonmises(kappa, 0.3)
        expected = theirs.logpdf(exact.array(angle))
        np.testing.assert_allclose(exact.array(value), expected, rtol=1e-13, atol=1e-13)
        # SciPy subtracts kappa A and log I: eps kappa.
        assert vmf.entropy().item() == pytest.approx(
            float(theirs.entropy()), abs=1e-14 * kappa + 1e-13
        )
        kappas = torch.tensor(kappa, dtype=DOUBLE)
        torch.testing.assert_close(value, VonMises(mean, kappas).log_prob(angle), rtol=0, atol=5e-7)


def test_integrates_to_one():
    """On S^2 over the height w = mu.z, area 2 pi dw, by 60-point Gauss-Legendre."""
    x, weight = (torch.tensor(a) for a in np.polynomial.legendre.leggauss(60))
    x, weight = x.to(torch.get_default_device()), weight.to(torch.get_default_device())
    z = torch.stack((torch.sqrt(1 - x * x), torch.zeros_like(x), x), -1)
    vmf = VonMisesFisher(torch.tensor([0.0, 0.0, 1.0], dtype=DOUBLE), 7.0)
    assert (2 * math.pi * weight @ vmf.log_prob(z).exp()).item() == pytest.approx(1, rel=1e-13)


def test_log_density_keeps_its_digits_in_float32():
    """(k - L) - k v: at draws, within 16 eps of its parts' size and the rounding of z.

    A coordinate of z is off by eps/2, so v by |z - mu| eps/2 sqrt(m) and k v by that times k.
    """
    m, eps = 11, torch.finfo(torch.float32).eps
    loc = directions(2000, m, dtype=torch.float32)
    for kappa in (0.0, 1.0, 1e4, 1e8):
        vmf = VonMisesFisher(loc, kappa)
        z = vmf.sample()
        far, near = (torch.nn.functional.normalize(x.double(), dim=-1) for x in (z, loc))
        expected = VonMisesFisher(near, kappa).log_prob(far)
        apart = (far - near).norm(dim=-1)
        allowed = 16 * eps * (expected.abs() + 10) + kappa * apart * eps * math.sqrt(m) / 2
        assert ((vmf.log_prob(z).double() - expected).abs() <= allowed).all(), kappa


def test_moments(dtype):
    """E[z] = A mu; the variance is A' along mu and A/k across, 1/m at k = 0; its sum is 1 - A^2."""
    m = 5
    kappa = torch.tensor([0.0, 1e-3, 1.0, 50.0, 1e6], dtype=dtype)
    loc = torch.eye(m, dtype=dtype)[0]
    vmf = VonMisesFisher(loc, kappa)
    eps = 8 * torch.finfo(dtype).eps
    mean, slope = (t[:, 0].double() for t in ops.vmf(kappa.double()[:, None], [m], "A"))
    across = torch.where(kappa > 0, mean / kappa.double(), 1 / m)
    torch.testing.assert_close(vmf.mean[:, 0].double(), mean, rtol=eps, atol=0)
    assert (vmf.mean[:, 1:] == 0).all()
    torch.testing.assert_close(vmf.variance[:, 0].double(), slope, rtol=eps, atol=0)
    torch.testing.assert_close(vmf.variance[:, 3].double(), across, rtol=eps, atol=0)
    tilted = VonMisesFisher(directions(m, dtype=dtype), kappa)
    total = tilted.variance.sum(-1).double()
    rest = ops.vmf(kappa.double()[:, None], [m], "one_minus_A")[0][:, 0]
    torch.testing.assert_close(total, rest * (1 + mean), rtol=2 * eps, atol=0)
    assert torch.equal(tilted.mode, tilted.loc)
    uniform = HypersphericalUniform(m, dtype=dtype)
    torch.testing.assert_close(uniform.variance, vmf.variance[0], rtol=eps, atol=0)
    assert (uniform.mean == 0).all() and uniform.mode.isnan().all()


def test_covariance_matrix():
    """Its diagonal is the variance, its eigenvalues A' along loc and A/k across, of each shell."""
    dims, kappa = (2, 5), torch.tensor([[0.0, 3.0], [40.0, 1e-3], [1e6, 0.5]], dtype=DOUBLE)
    loc = torch.cat([directions(3, m) for m in dims], -1)
    product = VonMisesFisherProduct(loc, kappa, dims)
    covariance = product.covariance_matrix
    assert covariance.shape == (3, 7, 7) and torch.equal(covariance, covariance.mT)
    assert torch.equal(covariance.diagonal(dim1=-2, dim2=-1), product.variance)
    assert (covariance[:, :2, 2:] == 0).all()
    for shell, (mu, m) in enumerate(zip(loc.split(dims, -1), dims, strict=True)):
        vmf = VonMisesFisher(mu, kappa[:, shell])
        block = covariance[:, -m:, -m:] if shell else covariance[:, :m, :m]
        torch.testing.assert_close(vmf.covariance_matrix, block, rtol=0, atol=0)
        mean, slope = (t[:, 0] for t in ops.vmf(kappa[:, shell : shell + 1], [m], "A"))
        across = torch.where(kappa[:, shell] > 0, mean / kappa[:, shell], 1 / m)
        expected = across[:, None].repeat(1, m)
        expected[:, 0] = slope  # A' <= A/k, so that it is the first of them in order
        # Elements are off by a few eps of the larger eigenvalue, and eigenvalues by m times that.
        found = torch.linalg.eigvalsh(block)
        assert ((found - expected).abs() <= 8 * m * EPS * across[:, None]).all()
        along = (block @ mu[..., None])[..., 0]
        assert ((along - slope[:, None] * mu).abs() <= 8 * m * EPS * across[:, None]).all()
    uniform = HypersphericalUniform(5, dtype=DOUBLE).expand((2,))
    assert torch.equal(uniform.covariance_matrix, torch.eye(5, dtype=DOUBLE).expand(2, 5, 5) / 5)


def test_covariance_matrix_is_that_of_draws():
    """40,000 draws on two shells, 6 standard errors of each of 15 products: 3e-8 in all."""
    loc = torch.cat([directions(m) for m in (2, 3)], -1)
    vmf = VonMisesFisherProduct(loc, torch.tensor([2.0, 5.0], dtype=DOUBLE), (2, 3))
    apart = vmf.sample((40_000,)) - vmf.mean
    products = apart[:, :, None] * apart[:, None, :]
    error = (products.mean(0) - vmf.covariance_matrix).abs()
    assert (error <= 6 * products.std(0) / 200).all()


def test_every_loc_and_no_concentration_are_ordinary(dtype):
    """loc = +-e_1 and kappa = 0: finite values and gradients, and log_prob is -log |S|."""
    m = 6
    loc = torch.zeros(3, m, dtype=dtype)
    loc[0, 0], loc[1, 0], loc[2, 3] = 1, -1, -1
    loc.requires_grad_()
    kappa = torch.tensor([[0.0], [1e-6], [3.0], [1e8]], dtype=dtype, requires_grad=True)
    vmf = VonMisesFisher(loc, kappa)
    z = vmf.rsample((50,))
    assert z.isfinite().all()
    loss = z.sum() + vmf.log_prob(z.detach()).sum() + vmf.entropy().sum()
    loss = loss + kl_divergence(vmf, HypersphericalUniform(m, dtype=dtype)).sum()
    loss = loss + kl_divergence(vmf, VonMisesFisher(loc.flip(0), kappa.flip(0))).sum()
    assert all(g.isfinite().all() for g in torch.autograd.grad(loss, (loc, kappa)))
    flat = vmf.log_prob(z.detach())[:, 0]
    torch.testing.assert_close(flat, torch.full_like(flat, -ops.log_area(m)))
    along = (z[:, 3] * loc).sum(-1)
    assert (along > 0.999).all()


@pytest.mark.slow
@pytest.mark.parametrize("m", [2, 3, 11])
def test_density_gradchecks(m):
    """First and second derivatives of log_prob, entropy and mean in everything."""
    raw = torch.randn(3, m, dtype=DOUBLE, requires_grad=True)
    kappa = torch.tensor([0.3, 4.0, 60.0], dtype=DOUBLE, requires_grad=True)
    point = torch.randn(2, 3, m, dtype=DOUBLE, requires_grad=True)

    def density(raw, kappa, point):
        unit = torch.nn.functional.normalize
        vmf = VonMisesFisher(unit(raw, dim=-1), kappa)
        moments = vmf.mean, vmf.variance, vmf.covariance_matrix
        return vmf.log_prob(unit(point, dim=-1)), vmf.entropy(), *moments

    assert torch.autograd.gradcheck(density, (raw, kappa, point))
    assert torch.autograd.gradgradcheck(lambda *x: density(*x)[:3], (raw, kappa, point))


@pytest.mark.parametrize(
    "samples, rows, dims",
    [(1, 1, (2,)), (5, 7, (11,)), (3, 4, (2, 3, 7)), (500, 33, (10,) * 4), (2, 64, (16,) * 256)],
)
def test_log_density_of_draws_is_one_product(samples, rows, dims, dtype):
    """To the last bit the importance weight in its own form, whose v is that of the kernel."""
    kappa = torch.rand(rows, len(dims), dtype=dtype) * 100
    head = torch.randn(rows, sum(dims), dtype=dtype)
    _, v, _, _ = ops.sample(head, kappa, dims, random.stream(3, "user"), samples)
    constant, _ = ops.vmf(kappa, dims, "k_minus_L")
    log_weight = torch.einsum("krs,rs->kr", v, kappa) - constant.sum(-1)
    assert torch.equal(-log_density_to_uniform(kappa, v, dims), log_weight)


@pytest.mark.parametrize("dims", [(3,), (2, 3, 7)])
def test_log_density_takes_shapes_that_broadcast(dims):
    """Each element is that of its own v and concentration, and a wider v sets the dtype."""
    shells = len(dims)
    kappa = torch.rand(4, 1, shells) * 9
    v = torch.rand(5, 1, 3, shells, dtype=DOUBLE)
    value = log_density_to_uniform(kappa, v, dims)
    assert value.shape == (5, 4, 3) and value.dtype == DOUBLE
    constant, _ = ops.vmf(kappa, dims, "k_minus_L")
    expected = (constant.double() - kappa.double() * v).sum(-1)
    # The float32 sum of k - L: an eps of all terms for each addition; 0 <= k - L <= k <= 9.
    eps = torch.finfo(torch.float32).eps
    torch.testing.assert_close(value, expected, rtol=0, atol=eps * (shells - 1) * shells * 9)


def test_log_prob_is_relative_to_the_uniform_distribution():
    """log q - log p of the two classes, on one sphere and on a product."""
    dims = (2, 3, 7)
    loc = torch.cat([directions(4, m) for m in dims], -1)
    kappa = torch.rand(4, 3, dtype=DOUBLE) * 20
    product = VonMisesFisherProduct(loc, kappa, dims)
    sphere = VonMisesFisher(loc[:, 5:], kappa[:, 2])
    for vmf in (product, sphere):
        z = vmf.sample((6,))
        gaps = (z - vmf.loc).square() / 2
        v = torch.stack([part.sum(-1) for part in gaps.split(vmf.dims, -1)], -1)
        ratio = log_density_to_uniform(kappa[:, -v.shape[-1] :], v, vmf.dims)
        log_area = sum(ops.log_area(m) for m in vmf.dims)
        torch.testing.assert_close(vmf.log_prob(z), ratio - log_area, rtol=1e-13, atol=1e-13)
