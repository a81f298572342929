"""What the arguments of a distribution may be: their types and dimensions, and their values."""

import functools
import math
import operator
from collections.abc import Iterable, Sequence
from numbers import Real
from typing import Any

import torch
from torch import Tensor
from torch.distributions.constraints import Constraint

from hvae.distributions.packed import shell_sums

LARGEST_DIM = 1 << 15  # the random counter of a shell holds no more normal numbers
MOST_SCALE = 1e13  # whose logarithm the kernels hold
WIDE = (torch.float32, torch.float64)
REDUCED = (torch.float16, torch.bfloat16)
Numbers = Tensor | float | Sequence[Any]  # a list of numbers, or of such lists


# ---- types and dimensions ------------------------------------------------------------------------


def check_tensor(name: str, value: object, device: torch.device | None = None) -> Tensor:
    """`value`, a floating tensor, on `device` where one is given."""
    if not isinstance(value, Tensor):
        raise TypeError(f"{name} is a {type(value).__name__}; allowed: a floating tensor")
    if value.dtype not in (*WIDE, *REDUCED):
        raise TypeError(
            f"{name} has dtype {value.dtype}; allowed: torch.float32, torch.float64, "
            "torch.float16, torch.bfloat16"
        )
    if device is not None and value.device != device:
        raise ValueError(f"{name} is on {value.device}; allowed: {device}, the device of the rest")
    return value


def parameter(name: str, value: Numbers, like: object) -> Tensor:
    """`value`, a floating tensor or numbers.

    Numbers become a tensor in the dtype (at least float32) and on the device of `like`, where that
    is a tensor, and otherwise in torch's default ones.
    """
    if isinstance(value, Real | list | tuple) and not isinstance(value, bool):
        dtype, device = torch.get_default_dtype(), None
        if isinstance(like, Tensor):
            dtype, device = compute_dtype(like), like.device
        try:
            value = torch.tensor(value, dtype=dtype, device=device)
        except (TypeError, ValueError) as error:
            raise TypeError(f"{name} is no array of numbers: {error}; allowed: one") from None
    return check_tensor(name, value)


def checked_dims(name: str, dims: Iterable[int]) -> tuple[int, ...]:
    """`dims` as a tuple; `name` is how the user calls it."""
    try:
        sizes = tuple(operator.index(m) for m in dims)
    except TypeError:
        raise TypeError(f"{name} is {dims!r}; allowed: integers") from None
    if not sizes or min(sizes) < 2 or max(sizes) > LARGEST_DIM:
        raise ValueError(f"{name} is {sizes}; allowed: ambient dimensions from 2 to {LARGEST_DIM}")
    return sizes


def compute_dtype(*tensors: Tensor) -> torch.dtype:
    """What torch promotes these to, at least float32."""
    return functools.reduce(torch.promote_types, (t.dtype for t in tensors), torch.float32)


# ---- values --------------------------------------------------------------------------------------


class UnitVectors(Constraint):
    """Vectors of length 1 on every shell, to the larger of 1e-5 and two units of rounding.

    F.normalize in float32 leaves 7e-7 at 32768 dimensions; SciPy allows 1e-5.

    Args:
        dims: ambient dimension of each shell; by default a vector of any dimension is one shell.
    """

    event_dim = 1

    def __init__(self, dims: Sequence[int] = ()) -> None:
        self.dims = tuple(dims)
        super().__init__()

    def check(self, value: Tensor) -> Tensor:
        """[..., sum(dims)] -> [...], whether every shell has length 1."""
        allowed = max(1e-5, 2 * torch.finfo(value.dtype).eps)
        return ((self.lengths(value) - 1).abs() <= allowed).all(-1)

    def lengths(self, value: Tensor) -> Tensor:
        """[..., sum(dims)] -> [..., shells], the length of each shell."""
        wide = value.to(torch.promote_types(value.dtype, torch.float32))
        return torch.sqrt(shell_sums(wide.square(), self.dims or value.shape[-1:]))

    def describe(self, event: Tensor) -> str:
        """Its length, or the length of each shell."""
        lengths = [round(length, 7) for length in self.lengths(event).tolist()]
        return f"a vector of length {lengths[0] if len(lengths) == 1 else lengths}"

    def __repr__(self) -> str:
        return "length 1" if len(self.dims) < 2 else f"length 1 on each shell of dims {self.dims}"


class Concentrations(Constraint):
    """Finite numbers that are not negative; with event_dim 1, on every shell."""

    def __init__(self, event_dim: int) -> None:
        self.event_dim = event_dim
        super().__init__()

    def check(self, value: Tensor) -> Tensor:
        """Whether each number, with event_dim 1 each row, satisfies the constraint."""
        valid = (value >= 0) & (value < math.inf)
        return valid.all(-1) if self.event_dim else valid

    def describe(self, event: Tensor) -> str:
        """The number, or those of the shells."""
        return str(event.tolist())

    def __repr__(self) -> str:
        return "0 <= concentration < infinity"


class Scales(Constraint):
    """Numbers from 1e-13 to 1e13, whose logarithms the kernels hold; one a coordinate."""

    event_dim = 1

    def check(self, value: Tensor) -> Tensor:
        """[..., m] -> [...], whether each row satisfies the constraint."""
        return ((value >= 1 / MOST_SCALE) & (value <= MOST_SCALE)).all(-1)

    def describe(self, event: Tensor) -> str:
        """The numbers of the row."""
        return str(event.tolist())

    def __repr__(self) -> str:
        return "1e-13 <= scale <= 1e13"


Describable = UnitVectors | Concentrations | Scales


def violation(name: str, value: Tensor, constraint: Describable) -> str | None:
    """One line about the first element of `value` that breaks the constraint; None if none does."""
    broken = (~constraint.check(value)).nonzero().tolist()
    if not broken:
        return None
    place = f", at {tuple(broken[0])}," if broken[0] else ""
    described = constraint.describe(value.detach()[tuple(broken[0])])
    return f"{name} is{place} {described}; allowed: {constraint}"
