"""hvae.reference against tables, SciPy, published vectors, exact distributions and expectations."""

import math

import exact
import numpy as np
import pytest
import scipy.special
import scipy.stats
import torch

from hvae import random, reference

QUANTITIES = ("L", "k_minus_L", "A", "one_minus_A", "dA", "KL", "dKL")
SMALLEST_NORMAL = np.finfo(np.float64).tiny


@pytest.fixture(scope="module")
def special():
    rows = exact.table("special")
    _, whole = exact.ambient(rows["nu"])
    return {name: column[whole] for name, column in rows.items()}


@pytest.mark.parametrize("quantity", QUANTITIES)
def test_vmf_agrees_with_the_table(special, quantity):
    """The limits that the module states: 1e-13, and 2e-12 for A' just inside the series."""
    bound = 2e-12 if quantity in ("dA", "dKL") else 1e-13
    m, _ = exact.ambient(special["nu"])
    for dims in np.unique(m):
        rows = (m == dims) & (special[quantity] > SMALLEST_NORMAL)
        kappa = torch.from_numpy(special["kappa"][rows].astype(np.float64))
        value, _ = reference.vmf(kappa[:, None], [int(dims)], quantity)
        error = exact.relative_error(value[:, 0].numpy(), special[quantity][rows])
        largest, where = exact.worst(error, kappa=special["kappa"][rows])
        assert largest <= bound, (dims, where)


@pytest.mark.parametrize("quantity", QUANTITIES)
def test_vmf_derivative_is_that_of_the_value(quantity):
    """Against autograd, on both sides of the seam at r = 32; A'' loses 1e4 at the largest kappa."""
    kappa = torch.tensor([0.0, 1e-3, 0.7, 9.0, 31.0, 33.0, 400.0, 1e4], dtype=torch.float64)
    dims = [2, 3, 11, 60, 200]
    kappa = kappa[:, None].expand(-1, len(dims)).clone().requires_grad_()
    value, derivative = reference.vmf(kappa, dims, quantity)
    (slope,) = torch.autograd.grad(value.sum(), kappa)
    torch.testing.assert_close(slope, derivative, rtol=1e-7, atol=1e-15)


@pytest.mark.parametrize("quantity", QUANTITIES)
def test_vmf_passes_gradcheck(quantity):
    kappa = torch.tensor([[0.3, 2.0, 40.0], [5.0, 80.0, 1.0]], dtype=torch.float64)
    kappa.requires_grad_()

    def both(k):
        return reference.vmf(k, [2, 5, 24], quantity)

    assert torch.autograd.gradcheck(both, kappa)
    assert torch.autograd.gradgradcheck(both, kappa)


def test_vmf_agrees_with_scipy_where_scipy_is_finite():
    """ive is good to about 1e-13 here, its logarithm to that absolutely."""
    kappa = np.logspace(-1, 5, 61)
    for m in (2, 3, 4, 11, 41, 128):
        nu = m / 2 - 1
        ive = scipy.special.ive(nu, kappa)
        expected = -(np.log(ive) + scipy.special.gammaln(nu + 1) + nu * np.log(2 / kappa))
        value, _ = reference.vmf(torch.from_numpy(kappa)[:, None], [m], "k_minus_L")
        finite = ive > 1e-280
        np.testing.assert_allclose(value[finite, 0], expected[finite], rtol=1e-11, atol=1e-12)


def test_vmf_outside_its_domain():
    kappa = torch.tensor([[-1.0], [math.nan], [0.0]], dtype=torch.float64)
    for quantity, at_zero in zip(QUANTITIES, (0, 0, 0, 1, 1 / 3, 0, 0), strict=True):
        value, derivative = reference.vmf(kappa, [3], quantity)
        assert value[:2].isnan().all() and derivative[:2].isnan().all()
        assert value[2].item() == pytest.approx(at_zero)
    with pytest.raises(ValueError, match="allowed: L, k_minus_L"):
        reference.vmf(kappa, [3], "A2")


def test_log_area():
    assert reference.log_area(2) == pytest.approx(math.log(2 * math.pi), rel=1e-15)
    assert reference.log_area(3) == pytest.approx(math.log(4 * math.pi), rel=1e-15)
    assert reference.log_area(4) == pytest.approx(math.log(2 * math.pi**2), rel=1e-15)


@pytest.mark.parametrize(
    "counter, key, expected",
    [
        ([0] * 4, 0, [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]),
        ([0xFFFFFFFF] * 4, -1, [0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD]),
        (
            [0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344],
            0x299F31D0A4093822,
            [0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1],
        ),
    ],
)
def test_philox_known_answers(counter, key, expected):
    """The published vectors of Random123 for philox4x32-10."""
    assert reference.philox(torch.tensor(counter), key).tolist() == expected


@pytest.mark.parametrize("dtype, bits", [(torch.float32, 31), (torch.float64, 52)])
def test_uniforms_and_turns_at_the_ends(dtype, bits):
    top = (1 << bits) - 1
    n = torch.tensor([0, 1, top - 1, top])
    u = reference._open(n, bits)
    assert ((u > 0) & (u < 1)).all()
    np.testing.assert_array_equal(1 - u.numpy(), reference._open(top - n, bits).numpy())
    quarters = torch.arange(8) * (1 << (bits - 3))
    c, s = reference._cos_sin_turn(quarters, bits)
    angle = (2 * math.pi * reference._open(quarters, bits)).numpy()
    np.testing.assert_allclose(c, np.cos(angle), rtol=0, atol=2e-15)
    np.testing.assert_allclose(s, np.sin(angle), rtol=0, atol=2e-15)
    # Just above a quarter turn the cosine is -pi 2^-bits: no digit may be lost.
    assert c[2].item() == pytest.approx(-math.pi * 2.0**-bits, rel=1e-15)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_normals_and_uniforms_have_their_distribution(dtype):
    """Kolmogorov-Smirnov at a false-alarm rate of 1e-6."""
    rng = random.stream(3, "user")
    bound = exact.kolmogorov_bound(1e-6)
    normal = reference.normal(rng, 3, 500, 7, shell=2, dtype=dtype)
    uniform = reference.uniform(rng, 3, 500, 7, shell=2, dtype=dtype)
    assert normal.shape == uniform.shape == (3, 500, 7) and normal.dtype == uniform.dtype == dtype
    cdf = scipy.stats.norm.cdf(normal.double().flatten().numpy())
    assert exact.kolmogorov_distance(cdf) < bound
    assert exact.kolmogorov_distance(uniform.double().flatten().numpy()) < bound


def test_a_number_depends_on_its_place_only():
    whole = reference.normal(random.stream(5, "user"), 4, 6, 5, dtype=torch.float64)
    part = random.stream(5, "user", row=2, sample=1)
    torch.testing.assert_close(
        reference.normal(part, 3, 4, 5, dtype=torch.float64), whole[1:, 2:], rtol=0, atol=0
    )
    later = reference.normal(random.stream(5, "user", step=1), 4, 6, 5, dtype=torch.float64)
    shell = reference.normal(random.stream(5, "user"), 4, 6, 5, shell=1, dtype=torch.float64)
    assert torch.stack((whole, later, shell)).unique().numel() == 3 * whole.numel()


def test_dtheta_agrees_with_the_table():
    """The limit that the module states."""
    rows = exact.table("dtheta")
    for m in np.unique(rows["m"]):
        mine = {name: column[rows["m"] == m] for name, column in rows.items()}
        theta, kappa = (torch.from_numpy(mine[c].astype(np.float64)) for c in ("theta", "kappa"))
        value = reference.dtheta_dkappa(int(m), theta, kappa).numpy()
        error = exact.relative_error(value, mine["dtheta"])
        largest, where = exact.worst(error, kappa=mine["kappa"], theta=mine["theta"])
        assert largest <= 1e-12, (m, where)


def test_dtheta_at_its_limits():
    """At kappa = 0 on the circle A' = 1/2 and dtheta/dk = -sin theta; at the poles it is 0."""
    theta = torch.tensor([0.0, 1e-6, 1.0, 3.0, math.pi], dtype=torch.float64)
    kappa = torch.tensor(0.0, dtype=torch.float64)
    expected = -torch.sin(theta) * (theta < math.pi)
    value = reference.dtheta_dkappa(2, theta, kappa)
    torch.testing.assert_close(value, expected, rtol=1e-12, atol=0)
    assert reference.dtheta_dkappa(2, theta, kappa * math.nan)[1:4].isnan().all()


def test_dtheta_on_s2_is_the_derivative_of_the_closed_form():
    kappa = torch.tensor([0.5, 3.0, 50.0, 1e4], dtype=torch.float64)[:, None]
    u = torch.tensor([0.02, 0.4, 0.8, 0.999], dtype=torch.float64)
    kappa = kappa.expand(-1, 4).clone().requires_grad_()
    v = -torch.log(u + (1 - u) * torch.exp(-2 * kappa)) / kappa
    theta = 2 * torch.asin(torch.sqrt(v / 2))
    (slope,) = torch.autograd.grad(theta.sum(), kappa)
    # The logarithm near 1 costs the closed form up to four digits here.
    torch.testing.assert_close(
        reference.dtheta_dkappa(3, theta.detach(), kappa.detach()), slope, rtol=1e-11, atol=0
    )


@pytest.mark.parametrize("m", [2, 3, 4, 11, 41])
@pytest.mark.parametrize("kappa", [1e-3, 1.0, 30.0, 1e4])
def test_mean_change_of_the_cosine_is_the_slope_of_a(m, kappa):
    """E[-sin(theta) dtheta/dk] = A' for the implicit field, its known share for the naive one."""
    x, w = np.polynomial.legendre.leggauss(200)
    mode = math.acos(2 * kappa / (m - 2 + math.hypot(m - 2, 2 * kappa))) if m > 2 else 0.0
    reach = 14 / math.sqrt(kappa + m)
    lo, hi = max(0.0, mode - reach), min(math.pi, mode + reach)
    theta = torch.from_numpy(lo + (hi - lo) * (1 + x) / 2)
    density = np.exp(exact.log_density(m, kappa, theta.numpy())) * w
    k = torch.tensor(kappa, dtype=torch.float64)
    for kind, share in (("implicit", 1.0), ("naive", exact.naive_share(m, kappa))):
        change = -torch.sin(theta) * reference.dtheta_dkappa(m, theta, k, kind)
        mean = (change.numpy() * density).sum() / density.sum()
        assert mean == pytest.approx(share * exact.special(m, kappa, "dA"), rel=1e-10)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("m", [2, 3, 4, 11])
def test_draws_have_the_exact_distribution(m, dtype):
    """theta by Kolmogorov-Smirnov, false-alarm rate 1e-6 a case (2e-5 in all), fixed seed."""
    kappas = (0.0, 1.0, 1e4)
    head = torch.randn(4000, m * len(kappas), generator=torch.Generator().manual_seed(m))
    kappa = torch.tensor(kappas, dtype=dtype).expand(4000, -1)
    rng = random.stream(m, "user")
    z, v, theta, _ = reference.sample(head.to(dtype), kappa, [m] * len(kappas), rng)
    for shell, k in enumerate(kappas):
        cdf = exact.theta_cdf(m, k, theta[0, :, shell].double().numpy())
        assert exact.kolmogorov_distance(cdf) < exact.kolmogorov_bound(1e-6)
    eps = torch.finfo(dtype).eps
    norm = torch.linalg.vector_norm(z.double().unflatten(-1, (len(kappas), m)), dim=-1)
    assert (norm - 1).abs().max() < 4 * eps
    torch.testing.assert_close(v, 2 * torch.sin(theta / 2) ** 2, rtol=16 * eps, atol=0)


def test_axis_and_angle_of_a_draw():
    """mu.z = 1 - v and |z - mu|^2 = 2 v, any axis and scale; a zero head means e_1."""
    head = torch.tensor(
        [[1.0, 0, 0, 0], [-1, 0, 0, 0], [0, 0, 0, 0], [3e-200, 4e-200, 0, 0], [3e200, 4e200, 0, 0]],
        dtype=torch.float64,
    )
    kappa = torch.full((5, 1), 3.0, dtype=torch.float64)
    z, v, _, kl = reference.sample(head, kappa, [4], random.stream(1, "user"), samples=50)
    axes = [[1.0, 0, 0, 0], [-1, 0, 0, 0], [1, 0, 0, 0], [0.6, 0.8, 0, 0], [0.6, 0.8, 0, 0]]
    mu = torch.tensor(axes, dtype=torch.float64)
    torch.testing.assert_close((z * mu).sum(-1), 1 - v[..., 0], rtol=0, atol=1e-15)
    torch.testing.assert_close(((z - mu) ** 2).sum(-1), 2 * v[..., 0], rtol=1e-13, atol=0)
    torch.testing.assert_close(kl, reference.vmf(kappa, [4], "KL")[0], rtol=0, atol=0)


@pytest.mark.parametrize("m", [2, 3, 5])
def test_tangents_are_uniform(m):
    """A fixed axis: the tangent's direction is uniform in R^(m-1); moments within 5 errors."""
    head = torch.zeros(20000, m, dtype=torch.float64)
    head[:, -1] = 1
    kappa = torch.full((20000, 1), 2.0, dtype=torch.float64)
    z, _, theta, _ = reference.sample(head, kappa, [m], random.stream(4, "user"))
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
    head = torch.from_numpy(mu).expand(rows, m).clone().requires_grad_()
    k = torch.full((rows, 1), kappa, dtype=torch.float64, requires_grad=True)
    z, *_ = reference.sample(head, k, [m], random.stream(7, "user"))
    value = torch.exp(z[0] @ torch.from_numpy(a))
    g_head, g_kappa = torch.autograd.grad(value.sum(), (head, k))
    mean, slope, pull = exact.exponential_moment(mu, kappa, a)
    direction = torch.from_numpy(pull / np.linalg.norm(pull))
    for seen, expected in (
        (value.detach(), mean),
        (g_kappa[:, 0], slope),
        (g_head @ direction, np.linalg.norm(pull)),
    ):
        assert abs(seen.mean() - expected) < 4 * seen.std() / math.sqrt(rows)
    assert (g_head @ torch.from_numpy(mu)).abs().max() < 1e-14  # along the sphere


def test_a_gradient_field_is_not_differentiated():
    head = torch.ones(2, 3, dtype=torch.float64, requires_grad=True)
    kappa = torch.ones(2, 1, dtype=torch.float64, requires_grad=True)
    z, *_ = reference.sample(head, kappa, [3], random.stream(1, "user"))
    (slope,) = torch.autograd.grad((z**2).sum() + z.sum(), kappa, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        slope.sum().backward()
    with pytest.raises(ValueError, match="allowed: implicit, naive"):
        z, *_ = reference.sample(head, kappa, [3], random.stream(1, "user"), 1, "none")
        z.sum().backward()


def test_a_nan_concentration_propagates():
    kappa = torch.tensor([[math.nan]], dtype=torch.float64)
    for m in (2, 3, 4):
        z, v, theta, kl = reference.sample(torch.ones(1, m), kappa, [m], random.stream(1, "user"))
        assert z.isnan().all() and v.isnan().all() and theta.isnan().all() and kl.isnan().all()


def test_bernoulli_log_prob():
    logits = torch.tensor([[[-800.0, 3.0, 0.0], [30.0, -30.0, 1e-9]]], dtype=torch.float64)
    logits.requires_grad_()
    x = torch.tensor([[0, 1, 1], [1, 0, 1]], dtype=torch.uint8)
    value = reference.bernoulli_log_prob(logits, x)
    expected = [
        -math.log1p(math.exp(-3)) - math.log(2),
        -2 * math.log1p(math.exp(-30)) - math.log1p(math.exp(-1e-9)),
    ]
    np.testing.assert_allclose(value[0].detach(), expected, rtol=1e-15)
    assert torch.autograd.gradcheck(lambda y: reference.bernoulli_log_prob(y / 100, x), logits)
    half = reference.bernoulli_log_prob(logits, torch.full((2, 3), 0.5, dtype=torch.float64))
    assert half.shape == (1, 2)
