"""The rows of a mixture: unit vectors, dense on a device or sparse in memory."""

from collections.abc import Iterator
from typing import Any, Protocol

import numpy as np
import torch
from scipy import sparse
from torch import Tensor

from hvae import ops

_BLOCK = 1 << 19  # numbers at a time that are made beside the rows


class UnitRows(Protocol):
    """n unit vectors of m coordinates, or zeros.

    Attributes:
        dtype, device: of everything that is computed of them.
    """

    dtype: torch.dtype
    device: torch.device

    def __len__(self) -> int: ...

    @property
    def m(self) -> int: ...

    def take(self, index: Tensor) -> "UnitRows":
        """The rows of an index."""

    def dense(self, index: Tensor) -> Tensor:
        """[len(index), m]."""

    def nonzero(self) -> Tensor:
        """The index of the rows that are not zero."""

    def products(self, means: Tensor) -> Iterator[tuple[slice, Tensor]]:
        """Blocks of rows and x.mu with means [C, m]: (a slice of rows, [rows, C])."""

    def shared_sums(self, weight: Tensor, bias: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """`hvae.ops.mixture_sums`."""

    def sums(self, row: Tensor, component: Tensor, share: Tensor, components: int) -> Tensor:
        """[C, m], the sums of share x over pairs of a row and a component."""


class DenseRows:
    """Rows of a matrix.

    Args:
        x: [n, m], unit vectors.
    """

    def __init__(self, x: Tensor) -> None:
        self.x = x
        self.dtype, self.device = x.dtype, x.device

    def __len__(self) -> int:
        return len(self.x)

    @property
    def m(self) -> int:
        return self.x.shape[1]

    def take(self, index: Tensor) -> "DenseRows":
        return DenseRows(self.x[index])

    def dense(self, index: Tensor) -> Tensor:
        return self.x[index]

    def nonzero(self) -> Tensor:
        return self.x.any(1).nonzero()[:, 0]

    def products(self, means: Tensor) -> Iterator[tuple[slice, Tensor]]:
        for part in blocks(len(self), len(means)):
            yield part, self.x[part] @ means.T

    def shared_sums(self, weight: Tensor, bias: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        return ops.mixture_sums(self.x, weight, bias)

    def sums(self, row: Tensor, component: Tensor, share: Tensor, components: int) -> Tensor:
        order = component.argsort()
        starts = torch.searchsorted(component[order], torch.arange(components, device=self.device))
        return torch.nn.functional.embedding_bag(
            row[order], self.x, starts, mode="sum", per_sample_weights=share[order]
        )


class SparseRows:
    """Rows of a sparse matrix, whose products scipy computes.

    Args:
        x: [n, m], CSR, unit vectors.
    """

    def __init__(self, x: Any) -> None:
        self.x = x
        self.dtype = torch.from_numpy(np.empty(0, x.dtype)).dtype
        self.device = torch.device("cpu")

    def __len__(self) -> int:
        return int(self.x.shape[0])

    @property
    def m(self) -> int:
        return int(self.x.shape[1])

    def take(self, index: Tensor) -> "SparseRows":
        return SparseRows(self.x[index.numpy()])

    def dense(self, index: Tensor) -> Tensor:
        return torch.from_numpy(self.x[index.numpy()].toarray())

    def nonzero(self) -> Tensor:
        squares = np.asarray(self.x.multiply(self.x).sum(axis=1)).ravel()
        return torch.from_numpy(np.flatnonzero(squares))

    def products(self, means: Tensor) -> Iterator[tuple[slice, Tensor]]:
        transposed = means.T.numpy()
        for part in blocks(len(self), len(means)):
            yield part, torch.from_numpy(self.x[part] @ transposed)

    def shared_sums(self, weight: Tensor, bias: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        totals = torch.empty(len(self), dtype=self.dtype)
        counts, sums = torch.zeros_like(bias), torch.zeros_like(weight.T.contiguous())
        for part, products in self.products(weight.T):
            products.add_(bias)
            totals[part] = products.logsumexp(1)
            share = products.sub_(totals[part, None]).exp_()
            counts.add_(share.sum(0))
            sums.add_(torch.from_numpy((self.x[part].T @ share.numpy()).T))
        return totals, counts, sums

    def sums(self, row: Tensor, component: Tensor, share: Tensor, components: int) -> Tensor:
        pairs = (share.numpy(), (component.numpy(), row.numpy()))
        chosen = sparse.csr_matrix(pairs, shape=(components, len(self)), dtype=self.x.dtype)
        return torch.from_numpy((chosen @ self.x).toarray())


def blocks(rows: int, beside: int) -> Iterator[slice]:
    """Slices of rows, with about `_BLOCK` numbers each where a row has `beside`."""
    step = max(1, _BLOCK // max(1, beside))
    for first in range(0, rows, step):
        yield slice(first, min(rows, first + step))
