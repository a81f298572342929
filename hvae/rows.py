"""Rows of data: a leaf that data sets, training and evaluation share."""

from typing import Protocol

from torch import Tensor


class Rows(Protocol):
    """Rows that are read as they are asked for; a tensor [N, W] is one.

    A row has W numbers: the data, and behind them what a model is told beside
    (`hvae.description`).
    """

    def __len__(self) -> int:
        """N."""
        ...

    def __getitem__(self, rows: slice, /) -> Tensor:
        """[R, W], consecutive rows."""
        ...

    def index_select(self, dim: int, index: Tensor) -> Tensor:
        """[R, W], the rows of an int64 index [R], on its device; dim is 0."""
        ...
