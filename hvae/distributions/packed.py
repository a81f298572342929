"""Packed shells: the coordinates of one shell after another along the last axis.

A packed point is [..., sum(dims)]; one number for each shell is [..., shells].
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from hvae import ops


def shell_sums(x: Tensor, dims: Sequence[int]) -> Tensor:
    """[..., sum(dims)] -> [..., shells], the sum over each shell."""
    if len(dims) == 1:
        return x.sum(-1, keepdim=True)
    return torch.stack([part.sum(-1) for part in x.split(list(dims), -1)], -1)


def spread(x: Tensor, dims: Sequence[int]) -> Tensor:
    """[..., shells] -> what broadcasts with [..., sum(dims)], each number over its shell."""
    if len(dims) == 1:
        return x
    return torch.cat([x[..., i : i + 1].expand(*x.shape[:-1], m) for i, m in enumerate(dims)], -1)


def normalised(x: Tensor, dims: Sequence[int]) -> Tensor:
    """x [..., sum(dims)] with length 1 on every shell."""
    return x / spread(torch.sqrt(shell_sums(x.square(), dims)), dims)


def log_area(dims: Sequence[int]) -> float:
    """log of the area of the product of the shells, S^{m1-1} x S^{m2-1} x ..."""
    return sum(ops.log_area(m) for m in dims)
