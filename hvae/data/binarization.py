"""Rows of the unit interval made 0 and 1: what is drawn depends on the place of a number only."""

import torch
from torch import Tensor

from hvae import ops, random
from hvae.rows import Rows

SEEDS = {"validation": 1, "test": 2}  # of the splits of a user's file that are drawn once

_CHUNK_NUMBERS = 1 << 22  # bounds the uniforms of `binarized` to 16 MiB


def binarized(rows: Tensor, columns: int, seed: int, step: int, first: int = 0) -> Tensor:
    """uint8 [R, W]: 1 with the probability that a number is, else 0.

    Args:
        rows: [R, W]. Of uint8 the probability is the number / 255, of others the number itself.
        columns: how many are drawn; what stands behind them stays.
        seed, step: of the stream "binarization".
        first: the row of the stream for the first of the rows.
    """
    drawn = torch.empty(rows.shape, dtype=torch.uint8, device=rows.device)
    chunk = max(1, _CHUNK_NUMBERS // columns)
    for start in range(0, len(rows), chunk):
        part = rows[start : start + chunk]
        rng = random.stream(seed, "binarization", step=step, row=first + start, device=rows.device)
        uniform = ops.uniform(rng, 1, len(part), columns, dtype=torch.float32)[0]
        _compare(drawn[start : start + chunk], uniform, part)
    return drawn


class Binarized:
    """Rows that are drawn as they are asked for: the same row is drawn alike every time.

    Args:
        rows: N rows of levels, as `binarized` takes them.
        columns: how many numbers of a row are drawn.
        seed, step: of the stream "binarization", whose row i is that of row i.
    """

    def __init__(self, rows: Rows, columns: int, seed: int, step: int = 0) -> None:
        self._rows = rows
        self._columns = columns
        self._seed = seed
        self._step = step

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, rows: slice) -> Tensor:
        first, last, step = rows.indices(len(self))
        if step != 1:
            return self.index_select(0, torch.arange(first, last, step))
        return binarized(self._rows[rows], self._columns, self._seed, self._step, first)

    def index_select(self, dim: int, index: Tensor) -> Tensor:
        rows = self._rows.index_select(dim, index)
        rng = random.stream(self._seed, "binarization", step=self._step, device=rows.device)
        streams = rng.repeat(len(index), 1)
        streams[:, 2] = index
        uniform = [
            ops.uniform(own, 1, 1, self._columns, dtype=torch.float32)[0, 0]
            for own in streams.unbind()
        ]
        drawn = torch.empty(rows.shape, dtype=torch.uint8, device=rows.device)
        _compare(drawn, torch.stack(uniform), rows)
        return drawn


def _compare(drawn: Tensor, uniform: Tensor, rows: Tensor) -> None:
    """Fill in what was drawn.

    <= and not <: the largest uniform below 1 rounds to 1 in float32, and a probability of 1 is
    certain. The smallest is above 0, which stays 0.
    """
    columns = uniform.shape[1]
    levels = rows[:, :columns]
    drawn[:, :columns] = uniform <= (levels / 255 if levels.dtype is torch.uint8 else levels)
    drawn[:, columns:] = rows[:, columns:]
