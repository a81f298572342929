"""VonMisesFisher.fit: the maximum-likelihood estimate.

Statistical tests have a fixed seed and a stated false-alarm rate: by chance they fail once in so
many changes of the random numbers, never in a second run of the same code.
"""

import math

import pytest
import torch
from directions import DOUBLE, directions

from hvae import ops
from hvae.distributions import VonMisesFisher


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
    """No direction leads: loc is e_1, as documented."""
    vmf = VonMisesFisher.fit(torch.tensor([[0.0, 1.0, 0.0], [0.0, -1.0, 0.0]]))
    assert vmf.concentration == 0 and vmf.loc.tolist() == [1, 0, 0]
