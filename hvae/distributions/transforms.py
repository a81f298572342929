"""Transforms from real vectors to what the constraints allow, registered with torch.

`torch.distributions.biject_to` and `transform_to` find them, and so does what is built on those, as
variational guides are.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.distributions import biject_to, constraints, transform_to
from torch.distributions.transforms import (
    AffineTransform,
    ComposeTransform,
    ExpTransform,
    IndependentTransform,
    SigmoidTransform,
    Transform,
)

from hvae.distributions.constraints import MOST_SCALE, Concentrations, Scales, UnitVectors
from hvae.distributions.packed import normalised, shell_sums, spread


class StereographicProjection(Transform):
    """R^{m-1} onto S^{m-1} without -e_1, shell by shell; 0 becomes e_1.

    y = (2/(1 + s) - 1, 2 x/(1 + s)), s = |x|^2. `log_abs_det_jacobian` is the logarithm of the area
    on the sphere for one unit of volume, sum over shells of (m - 1) log(2/(1 + s)): the density of
    x is that of y, with respect to area, times it.

    Args:
        dims: ambient dimension of each shell; by default one shell, of one dimension more than x.

    Shapes: [..., sum(m - 1)] to [..., sum(m)].
    """

    domain = constraints.real_vector
    bijective = True

    def __init__(self, dims: Sequence[int] = (), cache_size: int = 0) -> None:
        self.dims = tuple(dims)
        self.codomain = UnitVectors(dims)
        super().__init__(cache_size)

    def with_cache(self, cache_size: int = 1) -> "StereographicProjection":
        """The same, remembering its last result where cache_size is 1."""
        return StereographicProjection(self.dims, cache_size)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, StereographicProjection) and self.dims == other.dims

    def __hash__(self) -> int:
        return hash((type(self), self.dims))

    def _flat(self, x: Tensor) -> list[int]:
        """The number of coordinates of each shell in x."""
        return [m - 1 for m in self.dims] or [x.shape[-1]]

    def _call(self, x: Tensor) -> Tensor:
        return torch.cat([_onto_sphere(part) for part in x.split(self._flat(x), -1)], -1)

    def _inverse(self, y: Tensor) -> Tensor:
        sizes = list(self.dims) or [y.shape[-1]]
        return torch.cat([_from_sphere(part) for part in y.split(sizes, -1)], -1)

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        """The sum over shells of (m - 1) log(2/(1 + s)), [...]."""
        flat = self._flat(x)
        return -(x.new_tensor(flat) * torch.log((1 + shell_sums(x.square(), flat)) / 2)).sum(-1)

    def forward_shape(self, shape: Sequence[int]) -> torch.Size:
        """[..., sum(m - 1)] -> [..., sum(m)]."""
        return torch.Size((*shape[:-1], shape[-1] + max(1, len(self.dims))))

    def inverse_shape(self, shape: Sequence[int]) -> torch.Size:
        """[..., sum(m)] -> [..., sum(m - 1)]."""
        return torch.Size((*shape[:-1], shape[-1] - max(1, len(self.dims))))


def _onto_sphere(x: Tensor) -> Tensor:
    scale = 2 / (1 + x.square().sum(-1, keepdim=True))
    return torch.cat((scale - 1, scale * x), -1)


def _from_sphere(y: Tensor) -> Tensor:
    first, rest = y[..., :1], y[..., 1:]
    # 1 + first; on the far half, where that cancels, from |y| = 1.
    far = rest.square().sum(-1, keepdim=True) / (1 - first.clamp(max=0))
    return rest / torch.where(first < 0, far, 1 + first)


class Normalisation(Transform):
    """Vectors to the unit vectors of their directions, shell by shell; 0 becomes e_1.

    Args:
        dims: ambient dimension of each shell; by default a vector is one shell.
    """

    domain = constraints.real_vector

    def __init__(self, dims: Sequence[int] = (), cache_size: int = 0) -> None:
        self.dims = tuple(dims)
        self.codomain = UnitVectors(dims)
        super().__init__(cache_size)

    def with_cache(self, cache_size: int = 1) -> "Normalisation":
        """The same, remembering its last result where cache_size is 1."""
        return Normalisation(self.dims, cache_size)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Normalisation) and self.dims == other.dims

    def __hash__(self) -> int:
        return hash((type(self), self.dims))

    def _call(self, x: Tensor) -> Tensor:
        dims = self.dims or x.shape[-1:]
        zero = spread(shell_sums(x.square(), dims) == 0, dims)
        first = torch.cat([torch.arange(m, device=x.device) for m in dims]) == 0
        return normalised(x + (zero & first), dims)

    def _inverse(self, y: Tensor) -> Tensor:
        return y


def _projection(constraint: UnitVectors) -> Transform:
    return StereographicProjection(constraint.dims)


def _normalisation(constraint: UnitVectors) -> Transform:
    return Normalisation(constraint.dims)


def _exponential(constraint: Concentrations) -> Transform:
    each = ExpTransform()
    return IndependentTransform(each, constraint.event_dim) if constraint.event_dim else each


def _scales(constraint: Scales) -> Transform:
    """0 becomes 1."""
    most = math.log(MOST_SCALE)
    parts = [SigmoidTransform(), AffineTransform(-most, 2 * most), ExpTransform()]
    return IndependentTransform(ComposeTransform(parts), constraint.event_dim)


biject_to.register(UnitVectors, _projection)
transform_to.register(UnitVectors, _normalisation)
for registry in (biject_to, transform_to):
    registry.register(Concentrations, _exponential)
    registry.register(Scales, _scales)
