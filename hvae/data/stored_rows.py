"""Rows of a file, read and checked as they are asked for."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hvae.data.categories import Covariates
from hvae.data.matrix import Matrix
from hvae.data.recognition import Reading
from hvae.errors import HvaeError, Refused


class StoredRows:
    """[N, D + C]: the numbers of some rows of a file, and their covariates behind them.

    Args:
        matrix: of the file.
        reading: how its numbers are read.
        covariates: of all rows of the file.
        index: which rows of the file these are, int64 [N].
    """

    def __init__(
        self,
        matrix: Matrix,
        reading: Reading,
        covariates: Covariates,
        index: NDArray[np.int64],
    ) -> None:
        self._matrix = matrix
        self._reading = reading
        self._covariates = covariates
        self._index = index

    def __len__(self) -> int:
        return len(self._index)

    def __getitem__(self, rows: slice) -> Tensor:
        """[R, D + C], on the CPU. Raises Refused for a number that is not of the kind."""
        return self._read(self._index[rows])

    def index_select(self, dim: int, index: Tensor) -> Tensor:
        """[R, D + C], on the device of the index. Raises as a slice does."""
        if dim != 0:
            raise ValueError(f"dim {dim}; allowed: 0, the rows")
        return self._read(self._index[index.cpu().numpy()]).to(index.device)

    def _read(self, index: NDArray[np.int64]) -> Tensor:
        block = of_file(lambda: self._matrix.take(index), self._reading.where)
        data = self._reading.rows(block, index)
        if not self._covariates.names:
            return data
        return torch.cat([data, self._covariates.rows(index).to(data.dtype)], 1)


def of_file(read: Callable[[], Any], where: str) -> Any:
    """What `read` gives. On damaged bytes the libraries raise almost anything: one line is made.

    Raises:
        Refused: the file is damaged.
    """
    try:
        return read()
    except (HvaeError, MemoryError):
        raise
    except Exception as error:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise Refused(
            f"{where} is damaged, or not what its name says: {reason}; allowed: a whole file of "
            "that kind"
        ) from error
