"""hvae.distributions: densities, draws, divergences and fits against exact ones, and their manners.

Statistical tests have a fixed seed and a stated false-alarm rate: by chance they fail once in so
many changes of the random numbers, never in a second run of the same code.
"""

import doctest
import itertools
import json
import math
import pathlib
import textwrap

import exact
import mpmath
import numpy as np
import pytest
import scipy.stats
import torch
from hvae.benchmarks import accuracy, failures
from torch.distributions import (
    Categorical,
    Independent,
    MixtureSameFamily,
    Normal,
    VonMises,
    kl_divergence,
)
from torch.utils._python_dispatch import TorchDispatchMode

from hvae import distributions, divergence, ops, random
from hvae.distributions import (
    HypersphericalUniform,
    HypersphericalUniformProduct,
    VonMisesFisher,
    VonMisesFisherProduct,
)

DTYPES = {"float64": torch.float64, "float32": torch.float32}
DOUBLE = torch.float64


@pytest.fixture(params=exact.DEVICES, autouse=True)
def device(request):
    """New tensors are made there, values are validated, and the random numbers are fixed."""
    torch.distributions.Distribution.set_default_validate_args(True)  # torch.compile turns it off
    with torch.device(request.param):
        torch.manual_seed(5)
        yield request.param


@pytest.fixture(params=DTYPES)
def dtype(request):
    return DTYPES[request.param]


def directions(*shape, dtype=DOUBLE):
    return torch.nn.functional.normalize(torch.randn(*shape, dtype=DOUBLE), dim=-1).to(dtype)


def circle(angle):
    return torch.stack((torch.cos(angle), torch.sin(angle)), -1)


# ---- densities -----------------------------------------------------------------------------------


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


@pytest.mark.parametrize("m", [2, 3, 11])
def test_density_gradchecks(m):
    """First and second derivatives of log_prob, entropy and mean in everything."""
    raw = torch.randn(3, m, dtype=DOUBLE, requires_grad=True)
    kappa = torch.tensor([0.3, 4.0, 60.0], dtype=DOUBLE, requires_grad=True)
    point = torch.randn(2, 3, m, dtype=DOUBLE, requires_grad=True)

    def density(raw, kappa, point):
        unit = torch.nn.functional.normalize
        vmf = VonMisesFisher(unit(raw, dim=-1), kappa)
        return vmf.log_prob(unit(point, dim=-1)), vmf.entropy(), vmf.mean, vmf.variance

    assert torch.autograd.gradcheck(density, (raw, kappa, point))
    assert torch.autograd.gradgradcheck(lambda *x: density(*x)[:3], (raw, kappa, point))


# ---- draws ---------------------------------------------------------------------------------------


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


# ---- shapes and the company of torch.distributions -----------------------------------------------


@pytest.mark.parametrize(
    "loc, kappa, batch",
    [
        ((4,), (), ()),
        ((3, 4), (), (3,)),
        ((4,), (3,), (3,)),
        ((5, 1, 4), (3,), (5, 3)),
        ((0, 4), (), (0,)),
    ],
)
def test_shapes(loc, kappa, batch, dtype):
    vmf = VonMisesFisher(directions(*loc, dtype=dtype), torch.rand(kappa, dtype=dtype))
    assert vmf.batch_shape == batch and vmf.event_shape == (4,)
    assert vmf.loc.shape == (*batch, 4) and vmf.concentration.shape == batch
    for shape in ((), (2,), (2, 3), (0,), (3, 0, 2)):
        for z in (vmf.sample(shape), vmf.rsample(torch.Size(shape))):
            assert z.shape == (*shape, *batch, 4) and z.dtype == dtype
            assert vmf.log_prob(z).shape == (*shape, *batch)
    for value in (vmf.entropy(), kl_divergence(vmf, vmf), vmf.log_prob(directions(4, dtype=dtype))):
        assert value.shape == batch and value.dtype == dtype
    assert vmf.mean.shape == vmf.mode.shape == vmf.variance.shape == (*batch, 4)
    wider = vmf.expand((2, *batch))
    assert wider.batch_shape == (2, *batch) and wider.sample((7,)).shape == (7, 2, *batch, 4)
    assert torch.equal(wider.entropy()[1], vmf.entropy())
    assert "4" in repr(vmf)


def test_strided_parameters():
    loc, kappa = directions(6, 9, 5)[::2, 1::3], (torch.rand(3, 6, dtype=DOUBLE) * 9).T[::2]
    z = directions(6, 3, 5).transpose(0, 1).transpose(0, 1)[::2]
    strided = VonMisesFisher(loc, kappa)
    plain = VonMisesFisher(loc.contiguous(), kappa.contiguous())
    torch.manual_seed(3)
    draw = strided.sample((2,))
    torch.manual_seed(3)
    assert torch.equal(draw, plain.sample((2,)))
    assert torch.equal(strided.log_prob(z), plain.log_prob(z.contiguous()))
    assert torch.equal(strided.entropy(), plain.entropy())


def test_product_is_its_shells():
    """Sums over shells, means side by side, and one launch for all of them."""
    dims = (2, 3, 7)
    loc = torch.cat([directions(4, m) for m in dims], -1)
    kappa = torch.rand(4, 3, dtype=DOUBLE) * 20
    packed = VonMisesFisherProduct(loc, kappa, dims)
    other = VonMisesFisherProduct(loc.flip(0), kappa.flip(0), dims)

    def parts(product):
        locs, kappas = product.loc.split(dims, -1), product.concentration.unbind(-1)
        return list(map(VonMisesFisher, locs, kappas))

    with Launches() as launches:
        z = packed.sample((5,))
    assert launches.names == ["hvae::sample"]
    points = z.split(dims, -1)
    whole = {
        "log_prob": packed.log_prob(z),
        "entropy": packed.entropy(),
        "kl": kl_divergence(packed, other),
        "uniform": kl_divergence(packed, HypersphericalUniformProduct(dims, dtype=DOUBLE)),
    }
    shells = parts(packed)
    summed = {
        "log_prob": sum(p.log_prob(x) for p, x in zip(shells, points, strict=True)),
        "entropy": sum(p.entropy() for p in shells),
        "kl": sum(kl_divergence(p, q) for p, q in zip(shells, parts(other), strict=True)),
        "uniform": sum(ops.log_area(m) for m in dims) - sum(p.entropy() for p in shells),
    }
    for name, value in whole.items():
        torch.testing.assert_close(value, summed[name], rtol=1e-12, atol=0), name
    torch.testing.assert_close(packed.mean, torch.cat([p.mean for p in shells], -1))
    torch.testing.assert_close(packed.variance, torch.cat([p.variance for p in shells], -1))
    assert packed.expand((2, 4)).sample().shape == (2, 4, 12)
    shell = VonMisesFisherProduct(loc[:, :2], kappa[:, :1], (2,))
    torch.testing.assert_close(
        kl_divergence(shell, parts(other)[0]), kl_divergence(shells[0], parts(other)[0])
    )


class Launches(TorchDispatchMode):
    """The names of the kernels of hvae that run inside."""

    def __init__(self):
        super().__init__()
        self.names = []

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        if function.namespace == "hvae":
            self.names.append(function._schema.name)
        return function(*args, **(kwargs or {}))


def test_independent_and_mixture():
    loc, kappa = directions(4, 3), torch.tensor([0.5, 3.0, 20.0, 100.0], dtype=DOUBLE)
    vmf = VonMisesFisher(loc, kappa)
    z = vmf.sample((6,))
    together = Independent(vmf, 1)
    torch.testing.assert_close(together.log_prob(z), vmf.log_prob(z).sum(-1))
    uniform = Independent(HypersphericalUniform(3, dtype=DOUBLE).expand((4,)), 1)
    expected = kl_divergence(vmf, HypersphericalUniform(3, dtype=DOUBLE)).sum()
    torch.testing.assert_close(kl_divergence(together, uniform), expected)

    weights = torch.tensor([0.1, 0.2, 0.3, 0.4], dtype=DOUBLE)
    mixture = MixtureSameFamily(Categorical(weights), vmf)
    x = mixture.sample((20_000,))
    by_hand = torch.logsumexp(vmf.log_prob(x[:, None]) + weights.log(), -1)
    torch.testing.assert_close(mixture.log_prob(x), by_hand)
    # Four standard errors of each of three means: 2e-4.
    error = (x.mean(0) - mixture.mean).abs() / (x.std(0) / math.sqrt(20_000))
    assert error.max() < 4
    torch.testing.assert_close(mixture.variance, x.var(0), rtol=0.05, atol=0)


def everything(raw, kappa, value):
    """Every method of a distribution made inside."""
    unit = torch.nn.functional.normalize
    vmf = VonMisesFisher(unit(raw, dim=-1), kappa)
    uniform = HypersphericalUniform(3, dtype=raw.dtype)
    packed = VonMisesFisherProduct(vmf.loc, kappa[:, None], (3,), validate_args=True)
    mixture = MixtureSameFamily(Categorical(torch.ones_like(kappa)), vmf)
    z = vmf.rsample((2,))
    draws = z * value + packed.rsample() + vmf.expand((2, len(kappa))).rsample()
    densities = vmf.log_prob(z) + packed.log_prob(z) + uniform.log_prob(z)
    mixed = mixture.log_prob(unit(value, dim=-1)) + Independent(vmf, 1).log_prob(z).sum()
    divergences = kl_divergence(vmf, uniform) + kl_divergence(vmf, packed.expand((len(kappa),)))
    moments = vmf.entropy() + vmf.mean.sum(-1) + vmf.variance.sum(-1)
    return draws.sum() + densities.sum() + mixed.sum() + divergences.sum() + moments.sum()


def test_compile_fullgraph():
    """One graph, the same key from torch's generator, the same gradients.

    torch.compile turns the validation of torch's own distributions off, here before the first one.
    """
    torch._dynamo.reset()
    torch.distributions.Distribution.set_default_validate_args(False)
    raw = torch.randn(4, 3, dtype=DOUBLE, requires_grad=True)
    kappa = (torch.rand(4, dtype=DOUBLE) * 9).requires_grad_()
    value = torch.randn(4, 3, dtype=DOUBLE)
    compiled = torch.compile(everything, fullgraph=True, backend="aot_eager")
    results = []
    for function in (everything, compiled):
        torch.manual_seed(7)
        loss = function(raw, kappa, value)
        results.append((loss, *torch.autograd.grad(loss, (raw, kappa))))
    for eager, graph in zip(*results, strict=True):
        torch.testing.assert_close(graph, eager)


def test_compile_for_changing_batches():
    torch._dynamo.reset()
    torch.distributions.Distribution.set_default_validate_args(False)

    def step(loc, kappa):
        return VonMisesFisher(loc, kappa).rsample((2,))

    compiled = torch.compile(step, fullgraph=True, backend="aot_eager", dynamic=True)
    for rows in (3, 5):
        loc, draws = directions(rows, 4), []
        for function in (step, compiled):
            torch.manual_seed(7)
            draws.append(function(loc, torch.ones(rows, dtype=DOUBLE)))
        torch.testing.assert_close(*draws)


def test_compiled_code_validates_nothing():
    torch._dynamo.reset()

    def density(loc, kappa, z):
        return VonMisesFisher(loc, kappa, validate_args=True).log_prob(z)

    compiled = torch.compile(density, fullgraph=True, backend="aot_eager")
    assert compiled(directions(4), torch.tensor(-1.0, dtype=DOUBLE), directions(4)).isnan()


def test_vmap():
    raw, kappa = torch.randn(4, 3, dtype=DOUBLE), torch.rand(4, dtype=DOUBLE) * 9
    points, others = directions(4, 3), directions(4, 3)

    def density(raw, kappa, z, other):
        vmf = VonMisesFisher(torch.nn.functional.normalize(raw, dim=-1), kappa)
        apart = kl_divergence(vmf, VonMisesFisher(other, kappa + 1))
        return vmf.log_prob(z), vmf.entropy(), vmf.mean, apart

    batched = torch.vmap(density)(raw, kappa, points, others)
    for one, all_ in zip(batched, density(raw, kappa, points, others), strict=True):
        torch.testing.assert_close(one, all_, rtol=1e-14, atol=1e-14)

    def draw(loc, kappa):
        return VonMisesFisher(loc, kappa).rsample((7,))

    for randomness in ("same", "different"):
        z = torch.vmap(draw, randomness=randomness)(points, kappa + 1e6)
        assert z.shape == (4, 7, 3) and z.flatten().unique().numel() == z.numel()
        assert ((z * points[:, None]).sum(-1) > 0.99).all()


def test_half_parameters_are_computed_in_float32():
    for reduced in (torch.float16, torch.bfloat16):
        loc = directions(9, 12).to(reduced).requires_grad_()
        vmf = VonMisesFisher(loc, torch.full((9,), 1e3, dtype=reduced))
        z = vmf.rsample((20,))
        assert z.dtype == vmf.mean.dtype == torch.float32 and vmf.loc.dtype == reduced
        assert vmf.log_prob(z).dtype == vmf.entropy().dtype == torch.float32
        exactly = torch.nn.functional.normalize(loc.float(), dim=-1)
        torch.testing.assert_close(vmf.log_prob(z), VonMisesFisher(exactly, 1e3).log_prob(z))
        assert torch.autograd.grad(z.sum(), loc)[0].dtype == reduced


def test_mixed_precision_is_promoted():
    vmf = VonMisesFisher(directions(4, dtype=torch.float32), torch.tensor(3.0, dtype=DOUBLE))
    assert vmf.sample().dtype == vmf.entropy().dtype == DOUBLE
    narrow = VonMisesFisher(directions(4, dtype=torch.float32), 3.0)
    assert kl_divergence(narrow, vmf).dtype == narrow.log_prob(directions(4)).dtype == DOUBLE


# ---- divergences ---------------------------------------------------------------------------------


def test_bregman_against_the_table(dtype):
    """Relative error of the part that cancels: 1e-13, float32 1e-5, whatever the distance."""
    pairs = accuracy.read(exact.TABLES / "divergence.csv.gz")
    rows = accuracy.exactly(pairs, np.float64 if dtype == DOUBLE else np.float32)
    bar = 1e-13 if dtype == DOUBLE else 1e-5
    for nu in np.unique(rows["nu"]):
        here = rows["nu"] == nu
        k1, k2 = (torch.tensor(rows[k][here].astype(np.float64), dtype=dtype) for k in ("k1", "k2"))
        k2.requires_grad_()
        value = divergence.bregman(k1[:, None], k2[:, None], (round(2 * float(nu) + 2),))[:, 0]
        (rise,) = torch.autograd.grad(value.sum(), k2)
        for name, result in (("B", value), ("rise", rise)):
            expected = rows[name][here]
            error = exact.relative_error(exact.array(result), expected)
            error[np.abs(expected) < torch.finfo(dtype).tiny] = 0
            worst, where = exact.worst(error, k1=rows["k1"][here], k2=rows["k2"][here])
            assert worst <= bar, (name, nu, where)


def exact_divergence(k1, mu1, k2, mu2):
    """KL on S^2 in 60 digits: L = log(sinh k / k)."""
    with mpmath.workdps(60):
        k1, k2 = mpmath.mpf(k1), mpmath.mpf(k2)
        mean = mpmath.coth(k1) - 1 / k1
        apart = sum((mpmath.mpf(a) - mpmath.mpf(b)) ** 2 for a, b in zip(mu1, mu2, strict=True)) / 2

        def log_norm(k):
            return k + mpmath.log(-mpmath.expm1(-2 * k) / (2 * k))

        bregman = log_norm(k2) - log_norm(k1) - mean * (k2 - k1)
        return float(bregman + k2 * mean * apart)


@pytest.mark.parametrize("k1", [1e-3, 2.0, 1e6])
def test_divergence_of_near_distributions(k1):
    """Relative 1e-13, down to one float64 apart and whichever of the two terms leads."""
    angles = torch.tensor([0.0, 1e-9, 1e-5, 0.3], dtype=DOUBLE)
    base = torch.tensor(0.7, dtype=DOUBLE)
    mu1, mu2 = (torch.nn.functional.pad(circle(a), (0, 1)) for a in (base, base + angles))
    for factor in (math.nextafter(1, 2), 1 + 1e-12, 1 - 1e-9, 1 + 1e-6, 0.9, 3.9, 4.1, 100):
        k2 = k1 * factor
        value = kl_divergence(VonMisesFisher(mu1, k1), VonMisesFisher(mu2, k2))
        for i, mu in enumerate(mu2.tolist()):
            expected = exact_divergence(k1, mu1.tolist(), k2, mu)
            assert value[i].item() == pytest.approx(expected, rel=1e-13), (factor, i)


def test_divergences_are_means_of_log_ratios():
    """Every registered pair, 40,000 draws, 4 standard errors each: 3e-4 in all."""
    vmf = VonMisesFisher(directions(5), 6.0)
    other = VonMisesFisher(directions(5), 2.0)
    uniform = HypersphericalUniform(5, dtype=DOUBLE)
    for p, q in itertools.product((vmf, other, uniform), repeat=2):
        z = p.sample((40_000,))
        gap = p.log_prob(z) - q.log_prob(z)
        value = kl_divergence(p, q)
        assert value >= 0 and value.shape == ()
        assert abs(gap.mean() - value) <= 4 * gap.std() / 200 + 1e-12


def test_divergence_gradchecks():
    """First and second derivatives, near and far concentrations, one shell and several."""
    dims = (2, 3)
    raw = [torch.randn(4, 5, dtype=DOUBLE, requires_grad=True) for _ in range(2)]
    k1 = torch.tensor([[0.5, 9.0], [3.0, 50.0], [7.0, 1.0], [2.0, 2.0]], dtype=DOUBLE)
    k2 = torch.tensor([[0.6, 2.0], [2.999, 9.0], [0.1, 30.0], [2.0, 2.1]], dtype=DOUBLE)

    def shells(raw, kappa):
        parts = [torch.nn.functional.normalize(x, dim=-1) for x in raw.split(dims, -1)]
        return VonMisesFisherProduct(torch.cat(parts, -1), kappa, dims)

    def between(raw1, k1, raw2, k2):
        p, q = shells(raw1, k1), shells(raw2, k2)
        uniform = HypersphericalUniformProduct(dims, dtype=DOUBLE)
        return kl_divergence(p, q), kl_divergence(p, uniform), kl_divergence(uniform, q)

    inputs = (raw[0], k1.requires_grad_(), raw[1], k2.requires_grad_())
    assert torch.autograd.gradcheck(between, inputs)
    assert torch.autograd.gradgradcheck(between, inputs)
    assert torch.autograd.gradcheck(between, inputs, check_batched_grad=True)


# ---- maximum likelihood --------------------------------------------------------------------------


@pytest.mark.parametrize("m", [2, 3, 11, 512])
def test_fit_inverts_the_mean_resultant_length(m):
    """Two points at height R, 1 - R from 1 - 1e-6 to 1e-9: A(k) = R in the digits of R and 1 - R.

    The points hold 1 - R to eps sqrt(1 - R), and k as many digits as that.
    """
    for r in (1e-6, 1e-3, 0.3, 0.7, 0.99, 1 - 1e-6, 1 - 1e-9):
        points = torch.zeros(2, m, dtype=DOUBLE)
        points[:, 0] = r
        points[0, 1], points[1, 1] = (s * math.sqrt((1 - r) * (1 + r)) for s in (1, -1))
        vmf = VonMisesFisher.fit(points)
        torch.testing.assert_close(vmf.loc, torch.eye(m, dtype=DOUBLE)[0], rtol=0, atol=1e-10)
        k = vmf.concentration.reshape(1, 1)
        mean, rest = (ops.vmf(k, [m], q)[0].item() for q in ("A", "one_minus_A"))
        complement = ((points - vmf.loc) ** 2).sum(-1).mean().item() / 2
        if r < 0.5:
            assert mean == pytest.approx(r, rel=1e-13)
        else:
            assert rest == pytest.approx(complement, rel=1e-13)
            assert rest == pytest.approx(1 - r, rel=1e-15 / math.sqrt(1 - r) + 1e-15 / (1 - r))


def test_fit_recovers_a_distribution(dtype):
    """A batch of fits to 20,000 draws: kappa within 5 standard errors, 1/sqrt(n A'), of it."""
    loc, kappa = directions(3, 5, dtype=dtype), torch.tensor([0.5, 20.0, 1e6], dtype=dtype)
    vmf = VonMisesFisher.fit(VonMisesFisher(loc, kappa).sample((20_000,)))
    assert vmf.batch_shape == (3,) and vmf.loc.dtype == vmf.concentration.dtype == dtype
    slope = ops.vmf(kappa.double()[:, None], [5], "dA")[0][:, 0]
    error = (vmf.concentration.double() - kappa.double()).abs() * torch.sqrt(20_000 * slope)
    assert error.max() < 5
    assert (vmf.loc * loc).sum(-1).min() > 0.99


def test_fit_with_weights():
    """Weights are multiplicities; of a batch, each fit has its own."""
    points = directions(6, 2, 4)
    weights = torch.tensor([1.0, 2.0, 0.0, 3.0, 1.0, 1.0], dtype=DOUBLE)
    repeated = points.repeat_interleave(weights.long(), 0)
    one, many = VonMisesFisher.fit(points, weights), VonMisesFisher.fit(repeated)
    torch.testing.assert_close(one.concentration, many.concentration)
    torch.testing.assert_close(one.loc, many.loc)
    each = VonMisesFisher.fit(points, torch.stack((weights, torch.ones(6, dtype=DOUBLE)), 1))
    torch.testing.assert_close(each.concentration[0], one.concentration[0])
    torch.testing.assert_close(each.loc[1], VonMisesFisher.fit(points[:, 1]).loc)


def test_fit_of_opposite_points_is_uniform():
    vmf = VonMisesFisher.fit(torch.tensor([[1.0, 0.0, 0.0], [-1.0, 0.0, 0.0]]))
    assert vmf.concentration == 0 and vmf.loc.norm() == 1


# ---- refusals ------------------------------------------------------------------------------------

LOC, KAPPA = torch.eye(3)[:2], torch.tensor([1.0, 2.0])
HERE, TWO = "at (1,), ", torch.tensor([[0.6, 0.8, 0.0], [1.0, 0.0, 0.0]])


def vmf(loc=LOC, kappa=KAPPA, **more):
    return VonMisesFisher(loc, kappa, **more)


def product(loc=LOC, kappa=KAPPA[:, None], dims=(3,)):
    return VonMisesFisherProduct(loc, kappa, dims)


@pytest.mark.parametrize(
    "call, error, words",
    [
        (
            lambda: vmf(2 * LOC),
            ValueError,
            r"loc is, at \(0,\), a vector of length 2.0; allowed: l",
        ),
        (lambda: vmf(LOC * 0), ValueError, "a vector of length 0.0; allowed: length 1"),
        (lambda: vmf(LOC * math.nan), ValueError, "a vector of length nan; allowed: length 1"),
        (
            lambda: vmf(kappa=-KAPPA),
            ValueError,
            r"concentration is, at \(0,\), -1.0; allowed: 0 <=",
        ),
        (lambda: vmf(kappa=math.nan), ValueError, "concentration is, .*nan; allowed: 0 <="),
        (lambda: vmf(kappa=KAPPA * math.inf), ValueError, "concentration is, .*inf; allowed: 0 <="),
        (lambda: vmf(LOC[:, :1]), ValueError, r"event shape of loc is \(1,\); allowed: .* from 2"),
        (lambda: vmf(LOC[0, 0]), ValueError, r"loc has shape \(\); allowed"),
        (lambda: vmf(torch.ones(1, 40_000)), ValueError, r"is \(40000,\); allowed: .* to 32768"),
        (lambda: vmf(LOC.long()), TypeError, "loc has dtype torch.int64; allowed: torch.float32"),
        (lambda: vmf(LOC.tolist()), TypeError, "loc is a list; allowed: a floating tensor"),
        (lambda: vmf(kappa=KAPPA.int()), TypeError, "concentration has dtype torch.int32; allowed"),
        (lambda: vmf(kappa=True), TypeError, "concentration is a bool; allowed"),
        (lambda: vmf(kappa=KAPPA.to("meta")), ValueError, "concentration is on meta; allowed: cpu"),
        (lambda: vmf(kappa=torch.ones(3)), ValueError, r"batch shapes \(2,\) and \(3,\); allowed"),
        (lambda: vmf(kappa_grad="exact"), ValueError, "'exact'; allowed: implicit, naive"),
        (
            lambda: vmf().log_prob(LOC[:, :2]),
            ValueError,
            r"value has shape \(2, 2\); allowed: \[.*3",
        ),
        (lambda: vmf().log_prob(LOC * 1.001), ValueError, r"value is, at \(0,\), .*1.001; allowed"),
        (lambda: vmf().log_prob(LOC.long()), TypeError, "value has dtype torch.int64; allowed"),
        (lambda: vmf().log_prob(1.0), TypeError, "value is a float; allowed"),
        (lambda: vmf().log_prob(LOC.to("meta")), ValueError, "value is on meta; allowed: cpu"),
        (lambda: vmf().log_prob(torch.eye(3)), ValueError, "not broadcastable"),
        (lambda: HypersphericalUniform(1), ValueError, r"dim is \(1,\); allowed: .* from 2"),
        (lambda: HypersphericalUniform(2.5), TypeError, r"dim is \(2.5,\); allowed: integers"),
        (lambda: HypersphericalUniform(3, torch.int64), TypeError, "dtype is torch.int64; allowed"),
        (lambda: HypersphericalUniform(3).log_prob(2 * LOC), ValueError, "length 2.0; allowed"),
        (lambda: HypersphericalUniformProduct(()), ValueError, r"dims is \(\); allowed"),
        (lambda: HypersphericalUniformProduct(3), TypeError, "dims is 3; allowed: integers"),
        (lambda: product(dims=(2,)), ValueError, r"loc has shape \(2, 3\); allowed: \[..., 2\]"),
        (lambda: product(dims=(2, 1)), ValueError, r"dims is \(2, 1\); allowed: .* from 2"),
        (lambda: product(kappa=KAPPA), ValueError, r"concentration has shape \(2,\); allowed"),
        (lambda: product(kappa=-KAPPA[:, None]), ValueError, r"at \(0,\), \[-1.0\]; allowed: 0 <="),
        (lambda: product(LOC + 1), ValueError, "allowed: length 1"),
        (lambda: VonMisesFisher.fit(LOC[0]), ValueError, r"samples has shape \(3,\); allowed"),
        (lambda: VonMisesFisher.fit(LOC[:0]), ValueError, r"samples has shape \(0, 3\); allowed"),
        (lambda: VonMisesFisher.fit(LOC * 2), ValueError, "samples is, .* length 2.0; allowed"),
        (
            lambda: VonMisesFisher.fit(LOC.int()),
            TypeError,
            "samples has dtype torch.int32; allowed",
        ),
        (lambda: VonMisesFisher.fit(LOC[:1]), ValueError, "all one point"),
        (
            lambda: VonMisesFisher.fit(LOC, KAPPA[:1]),
            ValueError,
            r"weights has shape \(1,\); allowed",
        ),
        (
            lambda: VonMisesFisher.fit(LOC, -KAPPA),
            ValueError,
            "weights has minimum -2.0, .*allowed",
        ),
        (lambda: VonMisesFisher.fit(LOC, 0 * KAPPA), ValueError, "allowed: .*a positive sum"),
        (lambda: VonMisesFisher.fit(LOC, KAPPA / 0), ValueError, "maximum inf; allowed: finite"),
        (
            lambda: kl_divergence(vmf(), HypersphericalUniform(4)),
            ValueError,
            r"has dims \(4,\); allowed: \(3,\)",
        ),
        (
            lambda: kl_divergence(vmf(), Normal(0.0, 1.0)),
            NotImplementedError,
            "No KL",
        ),
    ],
)
def test_refusals(call, error, words):
    """One line that names the argument, its value and what is allowed."""
    with torch.device("cpu"), pytest.raises(error, match=words) as caught:
        call()
    assert error is NotImplementedError or "\n" not in str(caught.value)


def test_validation_can_be_turned_off():
    vmf(2 * LOC, -KAPPA, validate_args=False).log_prob(3 * LOC)
    checked = vmf(validate_args=True).expand((4, 2))
    with pytest.raises(ValueError, match="allowed: length 1"):
        checked.log_prob(2 * LOC)


def test_tolerance_of_unit_vectors(dtype):
    """1e-5: what a float32 normalisation leaves passes, in either precision."""
    loc = torch.nn.functional.normalize(torch.randn(50, 4096), dim=-1).to(dtype)
    vmf = VonMisesFisher(loc, 1.0)
    vmf.log_prob(loc * (1 + 9e-6))
    with pytest.raises(ValueError, match="allowed: length 1"):
        vmf.log_prob(loc * (1 + 1.2e-5))


# ---- what the documents claim --------------------------------------------------------------------


def test_examples():
    """Of the docstrings, and the one of docs/distributions.md."""
    with torch.device("cpu"):
        assert doctest.testmod(distributions).failed == 0
        text = (pathlib.Path(__file__).parents[1] / "docs" / "distributions.md").read_text()
        _, start, rest = text.partition("    import torch\n")
        example, _, _ = rest.partition("\n\nA concentration of 0")
        names = {}
        exec(textwrap.dedent(start + example), names)
        assert names["z"].shape == (10, 64, 11) and names["kappa"].grad.isfinite().all()


def test_accuracy_report():
    """python -m hvae.benchmarks.accuracy: every bar met, no value lost."""
    seen = set()
    for quantity, dtype, points, bar, ours, theirs in accuracy.compare(exact.TABLES):
        assert points > 2000 and ours.error <= bar and ours.lost == 0, (quantity, dtype, ours)
        assert theirs.lost > 0, "SciPy's ive no longer underflows: say so in docs/distributions.md"
        seen.add((quantity, dtype))
    assert len(seen) == 20


def test_failures_report(monkeypatch, capsys):
    """python -m hvae.benchmarks.failures: the numbers of docs/distributions.md, hvae's side."""
    monkeypatch.setattr(failures, "DRAWS", 2000)
    with torch.device("cpu"):
        failures.main()
    document = json.loads(capsys.readouterr().out.splitlines()[-1])
    for row in document["gradient_in_kappa"]:
        assert abs(row["hvae"] - 1) < 5 * row["standard error"]
        assert row["usual"] < 1.1
    for name, bar in (
        ("reflection_near_an_axis", 1e-6),
        ("log_density_in_float32", 1e-5),
        ("closed_form_on_the_sphere", 1e-6),
        ("divergence_to_uniform", 1e-13),
        ("divergence_of_near_concentrations", 1e-13),
    ):
        assert all(row["hvae"] <= bar for row in document[name]), name
    assert document["reflection_near_an_axis"][0]["plain"] is None
    assert document["log_density_in_float32"][-1]["usual"] > 1
    assert document["closed_form_on_the_sphere"][-1]["usual"] is None
    assert document["divergence_of_near_concentrations"][-1]["usual"] > 1
    assert all(row["hvae at 0"] == 0 for row in document["angles_in_float32"])
