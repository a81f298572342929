"""Column statistics of rows, read in batches."""

from collections.abc import Iterator

import torch
from torch import Tensor

from hvae.rows import Rows

_BATCH = 4096


def batches(rows: Rows, columns: int) -> Iterator[Tensor]:
    """float64 [R, columns], the first columns of the rows, batch by batch."""
    for first in range(0, len(rows), _BATCH):
        yield rows[first : first + _BATCH][:, :columns].double()


def mean_and_deviation(rows: Rows, columns: int) -> tuple[Tensor, Tensor]:
    """float64 [columns] each: the mean, and the standard deviation (1/N), in two passes."""
    mean = torch.zeros(columns, dtype=torch.float64)
    square = torch.zeros_like(mean)
    for batch in batches(rows, columns):
        mean += batch.cpu().sum(0) / len(rows)
    for batch in batches(rows, columns):
        square += (batch.cpu() - mean).square().sum(0) / len(rows)
    return mean, square.sqrt()


def row_sums(rows: Rows, columns: int) -> Tensor:
    """float64 [N], the sum of every row."""
    return torch.cat([batch.cpu().sum(1) for batch in batches(rows, columns)])
