"""The kernels as torch ops: values, gradients, shapes without data, batching.

Every op takes float32 or float64 tensors on any device that the library was built for, checks
shapes, dtypes and devices, and never reads a value on the host. `m` and every entry of `dims` is
the AMBIENT dimension of a shell: the sphere S^{m-1} in R^m. `hvae.reference` has the same functions
in plain torch.

Draws are random fields with unbiased gradients, not differentiable functions of their random
numbers: there is no double backward
through `sample`, and asking for one raises.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from hvae import _library

_library.load()

_C = torch.ops.hvae

# In the order of `enum class Quantity` (csrc/vmf.h).
QUANTITIES = ("L", "k_minus_L", "A", "one_minus_A", "dA", "KL", "dKL", "log_iv", "log_ive")
KAPPA_GRADIENTS = ("implicit", "naive")

_L, _K_MINUS_L, _A, _ONE_MINUS_A, _SLOPE, _KL, _KL_SLOPE, _LOG_IV, _LOG_IVE = range(len(QUANTITIES))

# The quantity that the derivative of a quantity is, and its sign; that of the others is not offered
# (numerics: A''').
_DERIVATIVE = {
    _L: (_A, 1.0),
    _K_MINUS_L: (_ONE_MINUS_A, 1.0),
    _A: (_SLOPE, 1.0),
    _ONE_MINUS_A: (_SLOPE, -1.0),
    _KL: (_KL_SLOPE, 1.0),
}


def log_area(m: int) -> float:
    """log of the area of the unit sphere S^{m-1} in R^m: log 2 + (m/2) log pi - lgamma(m/2).

    Args:
        m: ambient dimension, at least 1.
    """
    return math.log(2) + m / 2 * math.log(math.pi) - math.lgamma(m / 2)


def _named(value: str, allowed: Sequence[str], argument: str) -> int:
    if value not in allowed:
        raise ValueError(f"{argument} is {value!r}; allowed: {', '.join(allowed)}")
    return allowed.index(value)


def _check_real(name: str, x: Tensor) -> None:
    if not isinstance(x, Tensor):
        raise TypeError(f"{name} is a {type(x).__name__}; allowed: a tensor")
    if x.dtype not in (torch.float32, torch.float64):
        raise TypeError(f"{name} has dtype {x.dtype}; allowed: torch.float32, torch.float64")


def _check_dims(dims: Sequence[int]) -> list[int]:
    dims = list(dims)
    if not dims or min(dims) < 2:
        raise ValueError(f"dims is {dims}; allowed: one or more ambient dimensions of at least 2")
    return dims


def vmf(kappa: Tensor, dims: Sequence[int], quantity: str) -> tuple[Tensor, Tensor]:
    """A quantity of von Mises-Fisher distributions and its derivative in the concentration.

    With L = log 0F1(; m/2; kappa^2/4) the density on a shell is exp(kappa mu.z - L) / |S^{m-1}|:

    - "L"; "k_minus_L", kappa - L computed as itself, for importance weights;
    - "A" = dL/dkappa = I_{m/2}(kappa) / I_{m/2-1}(kappa), the mean resultant length;
      "one_minus_A"; "dA" = dA/dkappa;
    - "KL" = kappa A - L, the divergence to the uniform distribution; "dKL" = kappa dA.

    Args:
        kappa: [..., shells], concentrations, float32 or float64.
        dims: ambient dimension of each shell.
        quantity: one of the names above.

    Returns:
        (value, derivative), each of the shape of kappa; NaN where kappa < 0 or NaN, the limits at 0
        and infinity. Both are differentiable; third derivatives of L are good to about 1e-9, and
        there are none beyond.

    Raises:
        ValueError, TypeError: for a wrong name, shape or dtype.

    Accuracy: L, A and 1 - A to 1.5e-15 relative in float64 (5e-7 in float32), KL to 2e-15 (1e-6),
    dA and dKL to 3e-15 (3e-6), for m from 2 to 4096 and kappa from 1e-8 to 1e8. DLMF 10.25.2,
    10.41.3.
    """
    index = _named(quantity, QUANTITIES[:_LOG_IV], "quantity")
    dims = _check_dims(dims)
    _check_real("kappa", kappa)
    if kappa.dim() < 1 or kappa.shape[-1] != len(dims):
        raise ValueError(
            f"kappa has shape {tuple(kappa.shape)}; allowed: [..., {len(dims)}], "
            "one concentration for each of dims"
        )
    return _C.columns(kappa, [m / 2 - 1 for m in dims], index)


def sample(
    head: Tensor,
    kappa: Tensor,
    dims: Sequence[int],
    rng: Tensor,
    samples: int = 1,
    kappa_grad: str = "implicit",
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """One draw of every shell of every row, with its divergence, in one launch (Wood 1994;
    Davidson, Tomczak, Gavves 2019).

    Args:
        head: [rows, sum(dims)], raw mean directions, normalised here shell by shell; its rows may
            be slices of a wider matrix. A zero head stands for the first basis vector and gets no
            gradient.
        kappa: [rows, shells], concentrations, 0 <= kappa < infinity (to 1e8 in float32).
        dims: ambient dimension of each shell, 2 to 32768.
        rng: int64 [4], (key, step, row, sample), from `hvae.random.stream`, on the device of head.
        samples: draws of each row.
        kappa_grad: "implicit", the unbiased gradient (Figurnov, Mohamed, Mnih 2018), or "naive",
            the biased one of Davidson et al. (2018), which differentiates through the accepted
            proposal.

    Returns:
        z [samples, rows, sum(dims)], v [samples, rows, shells] = 1 - mu.z without cancellation,
        theta [samples, rows, shells], the angle between mu and z, and kl [rows, shells], the
        divergence to the uniform distribution. z and kl carry gradients.

    The draw is the same on every device, thread count and chunking; within one instruction-set tier
    bit for bit. A NaN concentration gives NaN draws.
    """
    gradient = _named(kappa_grad, KAPPA_GRADIENTS, "kappa_grad")
    dims = _check_dims(dims)
    _check_real("head", head)
    _check_real("kappa", kappa)
    if head.dim() != 2 or head.shape[1] != sum(dims):
        raise ValueError(
            f"head has shape {tuple(head.shape)}; allowed: [rows, {sum(dims)}], the sum of dims"
        )
    if kappa.shape != (head.shape[0], len(dims)):
        raise ValueError(
            f"kappa has shape {tuple(kappa.shape)}; allowed: {(head.shape[0], len(dims))}"
        )
    if samples < 1:
        raise ValueError(f"samples is {samples}; allowed: 1 or more")
    z, v, theta, kl, _ = _C.sample(head, kappa, dims, rng, samples, gradient)
    return z, v, theta, kl


def bernoulli_log_prob(logits: Tensor, x: Tensor) -> Tensor:
    """log p(x) of independent Bernoulli pixels, summed: sum_j x_j l_j - softplus(l_j), in one pass
    over the logits.

    Args:
        logits: [..., pixels], float32 or float64.
        x: [..., pixels], uint8 or the dtype of logits, values in [0, 1]; its leading shape is the
            end of that of logits, so that the images serve every sample before them.

    Returns:
        [...], the leading shape of logits; differentiable twice in logits and in a floating x.
    """
    _check_real("logits", logits)
    if x.dtype not in (torch.uint8, logits.dtype):
        raise TypeError(f"x has dtype {x.dtype}; allowed: torch.uint8, {logits.dtype}")
    lead = logits.shape[:-1]
    skipped = logits.dim() - x.dim()
    if x.dim() < 1 or skipped < 0 or logits.shape[skipped:] != x.shape:
        raise ValueError(
            f"x has shape {tuple(x.shape)}; allowed: the last dimensions of {tuple(logits.shape)}"
        )
    pixels = logits.shape[-1]
    if logits.numel() == 0:
        return (logits * x.to(logits.dtype)).sum(-1)
    return _C.bernoulli(logits.reshape(-1, pixels), x.reshape(-1, pixels)).reshape(lead)


def normal(
    rng: Tensor, samples: int, rows: int, n: int, shell: int = 0, dtype: torch.dtype = torch.float32
) -> Tensor:
    """Standard normal numbers [samples, rows, n] of a stream (Box and Muller 1958), on the device
    of rng.

    Args:
        rng: int64 [4] from `hvae.random.stream`.
        samples, rows, n: shape; the number at (i, j, .) depends on sample + i and row + j of the
            stream alone.
        shell: index of the component that draws, so that components of one row do not share
            numbers.
        dtype: torch.float32 or torch.float64.
    """
    return _C.numbers(rng, samples, rows, n, shell, True, dtype)


def uniform(
    rng: Tensor, samples: int, rows: int, n: int, shell: int = 0, dtype: torch.dtype = torch.float32
) -> Tensor:
    """Uniform numbers [samples, rows, n] of a stream, never 0, of 31 bits (float32) or 52
    (float64). Arguments as in `normal`.
    """
    return _C.numbers(rng, samples, rows, n, shell, False, dtype)


# ---- shapes without data -------------------------------------------------------------------------


@torch.library.register_fake("hvae::columns")
def _(k, orders, quantity):
    k = k.contiguous()
    return torch.empty_like(k), torch.empty_like(k)


@torch.library.register_fake("hvae::elements")
def _(order, k, quantity):
    k = k.contiguous()
    return torch.empty_like(k), torch.empty_like(k)


@torch.library.register_fake("hvae::sample")
def _(head, kappa, dims, rng, samples, gradient):
    rows, shells = head.shape[0], len(dims)
    draws = head.new_empty((samples, rows, shells))
    return (
        head.new_empty((samples, rows, sum(dims))),
        draws,
        torch.empty_like(draws),
        head.new_empty((rows, shells)),
        head.new_empty((rows, shells)),
    )


@torch.library.register_fake("hvae::sample_backward")
def _(grad_z, grad_kl, head, kappa, theta, kl_slope, dims, rng, gradient):
    rows = head.shape[0]
    return head.new_empty((rows, sum(dims))), head.new_empty((rows, len(dims)))


@torch.library.register_fake("hvae::bernoulli")
def _(logits, x):
    return logits.new_empty((logits.shape[0],))


@torch.library.register_fake("hvae::bernoulli_backward")
def _(grad, logits, x):
    return logits.new_empty(logits.shape)


@torch.library.register_fake("hvae::numbers")
def _(rng, samples, rows, each, shell, normal, dtype):
    return rng.new_empty((samples, rows, each), dtype=dtype)


# ---- gradients -----------------------------------------------------------------------------------


def _second_derivative(evaluate, quantity: int, order: Tensor, k: Tensor) -> Tensor:
    """The derivative of a quantity's derivative; `evaluate(q)` gives (value, derivative) of
    quantity q. That of log I and of log(e^-k I) is A' - nu/k^2.
    """
    if quantity in (_LOG_IV, _LOG_IVE):
        return evaluate(_A)[1] - torch.where(order == 0, 0, order / k**2)
    if quantity not in _DERIVATIVE:
        raise RuntimeError(f"{QUANTITIES[quantity]} of hvae has no derivative beyond the first")
    derivative, sign = _DERIVATIVE[quantity]
    return sign * evaluate(derivative)[1]


def _remember_columns(ctx, inputs, output):
    k, ctx.orders, ctx.quantity = inputs
    ctx.save_for_backward(k, output[1])
    ctx.set_materialize_grads(False)


def _columns_backward(ctx, grad_value, grad_slope):
    k, slope = ctx.saved_tensors
    grad = None
    if grad_value is not None:
        grad = grad_value * slope
    if grad_slope is not None:
        orders = k.new_tensor(ctx.orders)
        second = _second_derivative(lambda q: _C.columns(k, ctx.orders, q), ctx.quantity, orders, k)
        grad = grad_slope * second if grad is None else grad + grad_slope * second
    return grad, None, None


torch.library.register_autograd("hvae::columns", _columns_backward, setup_context=_remember_columns)


def _remember_sample(ctx, inputs, output):
    head, kappa, ctx.dims, rng, _, ctx.gradient = inputs
    _, v, theta, _, kl_slope = output
    ctx.mark_non_differentiable(v, theta, kl_slope)
    ctx.set_materialize_grads(False)
    ctx.shapes = (output[0].shape, output[3].shape)
    ctx.save_for_backward(head, kappa, rng, theta, kl_slope)


def _sample_backward(ctx, grad_z, _v, _theta, grad_kl, _slope):
    head, kappa, rng, theta, kl_slope = ctx.saved_tensors
    grad_z = head.new_zeros(ctx.shapes[0]) if grad_z is None else grad_z
    grad_kl = head.new_zeros(ctx.shapes[1]) if grad_kl is None else grad_kl
    grad_head, grad_kappa = _C.sample_backward(
        grad_z, grad_kl, head, kappa, theta, kl_slope, ctx.dims, rng, ctx.gradient
    )
    return grad_head, grad_kappa, None, None, None, None


torch.library.register_autograd("hvae::sample", _sample_backward, setup_context=_remember_sample)


def _no_second_backward(ctx, *_):
    raise RuntimeError(
        "a draw of hvae.ops.sample has no second derivative: its gradient is an unbiased field, "
        "not the derivative of a function"
    )


torch.library.register_autograd("hvae::sample_backward", _no_second_backward)


def _remember_bernoulli(ctx, inputs, output):
    ctx.save_for_backward(*inputs)


def _bernoulli_backward(ctx, grad):
    logits, x = ctx.saved_tensors
    grad_x = None
    if ctx.needs_input_grad[1]:
        images = x.shape[0]
        grad_x = (grad[:, None] * logits).reshape(-1, images, x.shape[1]).sum(0)
    return _C.bernoulli_backward(grad, logits, x), grad_x


torch.library.register_autograd(
    "hvae::bernoulli", _bernoulli_backward, setup_context=_remember_bernoulli
)


def _bernoulli_double_backward(ctx, outer):
    grad, logits, x = ctx.saved_tensors
    samples = logits.shape[0] // x.shape[0]
    p = torch.sigmoid(logits)
    tiled = x.to(logits.dtype).repeat(samples, 1)
    grad_grad = (outer * (tiled - p)).sum(1)
    grad_logits = -outer * grad[:, None] * p * (1 - p)
    grad_x = None
    if ctx.needs_input_grad[2]:
        grad_x = (outer * grad[:, None]).reshape(samples, *x.shape).sum(0)
    return grad_grad, grad_logits, grad_x


torch.library.register_autograd(
    "hvae::bernoulli_backward", _bernoulli_double_backward, setup_context=_remember_bernoulli
)


# ---- batching (torch.vmap) -----------------------------------------------------------------------


def _front(x, dim, size):
    """x with the batch dimension first, expanded where x has none."""
    return x.expand(size, *x.shape) if dim is None else x.movedim(dim, 0)


@torch.library.register_vmap("hvae::columns")
def _(info, in_dims, k, orders, quantity):
    return _C.columns(k.movedim(in_dims[0], 0), orders, quantity), (0, 0)


@torch.library.register_vmap("hvae::elements")
def _(info, in_dims, order, k, quantity):
    order = _front(order, in_dims[0], info.batch_size)
    k = _front(k, in_dims[1], info.batch_size)
    return _C.elements(order, k, quantity), (0, 0)


@torch.library.register_vmap("hvae::sample")
def _(info, in_dims, head, kappa, dims, rng, samples, gradient):
    """With one stream the batch joins the rows, so every element of it draws numbers of its own;
    with a stream each, a launch each.
    """
    head = _front(head, in_dims[0], info.batch_size)
    kappa = _front(kappa, in_dims[1], info.batch_size)
    if in_dims[3] is not None:
        streams = rng.movedim(in_dims[3], 0).unbind()
        each = [
            _C.sample(h, k, dims, stream, samples, gradient)
            for h, k, stream in zip(head.unbind(), kappa.unbind(), streams, strict=True)
        ]
        return tuple(torch.stack(parts) for parts in zip(*each, strict=True)), (0,) * 5
    batch, rows = head.shape[:2]
    outputs = _C.sample(head.flatten(0, 1), kappa.flatten(0, 1), dims, rng, samples, gradient)
    z, v, theta, kl, slope = outputs
    draws = tuple(x.unflatten(1, (batch, rows)) for x in (z, v, theta))
    by_row = tuple(x.unflatten(0, (batch, rows)) for x in (kl, slope))
    return (*draws, *by_row), (1, 1, 1, 0, 0)


@torch.library.register_vmap("hvae::sample_backward")
def _(info, in_dims, grad_z, grad_kl, head, kappa, theta, kl_slope, dims, rng, gradient):
    raise ValueError(
        "the gradient of hvae.ops.sample can not be batched by vmap: "
        "batch the draw, then take one gradient"
    )


def _bernoulli_batch(info, in_dims, logits, x, dtype):
    logits = _front(logits, in_dims[0], info.batch_size)
    x = _front(x, in_dims[1], info.batch_size)
    samples = logits.shape[1] // max(1, x.shape[1])
    # Rows count through samples first, then the batch, then the images: x serves the samples.
    logits = logits.unflatten(1, (samples, x.shape[1])).movedim(1, 0)
    return logits, x, samples


@torch.library.register_vmap("hvae::bernoulli")
def _(info, in_dims, logits, x):
    logits, x, samples = _bernoulli_batch(info, in_dims, logits, x, logits.dtype)
    out = _C.bernoulli(logits.flatten(0, 2), x.flatten(0, 1))
    return out.reshape(logits.shape[:3]).movedim(0, 1).flatten(1), 0


@torch.library.register_vmap("hvae::bernoulli_backward")
def _(info, in_dims, grad, logits, x):
    grad = _front(grad, in_dims[0], info.batch_size)
    logits, x, samples = _bernoulli_batch(info, in_dims[1:], logits, x, logits.dtype)
    grad = grad.unflatten(1, (samples, x.shape[1])).movedim(1, 0)
    out = _C.bernoulli_backward(grad.flatten(), logits.flatten(0, 2), x.flatten(0, 1))
    return out.reshape(logits.shape).movedim(0, 1).flatten(1, 2), 0


@torch.library.register_vmap("hvae::numbers")
def _(info, in_dims, rng, samples, rows, each, shell, normal, dtype):
    raise ValueError("rng of hvae.ops.normal and uniform can not be batched: ask for more rows")


# ---- real orders ---------------------------------------------------------------------------------


def bessel(order: float | Tensor, k: Tensor, quantity: str) -> tuple[Tensor, Tensor]:
    """A quantity of `vmf`, or the logarithm of a Bessel function, at real orders nu = m/2 - 1.

    Args:
        order: nu, a number for every element (the fast way: its coefficients are prepared once), or
            a tensor of the shape, dtype and device of k. There is no derivative in the order:
            asking for one raises.
        k: [...], float32 or float64.
        quantity: "log_iv", log I_nu(k); "log_ive", log(exp(-k) I_nu(k)); or a quantity of `vmf`.

    Returns:
        (value, derivative in k), each of the shape of k; NaN where the order or k is negative or
        NaN, or the order infinite.

    Raises:
        ValueError, TypeError: for a wrong name, shape or dtype.

    Accuracy: as `vmf`, for orders to 1e5; log I_nu to 1e-15 (float32: 3e-7) of the larger of its
    magnitude and sqrt(nu^2 + k^2). DLMF 10.25.2, 10.41.3.
    """
    index = _named(quantity, QUANTITIES, "quantity")
    _check_real("k", k)
    if isinstance(order, Tensor):
        if order.shape != k.shape or order.dtype != k.dtype:
            raise ValueError(
                f"order has shape {tuple(order.shape)} and dtype {order.dtype}; allowed: a number, "
                f"or those of k, {tuple(k.shape)} and {k.dtype}"
            )
        return _C.elements(order, k, index)
    if not 0 <= order < math.inf:
        return k * math.nan, k * math.nan
    value, slope = _C.columns(k[..., None], [float(order)], index)
    return value[..., 0], slope[..., 0]


def _remember_elements(ctx, inputs, output):
    order, k, ctx.quantity = inputs
    ctx.save_for_backward(order, k, output[1])
    ctx.set_materialize_grads(False)


def _elements_backward(ctx, grad_value, grad_slope):
    if ctx.needs_input_grad[0]:
        raise RuntimeError("the derivative of a Bessel function in its order is not offered")
    order, k, slope = ctx.saved_tensors
    grad = None
    if grad_value is not None:
        grad = grad_value * slope
    if grad_slope is not None:
        second = _second_derivative(lambda q: _C.elements(order, k, q), ctx.quantity, order, k)
        grad = grad_slope * second if grad is None else grad + grad_slope * second
    return None, grad, None


torch.library.register_autograd(
    "hvae::elements", _elements_backward, setup_context=_remember_elements
)
