"""The Power Spherical distribution (De Cao and Aziz 2020)."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.distributions import Distribution
from torch.distributions.constraints import Constraint

from hvae import ops
from hvae.distributions.around import around
from hvae.distributions.constraints import Concentrations, Numbers, UnitVectors
from hvae.distributions.packed import log_area
from hvae.distributions.rotational import RotationallySymmetric


class PowerSpherical(RotationallySymmetric):
    """Density proportional to (1 + loc.z)^k on S^{m-1}.

    Args:
        loc: [..., m], mean directions: unit vectors to 1e-5, m from 2 to 32768.
        concentration: [...], k, 0 <= k < infinity; it broadcasts with the leading axes of loc. The
            `scale` of the power_spherical package.
        validate_args: check values, as everywhere in torch.distributions.

    Shapes: batch_shape is the broadcast shape, event_shape is [m].

    Raises:
        TypeError, ValueError: as `hvae.distributions.VonMisesFisher`.

    (1 + loc.z)/2 is Beta(k + b, b), b = (m - 1)/2, drawn by `hvae.ops.power_angle`, and the
    direction across loc is uniform. Gradients of draws are unbiased in loc, by the smallest
    rotation, and in the concentration. De Cao and Aziz (2020), The Power Spherical distribution,
    equations 9 to 13.

    >>> import torch
    >>> ball = PowerSpherical(torch.tensor([0.0, 0.6, 0.8]), 4.0)
    >>> ball.rsample((5,)).shape, round(ball.entropy().item(), 4)
    (torch.Size([5, 3]), 1.7216)
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
    ) -> "PowerSpherical":
        """The distribution with a batch shape that its own broadcasts to; nothing is copied."""
        return self._expanded(PowerSpherical, batch_shape, _instance)

    @property
    def _beta(self) -> tuple[Tensor, float]:
        """The parameters of (1 + loc.z)/2, of which the second is b = (m - 1)/2."""
        b = (self.dims[0] - 1) / 2
        return self.concentration + b, b

    def rsample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        """Draws [*sample_shape, *batch_shape, m] with unbiased gradients to both parameters."""
        samples, rows = math.prod(sample_shape), math.prod(self.batch_shape)
        if samples == 0 or rows == 0:
            return self._empty(sample_shape)
        rng = self._stream()
        mean = self._mean_direction.reshape(rows, -1)
        k = self.concentration.reshape(rows)
        theta = ops.power_angle(k, self.dims[0], rng, samples)
        return self._shaped(around(mean, theta, rng, shell=1), sample_shape)

    def _log_normaliser(self) -> Tensor:
        """log of the mean of ((1 + t)/2)^k under the uniform distribution, float64."""
        b = self._beta[1]
        wide = self.concentration.double() + b
        constant = math.lgamma(2 * b) - math.lgamma(b)
        return torch.lgamma(wide) - torch.lgamma(wide + b) + constant

    def log_prob(self, value: Tensor) -> Tensor:
        """k log((1 + loc.value)/2) - log normaliser - log |S|, at value [..., m]."""
        v = self._half_squares(value)
        power = torch.where(self.concentration > 0, self.concentration * torch.log1p(-v / 2), 0)
        return power - (self._log_normaliser() + log_area(self.dims)).to(self._number.dtype)

    def kl_to_uniform(self) -> Tensor:
        """k (psi(a) - psi(a + b)) - log normaliser; [*batch_shape]."""
        b = self._beta[1]
        wide = self.concentration.double() + b
        mean = torch.digamma(wide) - torch.digamma(wide + b)
        found = self.concentration.double() * mean - self._log_normaliser()
        return found.to(self._number.dtype)

    @property
    def mean(self) -> Tensor:
        """k / (k + m - 1) loc; [*batch_shape, m]."""
        length = self.concentration / (self.concentration + 2 * self._beta[1])
        return length[..., None] * self._mean_direction

    @property
    def variance(self) -> Tensor:
        """Of each coordinate, from Beta's; [*batch_shape, m]."""
        a, b = self._beta
        along = 4 * a * b / ((a + b).square() * (a + b + 1))
        across = 2 * a / ((a + b) * (a + b + 1))
        square = self._mean_direction.square()
        return along[..., None] * square + across[..., None] * (1 - square)
