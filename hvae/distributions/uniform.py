"""The uniform distribution on a sphere, and what it shares with that on a product of spheres."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.distributions import Distribution
from torch.distributions.constraints import Constraint

from hvae.distributions.constraints import WIDE, checked_dims, compute_dtype
from hvae.distributions.draws import fresh_key, uniform_draws
from hvae.distributions.packed import log_area, spread
from hvae.distributions.spheres import OnSpheres


class UniformOnSpheres(OnSpheres):
    """The uniform distribution on one sphere or a product of several."""

    arg_constraints: dict[str, Constraint] = {}
    shared = ("dims", "dtype", "device")
    dtype: torch.dtype

    def _set(
        self,
        dims: tuple[int, ...],
        dtype: torch.dtype | None,
        device: torch.device | str | None,
        validate_args: bool | None,
    ) -> None:
        dtype = torch.get_default_dtype() if dtype is None else dtype
        if dtype not in WIDE:
            raise TypeError(f"dtype is {dtype}; allowed: torch.float32, torch.float64")
        self.dims, self.dtype = dims, dtype
        self.device = torch.empty(0, device=device).device
        self._finish(torch.Size(), validate_args)

    def _full(self, shape: Sequence[int], value: float) -> Tensor:
        return torch.full(shape, value, dtype=self.dtype, device=self.device)

    def rsample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        """Draws [*sample_shape, *batch_shape, *event_shape]; there is nothing to differentiate."""
        shape = torch.Size(sample_shape) + self.batch_shape + self.event_shape
        samples, rows = math.prod(sample_shape), math.prod(self.batch_shape)
        if samples == 0:
            return self._full(shape, 0.0)
        rng = torch.nn.functional.pad(fresh_key(self.device), (0, 3))
        return uniform_draws(self.dims, rng, samples, rows, self.dtype).reshape(shape)

    def log_prob(self, value: Tensor) -> Tensor:
        """-log |S| for value [..., *event_shape]."""
        if self._validate_args:
            self._validate_sample(value)
        shape = torch.broadcast_shapes(value.shape[:-1], self.batch_shape)
        dtype = compute_dtype(value)
        return torch.full(shape, -log_area(self.dims), dtype=dtype, device=value.device)

    def entropy(self) -> Tensor:
        """log |S|; [*batch_shape]."""
        return self._full(self.batch_shape, log_area(self.dims))

    @property
    def mean(self) -> Tensor:
        """0, the centre; [*batch_shape, *event_shape]."""
        return self._full(self.batch_shape + self.event_shape, 0.0)

    @property
    def mode(self) -> Tensor:
        """NaN: there is none, as for torch's Uniform."""
        return self._full(self.batch_shape + self.event_shape, math.nan)

    @property
    def variance(self) -> Tensor:
        """1/m of each coordinate, m its shell's dimension; [*batch_shape, *event_shape]."""
        each = 1 / torch.tensor(self.dims, dtype=self.dtype, device=self.device)
        return spread(each, self.dims).expand(self.batch_shape + self.event_shape)

    @property
    def covariance_matrix(self) -> Tensor:
        """`variance` on the diagonal; [*batch_shape, M, M], M = sum(dims)."""
        return torch.diag_embed(self.variance)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.dims})"


class HypersphericalUniform(UniformOnSpheres):
    """The uniform distribution on S^{dim-1}, density 1/|S^{dim-1}|.

    Args:
        dim: the AMBIENT dimension, 2 to 32768.
        dtype, device: of draws; float32 or float64, default torch's.
        validate_args: check values given to log_prob.

    Shapes: batch_shape is [], event_shape is [dim].

    Raises:
        TypeError, ValueError: for a dim that is no integer or out of range, or another dtype.

    >>> import math
    >>> sphere = HypersphericalUniform(3)
    >>> math.isclose(sphere.entropy(), math.log(4 * math.pi), rel_tol=1e-6)
    True
    >>> sphere.sample((5,)).shape
    torch.Size([5, 3])
    """

    def __init__(
        self,
        dim: int,
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
        validate_args: bool | None = None,
    ) -> None:
        self._set(checked_dims("dim", (dim,)), dtype, device, validate_args)

    def expand(
        self, batch_shape: Sequence[int], _instance: Distribution | None = None
    ) -> "HypersphericalUniform":
        """The distribution with a batch shape that its own broadcasts to; nothing is copied."""
        return self._expanded(HypersphericalUniform, batch_shape, _instance)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.dims[0]})"
