"""The processes that train one model together, and what they tell each other.

Every rank has the whole model and computes a part of the rows of every batch; the sums over all
rows are sums over ranks. Random numbers depend on a row's number in the batch, whoever computes it,
so that they are those of one process.
"""

import contextlib
import json
from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from hvae.errors import EnvironmentProblem, refused_option
from hvae.launcher import launched, local_rank

_PATIENCE = timedelta(hours=1)  # for the others: one reads a large file while they wait


class LostRank(EnvironmentProblem):
    """Another process of the training has ended."""


class Ranks:
    """A process that trains alone; `_Group` is one of several.

    Attributes:
        rank: its number, from 0; count: how many there are.
    """

    rank = 0
    count = 1

    def share(self, rows: int) -> slice:
        """Which of so many consecutive rows are this rank's: the parts differ by one at most."""
        return slice(rows * self.rank // self.count, rows * (self.rank + 1) // self.count)

    def sum(self, tensors: Sequence[Tensor]) -> list[Tensor]:
        """The sums over ranks, the same to the bit in each, of tensors of one dtype and device."""
        return list(tensors)

    def whole(self, part: Tensor, places: Tensor, rows: int) -> Tensor:
        """Rows that every rank has a part of, in each rank to the bit as they were.

        Args:
            part: [R, ...], this rank's.
            places: int64 [R], where they belong.
            rows: of all.
        """
        return part

    def told(self, value: Any) -> Any:
        """What rank 0 gave here, in all: a JSON value."""
        return value

    def spread(self, tensors: Sequence[Tensor]) -> None:
        """Let tensors be in place what they are in rank 0."""

    def device(self, name: str) -> str:
        """The device of this rank, where the training was given one by name."""
        return name


ALONE = Ranks()


class _Group(Ranks):
    """One of the processes of torch.distributed."""

    def __init__(self, rank: int, count: int, local: int) -> None:
        self.rank, self.count, self._local = rank, count, local

    def sum(self, tensors: Sequence[Tensor]) -> list[Tensor]:
        flat = torch.cat([tensor.reshape(-1) for tensor in tensors])
        with _together():
            dist.all_reduce(flat)
        parts = flat.split([tensor.numel() for tensor in tensors])
        return [part.view_as(like) for part, like in zip(parts, tensors, strict=True)]

    def whole(self, part: Tensor, places: Tensor, rows: int) -> Tensor:
        """Every other rank adds 0, which changes no number, infinity or NaN."""
        found = part.new_zeros(rows, *part.shape[1:]).index_copy_(0, places, part)
        with _together():
            dist.all_reduce(found)
        return found

    def told(self, value: Any) -> Any:
        text = json.dumps(value, allow_nan=False).encode() if self.rank == 0 else b""
        size = torch.tensor(len(text))
        with _together():
            dist.broadcast(size, 0)
            content = torch.empty(int(size), dtype=torch.uint8)
            if self.rank == 0:
                content.copy_(torch.frombuffer(bytearray(text), dtype=torch.uint8))
            dist.broadcast(content, 0)
        return json.loads(bytes(content.tolist()))

    def spread(self, tensors: Sequence[Tensor]) -> None:
        with _together():
            for tensor in tensors:
                dist.broadcast(tensor, 0)

    def device(self, name: str) -> str:
        if name == "cpu":
            return name
        if name != "cuda":
            raise refused_option("device", name, "cpu or cuda for several ranks")
        return f"cuda:{self._local}"


@contextlib.contextmanager
def joined() -> Iterator[Ranks]:
    """The ranks that torchrun began, this one among them, until the block ends; else `ALONE`.

    Tensors on a CPU travel by gloo, those on a GPU by nccl.

    Raises:
        EnvironmentProblem: a variable that torchrun sets is missing or wrong.
        LostRank: the others cannot be found.
    """
    if not launched():
        yield ALONE
        return
    backend = "cpu:gloo,cuda:nccl" if dist.is_nccl_available() else "gloo"
    try:
        with _together():
            dist.init_process_group(backend, timeout=_PATIENCE)
    except ValueError as error:
        raise EnvironmentProblem(
            "WORLD_SIZE and RANK name several processes, but torch.distributed cannot begin: "
            f"{' '.join(str(error).split())}; allowed: to be started by torchrun"
        ) from error
    try:
        yield _Group(dist.get_rank(), dist.get_world_size(), local_rank())
    finally:
        dist.destroy_process_group()


@contextlib.contextmanager
def _together() -> Iterator[None]:
    """What the backends say of a rank that is gone is an error of ours.

    Raises:
        LostRank: an operation of all ranks failed.
    """
    try:
        yield
    except RuntimeError as error:
        raise LostRank("another process of this training has ended") from error
