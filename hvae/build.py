"""What this build of the project is, and what it runs on here."""

import platform
from importlib import metadata
from typing import Any

import torch

from hvae import _library

_library.load()


def versions() -> dict[str, str]:
    """What numbers are made with: the versions of hvae, torch and python."""
    return {
        "hvae": metadata.version("hvae"),
        "torch": torch.__version__,
        "python": platform.python_version(),
    }


def has_cuda_kernels() -> bool:
    """Whether the library was built with its CUDA kernels."""
    return bool(torch.ops.hvae.built_with_cuda())


def describe() -> dict[str, Any]:
    """The build and the machine.

    Returns:
        `versions`; `instruction_sets`, those that this processor can run, and `instruction_set`,
        the one in use; `cuda_kernels`, whether they were built; `cuda`, the version that torch was
        built for, or None; `devices`, the names that --device takes here, each with what it is;
        `threads`, torch's own choice.
    """
    count = torch.cuda.device_count() if has_cuda_kernels() and torch.cuda.is_available() else 0
    gpus = {f"cuda:{i}": torch.cuda.get_device_name(i) for i in range(count)}
    return {
        "versions": versions(),
        "instruction_set": torch.ops.hvae.tier(),
        "instruction_sets": torch.ops.hvae.tiers().split(),
        "cuda_kernels": has_cuda_kernels(),
        "cuda": torch.version.cuda,
        "devices": {"cpu": platform.processor() or platform.machine(), **gpus},
        "threads": torch.get_num_threads(),
    }
