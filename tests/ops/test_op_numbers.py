"""`ops.normal` and `ops.uniform`: the reference's numbers, with their distributions."""

import exact
import pytest
import scipy.stats
import torch

from hvae import ops, random, reference

pytestmark = pytest.mark.usefixtures("device")


@pytest.mark.parametrize("name", ["normal", "uniform"])
def test_streams_agree_with_the_reference(name, dtype):
    """2 eps for a uniform; a normal loses eps/radius where its radius's uniform nears 1."""
    rng = random.stream(-3, "prior", step=1, row=2**32 - 5, sample=3)
    for shell, n in ((0, 1), (3, 7), (1, 64)):
        x = getattr(ops, name)(rng, 3, 40, n, shell, dtype)
        y = getattr(reference, name)(rng, 3, 40, n, shell, dtype)
        assert x.dtype == dtype and x.shape == y.shape == (3, 40, n)
        bound = {"uniform": 2, "normal": 256}[name] * torch.finfo(dtype).eps
        torch.testing.assert_close(x, y, rtol=0, atol=bound)
        assert ((x - y).abs() > 8 * torch.finfo(dtype).eps).double().mean() < 0.01


def test_uniforms_are_inside_the_unit_interval(dtype):
    u = ops.uniform(random.stream(4, "user"), 1, 1000, 2000, dtype=dtype)
    assert u.min() > 0 and u.max() <= 1
    distance = exact.kolmogorov_distance(exact.array(u.flatten()[:200000].double()))
    assert distance < exact.kolmogorov_bound(1e-6)


def test_normals_are_normal(dtype):
    x = exact.array(ops.normal(random.stream(4, "user"), 2, 500, 200, dtype=dtype).flatten())
    distance = exact.kolmogorov_distance(scipy.stats.norm.cdf(x))
    assert distance < exact.kolmogorov_bound(1e-6)
    assert x.min() < -4 and x.max() > 4  # the tails are there: 200,000 draws
