"""The spherical Cauchy distribution (Kato and McCullagh 2020)."""

import math
from collections.abc import Sequence
from functools import lru_cache

import torch
from torch import Tensor
from torch.distributions import Distribution
from torch.distributions.constraints import Constraint, half_open_interval

from hvae.distributions.constraints import Numbers, UnitVectors
from hvae.distributions.packed import log_area
from hvae.distributions.rotational import RotationallySymmetric

_BLOCK = 32  # terms that are evaluated as one, a power of two
_TERMS = 1000  # of the divergence: the next is below 1e-17 for every m but 3 and 5 (1e-12)


class SphericalCauchy(RotationallySymmetric):
    """Density ((1 - rho^2) / |z - rho loc|^2)^(m-1) / |S^{m-1}| on S^{m-1}.

    It is the image of the uniform distribution under a Moebius transformation, which is how it is
    drawn: exactly, without rejection, and with the derivative of that map. Its tails are heavy.

    Args:
        loc: [..., m], mean directions: unit vectors to 1e-5, m from 2 to 32768.
        rho: [...], 0 <= rho < 1; it broadcasts with the leading axes of loc. 0 is the uniform
            distribution.
        validate_args: check values, as everywhere in torch.distributions.

    Shapes: batch_shape is the broadcast shape, event_shape is [m].

    Raises:
        TypeError, ValueError: as `hvae.distributions.VonMisesFisher`.

    Kato and McCullagh (2020), Some properties of a Cauchy family on the sphere derived from the
    Moebius transformations, Bernoulli 26, equations 2 and 8.

    >>> import torch
    >>> cauchy = SphericalCauchy(torch.tensor([0.0, 0.6, 0.8]), 0.5)
    >>> cauchy.rsample((5,)).shape, round(cauchy.entropy().item(), 4)
    (torch.Size([5, 3]), 1.7845)
    """

    arg_constraints: dict[str, Constraint] = {
        "loc": UnitVectors(),
        "rho": half_open_interval(0.0, 1.0),
    }
    spread_name = "rho"
    rho: Tensor

    def __init__(self, loc: Numbers, rho: Numbers, validate_args: bool | None = None) -> None:
        self._set(loc, rho, validate_args)

    def expand(
        self, batch_shape: Sequence[int], _instance: Distribution | None = None
    ) -> "SphericalCauchy":
        """The distribution with a batch shape that its own broadcasts to; nothing is copied."""
        return self._expanded(SphericalCauchy, batch_shape, _instance)

    def rsample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        """Draws [*sample_shape, *batch_shape, m], differentiable in both parameters."""
        samples, rows = math.prod(sample_shape), math.prod(self.batch_shape)
        if samples == 0 or rows == 0:
            return self._empty(sample_shape)
        u = self._uniform(self._stream(), samples)
        z = moved(u, self._mean_direction.reshape(rows, -1), self.rho.reshape(rows))
        return self._shaped(z, sample_shape)

    def log_prob(self, value: Tensor) -> Tensor:
        """(m - 1) log((1 - rho^2)/|z - rho loc|^2) - log |S|, of (1 - rho)^2 + 2 rho v."""
        v, rho = self._half_squares(value), self.rho
        ratio = (1 - rho).square() + 2 * rho * v
        power = torch.log1p(-rho) + torch.log1p(rho) - ratio.log()
        return (self.dims[0] - 1) * power - log_area(self.dims)

    def kl_to_uniform(self) -> Tensor:
        """(m - 1) (E log|u + rho loc|^2 - log(1 - rho^2)), u uniform; [*batch_shape].

        The mean is sum_j c_j rho^(2j), c_j = (m-2) (2-m/2)_{j-1} / (j (2j+m-2) (m/2)_{j-1}), whose
        Laplacian in rho loc is that of log|u + .|^2 (DLMF 15.2.1); at m = 3 in closed form.
        """
        rho = self.rho.double()
        within = torch.where(rho < 0.5, rho, 0)
        mean = self._series(within if self.dims[0] == 3 else rho)
        if self.dims[0] == 3:
            far = torch.where(rho < 0.5, 0.5, rho)
            up, down = 1 + far, 1 - far
            closed = (up.square() * up.log() - down.square() * down.log()) / (2 * far) - 1
            mean = torch.where(rho < 0.5, mean, closed)
        found = (self.dims[0] - 1) * (mean - torch.log1p(-rho) - torch.log1p(rho))
        return found.to(self._number.dtype)

    def _series(self, rho: Tensor) -> Tensor:
        """Of as many terms as there are: few by Horner, many in blocks, which are one product."""
        square, coefficients = rho.square(), _coefficients(self.dims[0])
        if len(coefficients) > _BLOCK:
            return _in_blocks(square, coefficients)
        total = torch.zeros_like(square)
        for coefficient in reversed(coefficients):
            total = (total + coefficient) * square
        return total


def _in_blocks(x: Tensor, coefficients: Sequence[float]) -> Tensor:
    """sum_j c_j x^j, j from 1: sum_b x^(32 b) sum_i c_(32 b + i) x^i."""
    count = -(-len(coefficients) // _BLOCK)
    padded = [*coefficients, *[0.0] * (count * _BLOCK - len(coefficients))]
    table = torch.tensor(padded, dtype=x.dtype, device=x.device).reshape(count, _BLOCK)
    powers = _powers(x, _BLOCK)
    high = torch.cat((torch.ones_like(x)[..., None], _powers(powers[..., -1], count)), -1)
    return ((powers @ table.T) * high[..., :count]).sum(-1)


def _powers(x: Tensor, count: int) -> Tensor:
    """x, x^2, ... [..., count or a few more]."""
    powers = x[..., None]
    while powers.shape[-1] < count:
        powers = torch.cat((powers, powers * powers[..., -1:]), -1)
    return powers


def moved(u: Tensor, loc: Tensor, rho: Tensor) -> Tensor:
    """Uniform points u [..., m] as draws: (1 - rho^2) (u + rho loc) / |u + rho loc|^2 + rho loc.

    Args:
        u, loc: unit vectors that broadcast.
        rho: [...].
    """
    rho = rho[..., None]
    pole = rho * loc
    shifted = u + pole
    square = shifted.square().sum(-1, keepdim=True).clamp(min=torch.finfo(u.dtype).tiny)
    z = (1 - rho) * (1 + rho) * shifted / square + pole
    return torch.nn.functional.normalize(z, dim=-1)


@lru_cache(maxsize=64)
def _coefficients(m: int) -> list[float]:
    """c_1, c_2, ... until they are 0 or below 1e-18."""
    found, ratio = [], 1.0
    for j in range(1, _TERMS + 1):
        found.append((m - 2) * ratio / (j * (2 * j + m - 2)))
        ratio *= (1 + j - m / 2) / (m / 2 + j - 1)
        if abs(ratio) < 1e-18:
            break
    return found
