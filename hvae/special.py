"""Modified Bessel functions of the first kind, in logarithms and ratios, for torch and NumPy.

    log_iv(v, x)      log I_v(x)                 log(scipy.special.iv(v, x))
    log_ive(v, x)     log(exp(-x) I_v(x))        log(scipy.special.ive(v, x))
    iv_ratio(v, x)    I_v(x) / I_{v-1}(x)        iv(v, x) / iv(v - 1, x)
    log_hyp0f1(b, x)  log 0F1(; b; x)            log(scipy.special.hyp0f1(b, x))
    one_minus_iv_ratio(v, x)  its complement to 1

None of them overflows or underflows on the way: orders to 1e300 and arguments from 1e-300 to 1e300
are ordinary (float32: 1e38, 1e-37). At an infinite order they have their limits. They are computed
by the two zones of `csrc/math/vmf.h` (the power series DLMF 10.25.2 and the logarithm of the
uniform expansion DLMF 10.41.3).

Every function takes tensors on one device that broadcast, float32 or float64 (float16 and bfloat16
are computed in float32 and rounded once), or NumPy arrays and numbers, which give NumPy arrays and
numbers. An order that is a number is the fast way: its coefficients are prepared once. NaN comes
out where an argument is outside the domain, v >= 0 (b > 0) and x >= 0, and the exact limits at
x = 0 and x = infinity.

Derivatives are in x, of any order; the first is exact, beyond it digits are lost at large x (about
eps x relative). There is no derivative in the order: `backward` raises RuntimeError where
one is asked for.
"""

import math
from collections.abc import Callable
from numbers import Real
from typing import Any, overload

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from hvae import ops

__all__ = ["iv_ratio", "log_hyp0f1", "log_iv", "log_ive", "one_minus_iv_ratio"]

Order = float | Tensor
Argument = Tensor | npt.ArrayLike


@overload
def log_iv(v: Order, x: Tensor) -> Tensor: ...
@overload
def log_iv(v: Tensor, x: float) -> Tensor: ...
@overload
def log_iv(v: npt.ArrayLike, x: npt.ArrayLike) -> Any: ...
def log_iv(v: Argument, x: Argument) -> Any:
    """log I_v(x), the logarithm of the modified Bessel function of the first kind.

    Args:
        v: order, v >= 0, a number or a tensor (array) that broadcasts with x.
        x: argument, x >= 0, a floating tensor, or NumPy array or number.

    Returns:
        The broadcast shape; dtype as torch (NumPy) promotes v and x. log_iv(0, 0) = 0,
        log_iv(v, 0) = -inf for v > 0, log_iv(v, inf) = inf; NaN outside the domain.

    Raises:
        TypeError: for an argument that is not floating (an integer tensor, a complex array).
        ValueError: for shapes that do not broadcast or tensors on two devices.

    Error at most 1e-15 max(abs(log I), sqrt(v^2 + x^2)), float32 3e-7. DLMF 10.25.2, 10.41.3.

    >>> import torch
    >>> x = torch.tensor([0.0, 1.0, 1000.0], dtype=torch.float64, requires_grad=True)
    >>> y = log_iv(0, x)
    >>> y.detach().numpy().round(6).tolist()
    [0.0, 0.235914, 995.627309]
    >>> torch.autograd.grad(y.sum(), x)[0].numpy().round(6).tolist()
    [0.0, 0.44639, 0.9995]
    >>> float(round(log_iv(500.0, 0.1), 3))  # I_500(0.1) is 1e-1785
    -4109.197
    """
    return _on_either("v", v, x, _log_iv)


@overload
def log_ive(v: Order, x: Tensor) -> Tensor: ...
@overload
def log_ive(v: Tensor, x: float) -> Tensor: ...
@overload
def log_ive(v: npt.ArrayLike, x: npt.ArrayLike) -> Any: ...
def log_ive(v: Argument, x: Argument) -> Any:
    """log(exp(-x) I_v(x)), the logarithm of the exponentially scaled Bessel function.

    Args:
        v: order, v >= 0, a number or a tensor (array) that broadcasts with x.
        x: argument, x >= 0, a floating tensor, or NumPy array or number.

    Returns:
        The broadcast shape; dtype as torch (NumPy) promotes v and x. log_ive(0, 0) = 0,
        log_ive(v, 0) = -inf for v > 0, log_ive(v, inf) = -inf; NaN outside the domain.

    Raises:
        TypeError, ValueError: as `log_iv`.

    Error at most 1e-15 max(abs(log I), sqrt(v^2 + x^2)), float32 3e-7. DLMF 10.25.2, 10.41.3.

    >>> import numpy as np
    >>> log_ive(1.5, np.array([0.0, 1.0, 1e6])).round(6).tolist()
    [-inf, -2.225791, -7.826695]
    """
    return _on_either("v", v, x, _log_ive)


@overload
def iv_ratio(v: Order, x: Tensor) -> Tensor: ...
@overload
def iv_ratio(v: Tensor, x: float) -> Tensor: ...
@overload
def iv_ratio(v: npt.ArrayLike, x: npt.ArrayLike) -> Any: ...
def iv_ratio(v: Argument, x: Argument) -> Any:
    """I_v(x) / I_{v-1}(x), which tends to 1 as x grows.

    With v = m/2 it is the mean resultant length A_m(x) of a von Mises-Fisher distribution on
    S^{m-1} of concentration x. Orders in [0, 1) come from the recurrence DLMF 10.29.1,
    1/(2v/x + I_{v+1}/I_v), also below v = 1/2, where SciPy's iv_ratio is NaN.

    Args:
        v: order of the numerator, v >= 0, a number or a tensor (array) that broadcasts with x.
        x: argument, x >= 0, a floating tensor, or NumPy array or number.

    Returns:
        The broadcast shape; dtype as torch (NumPy) promotes v and x. iv_ratio(v, 0) = 0 (inf at
        v = 0), iv_ratio(v, inf) = 1, iv_ratio(inf, x) = 0; NaN outside the domain.

    Raises:
        TypeError, ValueError: as `log_iv`.

    Relative error at most 1.5e-15, float32 5e-7 (1e-15 and 3e-7 more for v < 1); its derivative
    3e-15, 3e-6 (for v < 1 in units of 1/x^2 at large x). DLMF 10.29.1, 10.25.2, 10.41.3.

    >>> import math, torch
    >>> ratio = iv_ratio(1.5, torch.tensor([1e-300, 2.0], dtype=torch.float64))  # coth x - 1/x
    >>> math.isclose(ratio[0], 1e-300 / 3), math.isclose(ratio[1], 1 / math.tanh(2) - 0.5)
    (True, True)
    """
    return _on_either("v", v, x, _iv_ratio)


@overload
def one_minus_iv_ratio(v: Order, x: Tensor) -> Tensor: ...
@overload
def one_minus_iv_ratio(v: Tensor, x: float) -> Tensor: ...
@overload
def one_minus_iv_ratio(v: npt.ArrayLike, x: npt.ArrayLike) -> Any: ...
def one_minus_iv_ratio(v: Argument, x: Argument) -> Any:
    """1 - I_v(x) / I_{v-1}(x) without cancellation, about (2v - 1)/(2x) at large x.

    With v = m/2 it is 1 - A_m(x), the mean of 1 - mu.z of a von Mises-Fisher distribution.

    Args:
        v: order of the numerator, v >= 1 (m >= 2), a number or a tensor (array) that broadcasts
            with x.
        x: argument, x >= 0, a floating tensor, or NumPy array or number.

    Returns:
        The broadcast shape; dtype as torch (NumPy) promotes v and x. 1 at x = 0, 0 at x = inf, 1 at
        v = inf; NaN outside the domain.

    Raises:
        TypeError, ValueError: as `log_iv`.

    Relative error at most 1.5e-15, float32 5e-7. DLMF 10.25.2, 10.41.3.

    >>> import math, torch
    >>> x = torch.tensor([2.0, 1e9], dtype=torch.float64)
    >>> rest = one_minus_iv_ratio(1.5, x)  # 1 - coth x + 1/x
    >>> math.isclose(rest[0], 1.5 - 1 / math.tanh(2)), math.isclose(rest[1], 1e-9)
    (True, True)
    """
    return _on_either("v", v, x, _one_minus_iv_ratio)


@overload
def log_hyp0f1(b: Order, x: Tensor) -> Tensor: ...
@overload
def log_hyp0f1(b: Tensor, x: float) -> Tensor: ...
@overload
def log_hyp0f1(b: npt.ArrayLike, x: npt.ArrayLike) -> Any: ...
def log_hyp0f1(b: Argument, x: Argument) -> Any:
    """log 0F1(; b; x), the logarithm of the confluent hypergeometric limit function.

    With b = m/2 and x = kappa^2/4 it is the logarithm L_m(kappa) of the normalizing constant of a
    von Mises-Fisher distribution on S^{m-1}, relative to the uniform one. In Bessel functions it is
    log(Gamma(b) (k/2)^{1-b} I_{b-1}(k)) with k = 2 sqrt(x) (DLMF 10.39.9); below b = 1 from
    0F1(; b; x) = 0F1(; b+1; x) (1 + k I_{b+1}(k) / (2 b I_b(k))).

    Args:
        b: parameter, b > 0, a number or a tensor (array) that broadcasts with x.
        x: argument, x >= 0, a floating tensor, or NumPy array or number.

    Returns:
        The broadcast shape; dtype as torch (NumPy) promotes b and x. log_hyp0f1(b, 0) = 0,
        log_hyp0f1(b, inf) = inf, log_hyp0f1(inf, x) = 0; NaN outside the domain.

    Raises:
        TypeError, ValueError: as `log_iv`.

    Relative error at most 2e-15, float32 7e-7, for every b > 0 to 1e300 (float32: 1e38), where the
    value is a normal number; what b - 1 and 2 sqrt(x) are rounded by is within it. DLMF 16.2.1,
    10.39.9.

    >>> import torch
    >>> x = torch.zeros(2, dtype=torch.float64, requires_grad=True)
    >>> y = log_hyp0f1(torch.tensor([0.5, 20.0], dtype=torch.float64), x)
    >>> torch.autograd.grad(y.sum(), x)[0].tolist()  # 1/b
    [2.0, 0.05]
    """
    return _on_either("b", b, x, _log_hyp0f1)


# ---- values and derivatives ----------------------------------------------------------------------


def _with_limit(v: Order, x: Tensor, function: "Function", limit: float) -> Tensor:
    """function(v, x), with its limit at an infinite order (and there NaN unless 0 <= x < inf)."""
    if not isinstance(v, Tensor):
        if v != math.inf:
            return function(v, x)
        return torch.where((x >= 0) & (x < math.inf), limit, math.nan).to(x.dtype)
    infinite = v == math.inf
    at = torch.where((x >= 0) & (x < math.inf), limit, math.nan)
    return torch.where(infinite, at, function(torch.where(infinite, 1, v), x)).to(x.dtype)


def _log_iv(v: Order, x: Tensor) -> Tensor:
    return _with_limit(v, x, lambda v, x: ops.bessel(v, x, "log_iv")[0], -math.inf)


def _log_ive(v: Order, x: Tensor) -> Tensor:
    return _with_limit(v, x, lambda v, x: ops.bessel(v, x, "log_ive")[0], -math.inf)


def _log_hyp0f1(b: Order, x: Tensor) -> Tensor:
    return _with_limit(b, x, ops.log_hyp0f1, 0.0)


def _iv_ratio(v: Order, x: Tensor) -> Tensor:
    return _with_limit(v, x, _finite_iv_ratio, 0.0)


def _one_minus_iv_ratio(v: Order, x: Tensor) -> Tensor:
    return _with_limit(v, x, lambda v, x: ops.bessel(v - 1, x, "one_minus_A")[0], 1.0)


def _finite_iv_ratio(v: Order, x: Tensor) -> Tensor:
    if not isinstance(v, Tensor):
        if v < 1:
            return _ratio_below_one(v, x, ops.bessel(v, x, "A")[0])
        return ops.bessel(v - 1, x, "A")[0]
    below = v < 1
    ratio = ops.bessel(torch.where(below, v, v - 1), x, "A")[0]
    # The branch that is not taken gets a harmless order, so that its derivative stays finite.
    return torch.where(below, _ratio_below_one(torch.where(below, v, 0.5), x, ratio), ratio)


def _ratio_below_one(v: Order, x: Tensor, following: Tensor) -> Tensor:
    """I_v/I_{v-1} for v in [0, 1) from `following`, I_{v+1}/I_v."""
    if not isinstance(v, Tensor):
        return _recurrence(v, x, following) if v else 1 / following
    zero = v == 0
    ratio = _recurrence(torch.where(zero, 0.5, v), x, following)
    return torch.where(zero, 1 / torch.where(zero, following, 1), ratio)


def _recurrence(v: Order, x: Tensor, following: Tensor) -> Tensor:
    """1/(2v/x + following) where x > 1 and x/(2v + x following) below, v > 0.

    The first keeps the digits of the derivative at large x, the second reaches down to x = 0.
    """
    small, large = torch.where(x < 1, x, 1), torch.where(x < 1, 1, x)
    return torch.where(x < 1, small / (2 * v + small * following), 1 / (2 * v / large + following))


# ---- tensors, arrays, numbers --------------------------------------------------------------------

Function = Callable[[Order, Tensor], Tensor]
REDUCED = (torch.float16, torch.bfloat16)


def _on_either(name: str, v: Argument, x: Argument, function: Function) -> Any:
    """function(v, x) on tensors, or on whatever else NumPy takes; `name` is that of v."""
    if isinstance(x, Tensor):
        order = _floating(name, v) if isinstance(v, Tensor) else _number(name, v)
        return _on_tensors(name, order, _floating("x", x), function)
    if isinstance(v, Tensor):
        v = _floating(name, v)
        x = torch.full((), _number("x", x), dtype=v.dtype, device=v.device)
        return _on_tensors(name, v, x, function)
    return _on_arrays(name, v, x, function)


def _floating(name: str, value: Tensor) -> Tensor:
    if value.dtype not in (torch.float32, torch.float64, *REDUCED):
        raise TypeError(f"{name} has dtype {value.dtype}; allowed: a floating dtype")
    return value


def _number(name: str, value: object) -> float:
    if not isinstance(value, Real) or isinstance(value, bool):
        raise TypeError(
            f"{name} is a {type(value).__name__}; allowed beside a tensor: "
            "a floating tensor or a number"
        )
    return float(value)


def _on_tensors(name: str, v: Order, x: Tensor, function: Function) -> Tensor:
    if not isinstance(v, Tensor):
        result = x.dtype
        return function(v, x.float() if result in REDUCED else x).to(result)
    if v.device != x.device:
        raise ValueError(f"{name} is on {v.device} and x on {x.device}; allowed: one device")
    result = _result_type(v, x)
    wide = torch.float32 if result in REDUCED else result
    try:
        order, argument = torch.broadcast_tensors(v.to(wide), x.to(wide))
    except RuntimeError as error:
        raise ValueError(
            f"{name} has shape {tuple(v.shape)} and x {tuple(x.shape)}; allowed: shapes that "
            "broadcast"
        ) from error
    return function(order, argument).to(result)


def _result_type(v: Tensor, x: Tensor) -> torch.dtype:
    """torch.result_type of floating tensors, which torch.compile cannot trace."""
    if (v.dim() == 0) == (x.dim() == 0):
        return torch.promote_types(v.dtype, x.dtype)
    return v.dtype if v.dim() else x.dtype


def _on_arrays(name: str, v: npt.ArrayLike, x: npt.ArrayLike, function: Function) -> Any:
    v, x = (value if np.isscalar(value) else np.asarray(value) for value in (v, x))
    for argument, value in ((name, v), ("x", x)):
        if np.asarray(value).dtype.kind not in "fiu" or np.asarray(value).dtype.itemsize > 8:
            raise TypeError(
                f"{argument} is a {type(value).__name__} of dtype {np.asarray(value).dtype}; "
                "allowed: tensors, arrays and numbers that are float16, float32, float64 or integer"
            )
    result = np.result_type(v, x)
    if result.kind != "f":
        result = np.dtype(np.float64)
    wide = np.promote_types(result, np.float32)
    if np.size(v) == 1 and np.ndim(v) <= np.ndim(x):
        order = float(np.asarray(v, wide).reshape(()))
        return _call_with_arrays(function, order, np.asarray(x, wide), result)
    try:
        v, x = np.broadcast_arrays(np.asarray(v, wide), np.asarray(x, wide))
    except ValueError as error:
        raise ValueError(
            f"{name} has shape {np.shape(v)} and x {np.shape(x)}; allowed: shapes that broadcast"
        ) from error
    return _call_with_arrays(function, torch.from_numpy(v.copy()), x, result)


def _call_with_arrays(
    function: Function, v: Order, x: npt.NDArray[Any], result: np.dtype[Any]
) -> Any:
    with torch.no_grad():
        value = function(v, torch.from_numpy(x.copy()))
    return value.numpy().astype(result, copy=False)[()]
