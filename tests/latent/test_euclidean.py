"""hvae.latent.euclidean: Gaussian components against torch's distributions, and their noise."""

import math

import pytest
import torch
from spaces import EPS, ROWS, SAMPLES, drawn, gaussians, raw_of, space, stream
from torch.distributions import kl_divergence

from hvae import ops


def test_gaussian_kl_is_that_of_torch():
    product = space("e7")
    raw = raw_of(product)
    expected = kl_divergence(*gaussians(raw, 7))
    # Each of 7 terms is a sum of parts below exp(log variance) + mean^2 < 2 e^9.
    torch.testing.assert_close(drawn(product, raw).kl[:, 0], expected, rtol=8 * EPS, atol=1e-12)


def test_gaussian_log_weight_is_that_of_torch():
    product = space("e7")
    raw = raw_of(product)
    draw = drawn(product, raw)
    posterior, prior = gaussians(raw, 7)
    expected = prior.log_prob(draw.z) - posterior.log_prob(draw.z)
    # z - mean loses up to |mean|/sigma ulps of the noise; |mean|/sigma < e^6 here.
    torch.testing.assert_close(draw.log_weight, expected, rtol=0, atol=1e-9)


def test_concentration_of_a_gaussian_is_its_mean_precision():
    product = space("e2,e1")
    raw = torch.tensor([[0, 0, 0, *map(math.log, (0.5, 0.25, 4.0))]], dtype=torch.float64)
    expected = torch.tensor([[3.0, 0.25]], dtype=torch.float64)
    seen = product.posterior(raw).concentration
    torch.testing.assert_close(seen, expected, rtol=4 * EPS, atol=0)


@pytest.mark.parametrize(
    ("text", "first", "columns"),
    [
        ("e2", 0, [0, 1]),
        ("3,e2", 1, [3, 4]),
        ("4,e1,3,e2,2", 3, [4, 8, 9]),
        ("e3,2,2,2,2,2", 5, [0, 1, 2]),
    ],
)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_noise_is_that_of_the_shell_behind_all_spheres(text, first, columns, dtype):
    """At mean 0 and variance 1 a draw is its noise, bit for bit; so is a draw of the prior."""
    product = space(text).to(dtype)
    noise = ops.normal(stream(), SAMPLES, ROWS, len(columns), shell=first, dtype=dtype)
    raw = torch.zeros(ROWS, product.raw_width, dtype=dtype)
    assert torch.equal(drawn(product, raw).z[..., columns], noise)
    prior = product.prior.sample(stream(), SAMPLES, ROWS, dtype)
    assert torch.equal(prior[..., columns], noise)
