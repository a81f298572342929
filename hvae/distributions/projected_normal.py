"""The projected normal distribution with identity covariance (Mardia and Jupp 2000, 9.3.3)."""

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.distributions import Distribution
from torch.distributions.constraints import Constraint

from hvae import ops
from hvae.distributions.chi import log_chi_moment
from hvae.distributions.constraints import Concentrations, Numbers, UnitVectors
from hvae.distributions.packed import log_area
from hvae.distributions.rotational import RotationallySymmetric

_NODES = 80
_REACH = 9.0  # a normal variate, or a chi variate less its root mean square, is beyond: below 3e-18
_SMALL = 1.0  # up to this concentration means are taken of the difference from the uniform density


class ProjectedNormal(RotationallySymmetric):
    """x/|x| on S^{m-1} for x normal with mean k loc and the identity as covariance.

    With w = loc.z and v = 1 - w its density is, r chi-distributed with m degrees of freedom,

        exp(-k^2/2) E exp(k w r) / |S^{m-1}| = (2 pi)^{-m/2} exp(-k^2/2) I_{m-1}(k w),

    I_n(t) the integral of r^n exp(-r^2/2 + r t) over r > 0, a parabolic cylinder function
    (`hvae.distributions.chi`, whose value is good to rounding for every m and k w of either sign).

    Args:
        loc: [..., m], mean directions: unit vectors to 1e-5, m from 2 to 32768.
        concentration: [...], k, 0 <= k <= 1e150, the length of the mean of x; it broadcasts with
            the leading axes of loc. 0 is the uniform distribution.
        validate_args: check values, as everywhere in torch.distributions.

    Shapes: batch_shape is the broadcast shape, event_shape is [m].

    Raises:
        TypeError, ValueError: as `hvae.distributions.VonMisesFisher`.

    A draw is differentiable in both parameters, without rejection. Its gradient has a factor 1/|x|,
    whose variance is infinite at m = 2.

    >>> import torch
    >>> normal = ProjectedNormal(torch.tensor([0.0, 0.6, 0.8]), 2.0)
    >>> normal.rsample((5,)).shape, round(normal.entropy().item(), 4)
    (torch.Size([5, 3]), 1.3595)
    """

    arg_constraints: dict[str, Constraint] = {
        "loc": UnitVectors(),
        "concentration": Concentrations(0),
    }
    spread_name = "concentration"
    concentration: Tensor

    def __init__(
        self, loc: Numbers, concentration: Numbers, validate_args: bool | None = None
    ) -> None:
        self._set(loc, concentration, validate_args)

    def expand(
        self, batch_shape: Sequence[int], _instance: Distribution | None = None
    ) -> "ProjectedNormal":
        """The distribution with a batch shape that its own broadcasts to; nothing is copied."""
        return self._expanded(ProjectedNormal, batch_shape, _instance)

    def rsample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        """Draws [*sample_shape, *batch_shape, m], differentiable in both parameters."""
        samples, rows = math.prod(sample_shape), math.prod(self.batch_shape)
        if samples == 0 or rows == 0:
            return self._empty(sample_shape)
        noise = ops.normal(self._stream(), samples, rows, self.dims[0], dtype=self._number.dtype)
        centre = self._mean_direction * self.concentration[..., None]
        x = noise + centre.reshape(rows, -1)
        return self._shaped(torch.nn.functional.normalize(x, dim=-1), sample_shape)

    def log_prob(self, value: Tensor) -> Tensor:
        """log E exp(k w r) - k^2/2 - log |S|, at value [..., m]."""
        v = self._half_squares(value)
        found = _log_ratio(self.concentration.double(), v.double(), self.dims[0])
        return found.to(v.dtype) - log_area(self.dims)

    def kl_to_uniform(self) -> Tensor:
        """E log q/p, q this distribution and p the uniform one; [*batch_shape].

        Gauss-Legendre of 80 nodes over the angle, good to 2e-14 + 2e-17 m relative. Up to k = 1
        the integrand is (q/p) log(q/p) - q/p + 1, in which nothing cancels.
        """
        angles = self._angles
        log_ratio = angles.log_ratio
        far = (angles.probability * log_ratio).sum(-1)
        near = (angles.uniform * _excess(self._if_small(log_ratio))).sum(-1)
        return torch.where(self._is_small, near, far).to(self._number.dtype)

    @property
    def mean(self) -> Tensor:
        """E[w] loc; [*batch_shape, m]."""
        angles = self._angles
        far = 1 - (angles.probability * angles.v).sum(-1)
        above = torch.expm1(self._if_small(angles.log_ratio))
        near = (angles.uniform * above * (1 - angles.v)).sum(-1)
        length = torch.where(self._is_small, near, far).to(self._number.dtype)
        return length[..., None] * self._mean_direction

    @property
    def variance(self) -> Tensor:
        """Of each coordinate: Var w along loc, E[1 - w^2]/(m - 1) across; [*batch_shape, m]."""
        angles, dtype = self._angles, self._number.dtype
        centred = angles.v - (angles.probability * angles.v).sum(-1, keepdim=True)
        along = (angles.probability * centred.square()).sum(-1).to(dtype)
        across = (angles.probability * angles.v * (2 - angles.v)).sum(-1).to(dtype)
        square = self._mean_direction.square()
        return along[..., None] * square + across[..., None] * (1 - square) / (self.dims[0] - 1)

    @property
    def _is_small(self) -> Tensor:
        return self.concentration <= _SMALL

    def _if_small(self, x: Tensor) -> Tensor:
        """Where the result is not used, what has an exponential."""
        return torch.where(self._is_small[..., None], x, 0)

    @property
    def _angles(self) -> "_Angles":
        """The law of the angle from loc, on nodes that hold all but 1e-16 of it."""
        m, k = self.dims[0], self.concentration.double()
        low, high = _interval(k.detach(), m)
        x, log_weight = (torch.tensor(a, device=k.device) for a in _rule())
        theta = low[..., None] + (high - low)[..., None] * x
        v = 2 * torch.sin(theta / 2).square()
        log_uniform = log_weight + (m - 2) * torch.sin(theta).log()
        log_ratio = _log_ratio(k[..., None], v, m)
        both = (log_uniform + log_ratio).softmax(-1)
        return _Angles(v, log_ratio, log_uniform.softmax(-1), both)


class _Angles(NamedTuple):
    """Nodes [..., 80] of the angle.

    Attributes:
        v: 1 - cos theta.
        log_ratio: log q/p.
        uniform, probability: of the node under p and q.
    """

    v: Tensor
    log_ratio: Tensor
    uniform: Tensor
    probability: Tensor


def _log_ratio(k: Tensor, v: Tensor, m: int) -> Tensor:
    """log q/p; for w > 0 it is log E exp(k w r) - (k w)^2/2 - k^2 v (2 - v)/2."""
    t = k * (1 - v)
    rest = torch.where(t > 0, v * (2 - v), 1)
    return log_chi_moment(t, m) - k.square() * rest / 2


def _excess(x: Tensor) -> Tensor:
    """exp(x) (x - 1) + 1, by its series where it is small."""
    series = torch.zeros_like(x)
    for j in range(14, 1, -1):  # the next term is below 1e-17 of the first for |x| < 1/4
        series = series * x + (j - 1) / math.factorial(j)
    return torch.where(x.abs() < 0.25, series * x.square(), x.exp() * (x - 1) + 1)


def _interval(k: Tensor, m: int) -> tuple[Tensor, Tensor]:
    """Angles between which all but 1e-16 lies, up to `_SMALL` of the uniform distribution too.

    The angle is atan2(c, k + g), g normal and c chi-distributed with m - 1 degrees of freedom; it
    grows with c where k + g > 0, and falls with it where k + g < 0.
    """
    root = math.sqrt(m - 1)
    least, most = (torch.full_like(k, c) for c in (max(root - _REACH, 0), root + _REACH))
    ahead, behind = k + _REACH, torch.where(k <= _SMALL, 0, k) - _REACH
    return torch.atan2(least, ahead), torch.atan2(torch.where(behind >= 0, most, least), behind)


@lru_cache(maxsize=1)
def _rule() -> tuple[np.ndarray, np.ndarray]:
    """Nodes and logarithms of weights of Gauss-Legendre on [0, 1]."""
    x, weight = np.polynomial.legendre.leggauss(_NODES)
    return (x + 1) / 2, np.log(weight / 2)
