"""Divergences of hvae.distributions against a table, 60 digits and means of log ratios.

Statistical tests have a fixed seed and a stated false-alarm rate: by chance they fail once in so
many changes of the random numbers, never in a second run of the same code.
"""

import itertools
import math

import exact
import mpmath
import numpy as np
import pytest
import torch
from directions import DOUBLE, circle, directions
from torch.distributions import kl_divergence

from hvae.benchmarks.reports import accuracy
from hvae.distributions import (
    HypersphericalUniform,
    HypersphericalUniformProduct,
    VonMisesFisher,
    VonMisesFisherProduct,
)
from hvae.distributions.bregman import bregman


def test_bregman_against_the_table(dtype):
    """Relative error of the part that cancels: 1e-13, float32 1e-5, whatever the distance."""
    pairs = accuracy.read(exact.TABLES / "divergence.csv.gz")
    rows = accuracy.exactly(pairs, np.float64 if dtype == DOUBLE else np.float32)
    bar = 1e-13 if dtype == DOUBLE else 1e-5
    for nu in np.unique(rows["nu"]):
        here = rows["nu"] == nu
        k1, k2 = (torch.tensor(rows[k][here].astype(np.float64), dtype=dtype) for k in ("k1", "k2"))
        k2.requires_grad_()
        value = bregman(k1[:, None], k2[:, None], (round(2 * float(nu) + 2),))[:, 0]
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


@pytest.mark.slow
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
