"""The reference's random stream against published vectors and exact distributions."""

import math

import exact
import numpy as np
import pytest
import scipy.stats
import torch

from hvae import random, reference
from hvae.reference.stream import cos_sin_turn, open_uniform


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
    u = open_uniform(n, bits)
    assert ((u > 0) & (u < 1)).all()
    np.testing.assert_array_equal(1 - u.numpy(), open_uniform(top - n, bits).numpy())
    quarters = torch.arange(8) * (1 << (bits - 3))
    c, s = cos_sin_turn(quarters, bits)
    angle = (2 * math.pi * open_uniform(quarters, bits)).numpy()
    np.testing.assert_allclose(c, np.cos(angle), rtol=0, atol=2e-15)
    np.testing.assert_allclose(s, np.sin(angle), rtol=0, atol=2e-15)
    # Just above a quarter turn the cosine is -pi 2^-bits: no digit may be lost.
    assert c[2].item() == pytest.approx(-math.pi * 2.0**-bits, rel=1e-15)


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
