"""Where the figures were measured."""

import os
import platform
from importlib import metadata

import torch

from hvae.devices import processor


def machine(device: torch.device) -> dict[str, str | int | float | None]:
    """What it is, and how busy: to be asked before anything is timed.

    Returns:
        `cpu`, `cores` (those that this process may use), `load` (processes that ran or wanted to
        in the last minute, this one among them; None where the system does not count), `system`,
        and `gpu` (None on a CPU).
    """
    return {
        "cpu": processor(),
        "cores": _cores(),
        "load": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
        "system": platform.platform(terse=True),
        "gpu": torch.cuda.get_device_name(device) if device.type == "cuda" else None,
    }


def versions() -> dict[str, str]:
    """Of everything that is timed."""
    packages = ("hvae", "torch", "numpy", "scipy")
    return {
        "python": platform.python_version(),
        **{name: metadata.version(name) for name in packages},
    }


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
