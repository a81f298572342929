"""What distributions on one sphere share that are symmetric around a mean direction."""

import math
from abc import abstractmethod
from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor

from hvae.distributions.constraints import (
    REDUCED,
    Numbers,
    checked_dims,
    compute_dtype,
    parameter,
)
from hvae.distributions.draws import fresh_key, uniform_draws
from hvae.distributions.packed import log_area, normalised
from hvae.distributions.spheres import OnSpheres


class RotationallySymmetric(OnSpheres):
    """A mean direction `loc` [*batch_shape, m] and a number `spread_name` [*batch_shape]."""

    shared: ClassVar[tuple[str, ...]] = ("dims", "device")
    spread_name: ClassVar[str]
    loc: Tensor

    def _set(self, loc: Numbers, number: Numbers, validate_args: bool | None) -> None:
        name = self.spread_name
        loc = parameter("loc", loc, like=number)
        if loc.dim() < 1:
            raise ValueError("loc has shape (); allowed: [..., m]")
        self.dims = checked_dims("the event shape of loc", loc.shape[-1:])
        number = parameter(name, number, like=loc)
        if number.device != loc.device:
            raise ValueError(
                f"{name} is on {number.device}; allowed: {loc.device}, the device of the rest"
            )
        try:
            batch_shape = torch.broadcast_shapes(loc.shape[:-1], number.shape)
        except RuntimeError:
            raise ValueError(
                f"loc and {name} have batch shapes {tuple(loc.shape[:-1])} and "
                f"{tuple(number.shape)}; allowed: shapes that broadcast"
            ) from None
        self.device = loc.device
        self.loc = loc.expand(*batch_shape, -1)
        setattr(self, name, number.to(compute_dtype(loc, number)).expand(batch_shape))
        self._finish(batch_shape, validate_args)

    def __repr__(self) -> str:
        loc, number = (tuple(x.shape) for x in (self.loc, self._number))
        return f"{type(self).__name__}(loc: {loc}, {self.spread_name}: {number})"

    @property
    def _number(self) -> Tensor:
        number: Tensor = getattr(self, self.spread_name)
        return number

    @property
    def _mean_direction(self) -> Tensor:
        """loc in the dtype of results; where that is wider than its own 16 bits, normalised."""
        mean = self.loc.to(self._number.dtype)
        return normalised(mean, self.dims) if self.loc.dtype in REDUCED else mean

    @property
    def mode(self) -> Tensor:
        """loc, also where every point is a mode."""
        return self._mean_direction

    def _half_squares(self, value: Tensor) -> Tensor:
        """v = |value - loc|^2 / 2 = 1 - loc.value, [...]."""
        if self._validate_args:
            self._validate_sample(value)
        dtype = compute_dtype(value, self._number)
        return (value.to(dtype) - self._mean_direction).square().sum(-1) / 2

    def entropy(self) -> Tensor:
        """log |S| less the divergence to the uniform distribution; [*batch_shape]."""
        return log_area(self.dims) - self.kl_to_uniform()

    @abstractmethod
    def kl_to_uniform(self) -> Tensor:
        """The divergence to the uniform distribution, exact; [*batch_shape]."""

    def _uniform(self, rng: Tensor, samples: int, shell: int = 0) -> Tensor:
        """Uniform points [samples, rows, m], the batch flattened to rows."""
        rows = math.prod(self.batch_shape)
        return uniform_draws(self.dims, rng, samples, rows, self._number.dtype, shell)

    def _stream(self) -> Tensor:
        return torch.nn.functional.pad(fresh_key(self.device), (0, 3))

    def _shaped(self, draws: Tensor, sample_shape: Sequence[int]) -> Tensor:
        return draws.reshape(torch.Size(sample_shape) + self.batch_shape + self.event_shape)

    def _empty(self, sample_shape: Sequence[int]) -> Tensor:
        return self._mean_direction.expand(
            torch.Size(sample_shape) + self.batch_shape + self.event_shape
        )
