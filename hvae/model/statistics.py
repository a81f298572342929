"""What likelihoods remember of the training rows: statistics of columns and sums of rows."""

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from hvae.rows import Rows

_MOST_NUMBERS = 1 << 25  # that are looked at: a fraction of a second, whatever the data's size
_BATCH_NUMBERS = 1 << 20


class Statistics(NamedTuple):
    """Of the rows that were looked at.

    Attributes:
        mean, deviation: float64 [D], of every column; the deviation is that of the rows (divided by
            their number), and 0 exactly for a column of one value.
        row_sums: float64 [R].
    """

    mean: Tensor
    deviation: Tensor
    row_sums: Tensor


def statistics(rows: Rows, columns: int) -> Statistics:
    """Of the first columns of the rows, in one pass (Chan, Golub, LeVeque 1983).

    Of more than 2^25 numbers it looks at as many, in blocks of rows at equal distances.

    Args:
        rows: at least one.
        columns: D.
    """
    count = 0
    mean = torch.zeros(columns, dtype=torch.float64)
    square = torch.zeros_like(mean)
    lowest, highest = torch.full_like(mean, torch.inf), torch.full_like(mean, -torch.inf)
    sums = []
    for block in _blocks(rows, columns):
        total = count + len(block)
        block_mean = block.mean(0)
        shift = block_mean - mean
        square += (block - block_mean).square().sum(0) + shift.square() * count * len(block) / total
        mean += shift * len(block) / total
        lowest, highest = lowest.minimum(block.amin(0)), highest.maximum(block.amax(0))
        sums.append(block.sum(1))
        count = total
    deviation = (square / count).sqrt().masked_fill(lowest == highest, 0)
    return Statistics(mean, deviation, torch.cat(sums))


def _blocks(rows: Rows, columns: int) -> Iterator[Tensor]:
    """float64 [R, columns], on the CPU."""
    size = max(1, _BATCH_NUMBERS // columns)
    blocks = -(-len(rows) // size)
    step = max(1, blocks * size * columns // _MOST_NUMBERS)
    for first in range(0, len(rows), size * step):
        yield rows[first : first + size][:, :columns].double().cpu()
