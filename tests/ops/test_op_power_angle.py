"""`ops.power_angle`: the distribution of its angles, their derivative, their place in the stream.

Statistical tests have a fixed seed and a stated false-alarm rate.
"""

import exact
import pytest
import scipy.stats
import torch
from torch.func import grad, jvp, vmap

from hvae import ops, random, reference

pytestmark = pytest.mark.usefixtures("device")

C = torch.ops.hvae
STREAM = {"step": 3, "row": 7, "sample": 2}


def concentrations(rows, dtype):
    """Log-uniform on 1e-4 .. 1e8, 0 in the first row."""
    generator = torch.Generator("cpu").manual_seed(1)
    k = 10 ** (torch.rand(rows, generator=generator, dtype=torch.float64, device="cpu") * 12 - 4)
    k[0] = 0
    return k.to(torch.get_default_device(), dtype)


@pytest.mark.usefixtures("tier")
@pytest.mark.parametrize("m", [2, 3, 11, 300])
def test_angles_agree_with_the_reference(m, dtype):
    """16 eps, but as in `test_sampler` for 5 of 1500 in float32."""
    k, rng = concentrations(500, dtype), random.stream(11, "user", **STREAM)
    found = ops.power_angle(k, m, rng, 3, shell=4)
    expected = reference.power_angle(k, m, rng, 3, shell=4)
    assert found.dtype == dtype and found.shape == (3, 500)
    far = (found - expected).abs() > 16 * torch.finfo(dtype).eps * expected
    assert int(far.sum()) <= (5 if dtype == torch.float32 else 0)


@pytest.mark.usefixtures("tier")
@pytest.mark.parametrize("m", [11, 300])
def test_slopes_agree_with_the_reference(m, dtype):
    """To 1e-9: digamma functions of the reference, 9.2 at most, cancel to d/(2k), 5e-4 or more, so
    its integrand has 4e-12 of that, and where it changes sign a hundredth of it is left. float32 as
    in `tests/csrc/test_power_angle.py`, with k and theta of the draw as they are.
    """
    k, rng = concentrations(500, dtype).clamp(max=1e4), random.stream(11, "user")
    theta = ops.power_angle(k, m, rng, 3)
    found = C.power_angle_slope(k, theta, m)
    expected = reference.power_angle_slope(k, theta, m)
    bar = 1e-9 if dtype == torch.float64 else (16 + 2 * m**0.5) * torch.finfo(dtype).eps
    torch.testing.assert_close(found, expected, rtol=bar, atol=0)


@pytest.mark.parametrize("m", [2, 3, 4, 16, 41])
def test_distribution(m, dtype):
    """Kolmogorov-Smirnov against SciPy's Beta; false-alarm rate 1e-6 a case, 6e-5 in all."""
    for k in (0.0, 1e-3, 1.0, 30.0, 1e4, 1e8):
        rows = torch.full((20_000,), k, dtype=dtype)
        theta = ops.power_angle(rows, m, random.stream(m, "user"))[0].double()
        x = exact.array(torch.sin(theta / 2) ** 2)
        cdf = scipy.stats.beta((m - 1) / 2, k + (m - 1) / 2).cdf(x)
        assert exact.kolmogorov_distance(cdf) < exact.kolmogorov_bound(1e-6), k


@pytest.mark.parametrize("m", [2, 3, 16])
@pytest.mark.parametrize("k", [0.5, 20.0])
def test_mean_gradients(m, k, dtype):
    """d/dk of E[w] = k/(k + d) and of E[w^2], d = m - 1, to 5 standard errors (6e-7 a case).

    x = (1 - w)/2 is Beta(d/2, k + d/2), so E[x^2] = d (d + 2) / (4 (k + d) (k + d + 1)).
    """
    n, d = 200_000, m - 1
    theta = ops.power_angle(torch.full((n,), k, dtype=dtype), m, random.stream(m, "user"))[0]
    slope = C.power_angle_slope(torch.full((n,), k, dtype=dtype), theta[None], m)[0].double()
    w, sine = theta.double().cos(), theta.double().sin()
    first = d / (k + d) ** 2
    of_square = -d * (d + 2) / 4 * (2 * k + 2 * d + 1) / ((k + d) * (k + d + 1)) ** 2
    second = 4 * of_square + 2 * first  # w^2 = 4 x^2 - 4 x + 1, and dE[x] = -first / 2
    for each, expected in ((-sine * slope, first), (-2 * w * sine * slope, second)):
        error = each.std() / n**0.5
        assert abs(each.mean() - expected) < 5 * error


def test_a_draw_depends_on_its_place_alone(dtype):
    """Rows and samples drawn apart are those drawn together, on one thread or two, bit for bit."""
    k = concentrations(700, dtype)
    whole = ops.power_angle(k, 5, random.stream(2, "user"), 3)
    apart = ops.power_angle(k[100:], 5, random.stream(2, "user", row=100, sample=1), 2)
    torch.testing.assert_close(apart, whole[1:, 100:], rtol=0, atol=0)
    slopes, threads = C.power_angle_slope(k, whole, 5), torch.get_num_threads()
    try:
        for count in (1, 2):
            torch.set_num_threads(count)
            again = ops.power_angle(k, 5, random.stream(2, "user"), 3)
            assert torch.equal(again, whole)
            assert torch.equal(C.power_angle_slope(k, again, 5), slopes)
    finally:
        torch.set_num_threads(threads)
    assert not (ops.power_angle(k, 5, random.stream(2, "user"), 3, shell=1) == whole).any()


def test_not_a_number(dtype):
    """It is accepted and propagates, and does not disturb its neighbours."""
    k = concentrations(20, dtype)
    clean = ops.power_angle(k, 4, random.stream(2, "user"))
    k[3] = torch.nan
    theta = ops.power_angle(k, 4, random.stream(2, "user"))
    assert theta[0, 3].isnan() and C.power_angle_slope(k, theta, 4)[0, 3].isnan()
    others = torch.arange(20) != 3
    assert torch.equal(theta[:, others], clean[:, others])
    assert C.power_angle_slope(k, clean, 4)[:, others].isfinite().all()


def test_derivatives_and_batches():
    """Reverse, forward and per-row modes are the same products; there is no second derivative."""
    k, rng = concentrations(6, torch.float64)[1:], random.stream(1, "user")

    def total(k):
        return ops.power_angle(k, 7, rng, 2).sin().sum()

    theta = ops.power_angle(k, 7, rng, 2)
    expected = (theta.cos() * C.power_angle_slope(k, theta, 7)).sum(0)
    torch.testing.assert_close(grad(total)(k), expected, rtol=1e-14, atol=0)
    tangent = jvp(total, (k,), (torch.ones_like(k),))[1]
    torch.testing.assert_close(tangent, expected.sum(), rtol=1e-12, atol=0)
    batch = torch.stack((k, 2 * k))
    rows = vmap(grad(total))(batch)
    for mine, one in zip(rows, batch, strict=True):
        torch.testing.assert_close(mine, grad(total)(one), rtol=1e-14, atol=0)
    for outer in (lambda f: grad(lambda k: f(k).sum()), lambda f: lambda k: jvp(f, (k,), (k,))):
        with pytest.raises(RuntimeError, match="no second derivative"):
            outer(grad(total))(k)
