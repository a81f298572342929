"""hvae.latent.reinforce: the score of the proposal against its definition and the printed formula.

Statistical tests have a fixed seed and a stated false-alarm rate: by chance they fail once in so
many changes of the random numbers, never in a second run of the same code.
"""

import math

import exact
import mpmath
import numpy as np
import pytest
import torch

from hvae import ops, random
from hvae.latent.reinforce import proposal_score, surrogate

DIMS = [2, 3, 4, 5, 11, 41]
KAPPAS = [0.0, 1e-3, 1e-2, 0.1, 1.0, 10.0, 100.0, 1e3, 1e4]
ACCURACY = {torch.float32: 5e-7, torch.float64: 1.5e-15}  # of 1 - A, relative: hvae.ops.vmf


pytestmark = pytest.mark.usefixtures("device")


def drawn(m, kappas, rows, dtype=torch.float64):
    """kappa [rows, shells] and the draws' v and theta [1, rows, shells], all shells of size m."""
    dims = [m] * len(kappas)
    kappa = torch.tensor(kappas, dtype=dtype).expand(rows, -1)
    raw = torch.ones(rows, sum(dims), dtype=dtype)
    _, v, theta, _ = ops.sample(raw, kappa, dims, random.stream(m, "user"))
    return kappa, v, theta


def error_bound(kappa, v, dims):
    """What rounding may do to the score; 1 - A <= sqrt(5) d / rho, |1 - v| <= 1, 2 kappa <= rho.

    1 - A is off by its own accuracy; the other terms take 12 roundings of d / rho and 10 of v. As
    d / rho <= d / (2 kappa) this is within what the docstring says, and it holds at kappa = 0.
    """
    eps = torch.finfo(kappa.dtype).eps
    d = torch.tensor(dims, dtype=torch.float64) - 1
    share = d / torch.hypot(2 * kappa.double(), d)
    return math.sqrt(5) * ACCURACY[kappa.dtype] * share + 6 * eps * (v.double() + share)


@pytest.mark.parametrize("m", DIMS)
def test_it_is_the_printed_formula(m):
    """Davidson et al. (2018), appendix D, in b and the eps of tan^2(theta/2) = b eps/(1 - eps).

    Its v is that of theta to 16 ulp, and the score moves by at most 1 + (2 kappa + d)/rho < 2.5
    times v <= 2: 80 ulp. The terms written out are below 10 in all, of 8 roundings (A: 7 ulp): 80
    ulp. `error_bound` is below 64 ulp. Even at kappa = 1e4 half of the scores are
    above 1e-9.
    """
    kappa, v, theta = drawn(m, KAPPAS, rows=300)
    d = m - 1
    rho = torch.sqrt(4 * kappa**2 + d * d)
    b = d / (2 * kappa + rho)
    slope = -2 * b / rho  # db/dkappa
    odds = torch.tan(theta / 2) ** 2 / b
    eps, rest = odds / (1 + odds), 1 / (1 + odds)
    big_d = b * eps + rest
    w, dw = torch.cos(theta), -2 * eps * rest * slope / big_d**2
    a, _ = ops.vmf(kappa, [m] * len(KAPPAS), "A")
    expected = (
        -a + w + kappa * dw + (m - 3) * w * slope / (2 * b) + slope / b - 2 * eps * slope / big_d
    )
    seen = proposal_score(kappa, v, [m] * len(KAPPAS))
    assert seen.shape == v.shape
    torch.testing.assert_close(seen, expected, rtol=0, atol=224 * torch.finfo(torch.float64).eps)


@pytest.mark.parametrize("m", DIMS)
def test_it_is_the_derivative_of_the_log_density_of_the_proposal(m):
    """d/dkappa [kappa w - L + (m-3)/2 log(1 - w^2) + log |dw/deps|] at fixed eps, in 40 digits,
    where w = (1 - (1+b) eps) / (1 - (1-b) eps) is Wood's.
    """
    d = m - 1

    def ratio(k):
        return d / (2 * k + mpmath.sqrt(4 * k * k + d * d))

    def log_density(k, eps):
        b = ratio(k)
        w = (1 - (1 + b) * eps) / (1 - (1 - b) * eps)
        change = 2 * b / (1 - (1 - b) * eps) ** 2
        log_norm = mpmath.log(mpmath.hyp0f1(mpmath.mpf(m) / 2, k * k / 4))
        return (
            k * w - log_norm + (mpmath.mpf(m) - 3) / 2 * mpmath.log(1 - w * w) + mpmath.log(change)
        )

    kappa = torch.tensor(KAPPAS, dtype=torch.float64).expand(5, -1)
    u = torch.tensor([1e-3, 0.2, 0.5, 0.9, 0.999], dtype=torch.float64)[:, None]
    b = d / (2 * kappa + torch.hypot(2 * kappa, torch.tensor(float(d), dtype=torch.float64)))
    v = 2 * b * u / (b * u + 1 - u)
    expected = torch.zeros_like(v)
    with mpmath.workdps(40):
        for place in np.ndindex(*v.shape):
            k, exactly = mpmath.mpf(kappa[place].item()), mpmath.mpf(v[place].item())
            odds = exactly / (2 - exactly) / ratio(k)
            eps = odds / (1 + odds)
            expected[place] = float(mpmath.diff(lambda x, eps=eps: log_density(x, eps), k))
    dims = [m] * len(KAPPAS)
    seen = proposal_score(kappa, v[None], dims)[0]
    assert ((seen - expected).abs() <= error_bound(kappa, v, dims)).all()


@pytest.mark.parametrize("m", DIMS)
def test_its_mean_is_0(m):
    """Within five standard errors: 48 numbers, false-alarm rate 3e-5 in all."""
    rows = 40_000
    kappa, v, _ = drawn(m, KAPPAS[1:], rows)
    score = proposal_score(kappa, v, [m] * len(KAPPAS[1:]))[0]
    assert (score.mean(0).abs() < 5 * score.std(0) / math.sqrt(rows)).all()


def test_float32():
    """Against float64 at the same kappa and v, for kappa from 1e-6 to 1e8, and at both ends."""
    dims = [*DIMS, 4096]
    rows, samples = 300, 3
    generator = torch.Generator("cpu").manual_seed(1)
    log = torch.rand(rows, len(dims), generator=generator, device="cpu") * 14 - 6
    kappa = (10**log).to(torch.get_default_device())
    kappa[:3], kappa[3:6] = 0, 1e8
    raw = torch.ones(rows, sum(dims))
    _, v, _, _ = ops.sample(raw, kappa, dims, random.stream(1, "user"), samples)
    seen = proposal_score(kappa, v, dims)
    assert seen.dtype == torch.float32 and seen.isfinite().all()
    expected = proposal_score(kappa.double(), v.double(), dims)
    assert ((seen - expected).abs() <= error_bound(kappa, v, dims)).all()


@pytest.mark.parametrize("m", [2, 3, 4])
def test_it_makes_the_naive_gradient_unbiased(m):
    """d/dkappa E[exp(a.z)] at kappa = 2, a along mu: with the score within five standard errors
    (false-alarm rate 2e-6 in all), without it off by more than 20.
    """
    rows = 40_000
    mu = np.zeros(m)
    mu[-1] = 1
    raw = torch.tensor(mu).expand(rows, m)
    kappa = torch.full((rows, 1), 2.0, dtype=torch.float64, requires_grad=True)
    z, v, _, _ = ops.sample(raw, kappa, [m], random.stream(m, "user"), 1, "naive")
    value = torch.exp(z[0] @ torch.tensor(mu))
    (naive,) = torch.autograd.grad(value.sum(), kappa)
    corrected = naive[:, 0] + value.detach() * proposal_score(kappa, v, [m])[0, :, 0]
    _, slope, _ = exact.exponential_moment(mu, 2.0, mu)

    def standard_errors(seen):
        return abs(seen.mean() - slope) / (seen.std() / math.sqrt(rows))

    assert standard_errors(corrected) < 5
    assert standard_errors(naive[:, 0]) > 20


def test_the_surrogate_is_0_and_has_the_scores_as_its_gradient():
    """Summed over shells; `proposal_score` itself carries no gradient."""
    generator = torch.Generator("cpu").manual_seed(2)
    wide = {"generator": generator, "dtype": torch.float64, "device": "cpu"}
    here = torch.get_default_device()
    kappa = (5 * torch.rand(7, len(DIMS), **wide)).to(here).requires_grad_()
    v = (2 * torch.rand(3, 7, len(DIMS), **wide)).to(here).requires_grad_()
    arriving = torch.rand(3, 7, **wide).to(here)
    score = proposal_score(kappa, v, DIMS)
    assert not score.requires_grad
    zeros = surrogate(kappa, v, DIMS)
    assert zeros.shape == (3, 7) and (zeros == 0).all()
    grad_kappa, grad_v = torch.autograd.grad(zeros, (kappa, v), arriving, allow_unused=True)
    expected = (arriving[..., None] * score).sum(0)
    scale = (arriving[..., None] * score.abs()).sum(0)
    assert ((grad_kappa - expected).abs() <= 8 * torch.finfo(torch.float64).eps * scale).all()
    assert grad_v is None
