"""Where the CUDA kernels run: compiled by g++ or by nvcc in the emulator, or on a GPU."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import thorough
import torch
from translation.build import Build, cached

from hvae import build

ROOT = Path(__file__).parents[2]
# Kernels that nvcc compiled for the emulator: those of float32, or all.
FLOATS = Build(ptx=True, wanted=lambda key: "float" in key.split())
EVERY = Build(ptx=True)
BUILDS = {"gcc": Build(), "sanitized": Build(sanitized=True)}


@dataclass(frozen=True)
class Backend:
    """The kernels as functions of tensors on the CPU.

    Attributes:
        name: "gcc", "ptx", "gpu" or "sanitized".
        ops: the namespace of torch that has them.
        device: where they take their tensors.
        dtypes: that they are built for.
        folder: of the emulated library; None on a GPU.
    """

    name: str
    ops: Any
    device: str
    dtypes: tuple[torch.dtype, ...] = (torch.float32, torch.float64)
    folder: Path | None = None

    def __call__(self, op: str, *arguments: Any) -> tuple[torch.Tensor, ...]:
        """The results of an op, on the CPU; in the emulator the same bits in every order."""
        placed = [x.to(self.device) if isinstance(x, torch.Tensor) else x for x in arguments]
        if self.folder is None:
            return _tuple(getattr(self.ops, op)(*placed))
        return _in_every_order(lambda: _tuple(getattr(self.ops, op)(*placed)))


def open_backend(name: str) -> Backend:
    """The backend of that name; the test is skipped where it is not there."""
    if name == "gpu":
        if not (torch.cuda.is_available() and build.has_cuda_kernels()):
            pytest.skip("no GPU, or no CUDA kernels in this build")
        return Backend(name, torch.ops.hvae, "cuda")
    dtypes = Backend.dtypes
    if name == "ptx":
        if shutil.which("nvcc") is None:
            pytest.skip("no nvcc on the PATH")
        dtypes = thorough.count(dtypes[:1], dtypes)
        chosen = thorough.count(FLOATS, EVERY)
        library = cached(chosen, ROOT, thorough.count("ptx-float", "ptx"))
    else:
        library = cached(BUILDS[name], ROOT, name)
    torch.ops.load_library(library)
    return Backend(name, torch.ops.hvae_emulated, "cpu", dtypes, library.parent)


def _in_every_order(call: Callable[[], tuple]) -> tuple:
    """The results, the same bits whatever the order of threads and blocks."""
    orders = ((0, 0), (1, 0), (2, 1), (2, 2))
    results = []
    try:
        for kind, seed in orders[: thorough.count(3, 4)]:
            torch.ops.hvae_emulator.order(kind, seed)
            results.append(call())
    finally:
        torch.ops.hvae_emulator.order(0, 0)
    for other in results[1:]:
        for a, b in zip(results[0], other, strict=True):
            assert torch.equal(a.view(torch.uint8), b.view(torch.uint8)), "depends on the order"
    return results[0]


def _tuple(result: Any) -> tuple[torch.Tensor, ...]:
    each = result if isinstance(result, tuple) else (result,)
    return tuple(x.cpu() for x in each)
