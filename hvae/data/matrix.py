"""The numbers of a file as a matrix [N, D] whose rows are read as they are asked for."""

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray


class Matrix(Protocol):
    """N rows of D numbers.

    Attributes:
        shape: (N, D).
        dtype: of the numbers in the file.
        held: whether they are in memory already.
        sparse: whether a row takes less memory here than it does when it is read.
    """

    @property
    def shape(self) -> tuple[int, int]: ...

    @property
    def dtype(self) -> np.dtype[Any]: ...

    @property
    def held(self) -> bool: ...

    @property
    def sparse(self) -> bool: ...

    def take(self, index: NDArray[np.int64]) -> NDArray[Any]:
        """[R, D], the rows of an index [R] in any order, dense."""
        ...


class Dense:
    """An array [N, ...], in memory or mapped into it."""

    sparse = False

    def __init__(self, array: NDArray[Any]) -> None:
        self._array = array
        self.held = not isinstance(array, np.memmap)
        self.dtype = array.dtype
        self.shape = (len(array), int(np.prod(array.shape[1:], dtype=np.int64)))

    def take(self, index: NDArray[np.int64]) -> NDArray[Any]:
        first = _first_of_run(index)
        part = self._array[index] if first is None else self._array[first : first + len(index)]
        return np.asarray(part).reshape(len(index), self.shape[1])


class Sparse:
    """A sparse matrix in memory, by rows (scipy's CSR)."""

    held = True
    sparse = True

    def __init__(self, csr: Any) -> None:
        self._csr = csr
        self.dtype = csr.dtype
        self.shape = csr.shape

    def take(self, index: NDArray[np.int64]) -> NDArray[Any]:
        rows: NDArray[Any] = self._csr[index].toarray()
        return rows


class Stored:
    """What is read from an open HDF5 file: a dataset, or anndata's sparse one.

    Rows are asked of the file in ascending order, each once.
    """

    held = False
    sparse = False

    def __init__(self, dataset: Any) -> None:
        self._dataset = dataset
        self.dtype = dataset.dtype
        self.shape = (int(dataset.shape[0]), int(dataset.shape[1]))

    def take(self, index: NDArray[np.int64]) -> NDArray[Any]:
        first = _first_of_run(index)
        if first is not None:
            return self._dense(self._dataset[first : first + len(index)])
        rows, back = np.unique(index, return_inverse=True)
        return self._dense(self._dataset[rows])[back]

    @staticmethod
    def _dense(rows: Any) -> NDArray[Any]:
        return rows if isinstance(rows, np.ndarray) else np.asarray(rows.toarray())


class Selected:
    """Some columns of another matrix, in another order."""

    def __init__(self, matrix: Matrix, columns: Sequence[int]) -> None:
        self._matrix = matrix
        self._columns = np.asarray(columns)
        self.held = matrix.held
        self.sparse = matrix.sparse
        self.dtype = matrix.dtype
        self.shape = (matrix.shape[0], len(columns))

    def take(self, index: NDArray[np.int64]) -> NDArray[Any]:
        return self._matrix.take(index)[:, self._columns]


def _first_of_run(index: NDArray[np.int64]) -> int | None:
    """Where a run of consecutive rows begins; None for any other index."""
    if len(index) and index[-1] - index[0] == len(index) - 1 and (np.diff(index) == 1).all():
        return int(index[0])
    return None
