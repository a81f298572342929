"""The op `gamma`: variates of a counter-based stream, with the implicit gradient in their shape.

Marsaglia and Tsang (2000) by a fixed number of attempts, so that a draw depends on its place in the
stream alone and nothing is read on the host; the gradient is torch's (Figurnov, Mohamed, Mnih
2018).
"""

from typing import Any

import torch
from torch import Tensor

from hvae import ops
from hvae.ops.batching import one_by_one
from hvae.ops.derivatives import Tangents, define, register_derivatives

_ATTEMPTS = 12  # each is accepted with probability 0.95 or more: 2e-16 of the draws need another


def standard_gamma(shape: Tensor, rng: Tensor, samples: int, index: int) -> Tensor:
    """Gamma(shape, 1) [samples, rows], differentiable once in shape.

    Args:
        shape: [rows], at least 1/2, float32 or float64.
        rng: int64 [4], from `hvae.random.stream`.
        samples: draws of each row.
        index: of the component that draws, in the random stream; the one after it is used too.
    """
    drawn: Tensor = torch.ops.hvae.gamma(shape, rng, samples, index)
    return drawn


def _values(shape: Tensor, rng: Tensor, samples: int, index: int) -> Tensor:
    rows, dtype = len(shape), shape.dtype
    boosted = torch.where(shape < 1, shape + 1, shape)
    d = (boosted - 1 / 3)[:, None]
    c = 1 / torch.sqrt(9 * d)
    x = ops.normal(rng, samples, rows, _ATTEMPTS, shell=index, dtype=dtype)
    u = ops.uniform(rng, samples, rows, _ATTEMPTS + 1, shell=index + 1, dtype=dtype)
    v = (1 + c * x) ** 3
    log_v = v.clamp(min=torch.finfo(dtype).tiny).log()
    accepted = (v > 0) & (u[..., :-1].log() < 0.5 * x.square() + d * (1 - v + log_v))
    first = accepted.to(torch.int8).argmax(-1, keepdim=True)
    drawn = (d * v.clamp(min=0)).gather(-1, first)[..., 0]
    # Gamma(a) = Gamma(a + 1) U^(1/a), below 1.
    lowered = torch.where(shape < 1, u[..., -1] ** (1 / shape), 1)
    return (drawn * lowered).clamp(min=torch.finfo(dtype).tiny)


def _remember(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    ctx.save_for_backward(inputs[0], output)


def _slope(shape: Tensor, drawn: Tensor) -> Tensor:
    return torch._standard_gamma_grad(shape.expand_as(drawn), drawn)


def _backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None, None]:
    return (grad * _slope(*ctx.saved_tensors)).sum(0), None, None, None


def _push(inputs: tuple[Any, ...], output: Tensor, tangents: Tangents) -> Tensor | None:
    return None if tangents[0] is None else tangents[0] * _slope(inputs[0], output)


define(
    "gamma(Tensor shape, Tensor rng, int samples, int index) -> Tensor",
    _values,
    lambda shape, rng, samples, index: shape.new_empty(samples, len(shape)),
)
register_derivatives("gamma", _remember, _backward, _push)
torch.library.register_vmap("hvae::gamma", one_by_one(torch.ops.hvae.gamma))
