"""What the batching rules (`torch.vmap`) of several ops share."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

Rule = Callable[..., tuple[Any, Any]]


def batch_first(x: Tensor, dim: int | None, size: int) -> Tensor:
    """x with its batch dimension first, expanded to `size` where it has none."""
    return x.expand(size, *x.shape) if dim is None else x.movedim(dim, 0)


def _taken(x: Any, dim: Any, i: int) -> Any:
    return x.select(dim, i) if isinstance(x, Tensor) and dim is not None else x


def one_by_one(op: Callable[..., Any]) -> Rule:
    """The rule that calls the op for one element of the batch after another."""

    def rule(info: Any, in_dims: tuple[int | None, ...], *inputs: Any) -> tuple[Any, Any]:
        def element(i: int) -> Any:
            return op(*(_taken(x, dim, i) for x, dim in zip(inputs, in_dims, strict=True)))

        found = [element(i) for i in range(info.batch_size)]
        if isinstance(found[0], Tensor):
            return torch.stack(found), 0
        return tuple(torch.stack(parts) for parts in zip(*found, strict=True)), (0,) * len(found[0])

    return rule


def replayed(
    op: Callable[..., Any], rng: int, theta: int, by_sample: tuple[int, ...], out_axis: int
) -> Rule:
    """The rule of an op that meets the random numbers of a draw again.

    Args:
        op: the op.
        rng, theta: the places, among its inputs, of the stream and of the angles.
        by_sample: the places of the inputs [samples, rows, ...]; the other tensors are [rows, ...].
        out_axis: the axis of the rows in what it returns.

    Draws of one stream that vmap batched are further rows of one launch, and are here again. Where
    the draws were not batched, or each has its own stream, the elements go one by one.
    """
    single = one_by_one(op)

    def rule(info: Any, in_dims: tuple[int | None, ...], *inputs: Any) -> tuple[Any, Any]:
        if in_dims[theta] is None or in_dims[rng] is not None:
            return single(info, in_dims, *inputs)
        rows = inputs[theta].movedim(in_dims[theta], 0).shape[2]

        def joined(i: int, x: Any) -> Any:
            if i == rng or not isinstance(x, Tensor):
                return x
            x = batch_first(x, in_dims[i], info.batch_size)
            return x.movedim(0, 1).flatten(1, 2) if i in by_sample else x.flatten(0, 1)

        found = op(*(joined(i, x) for i, x in enumerate(inputs)))
        if isinstance(found, Tensor):
            return found.unflatten(out_axis, (info.batch_size, rows)), out_axis
        parts = tuple(x.unflatten(out_axis, (info.batch_size, rows)) for x in found)
        return parts, (out_axis,) * len(parts)

    return rule
