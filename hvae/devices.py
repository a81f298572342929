"""Where the work is done: the CPU's threads and the devices that there are."""

import platform
from pathlib import Path

import torch

from hvae import build
from hvae.errors import Refused, refused_option

ALLOWED = "cpu, cuda, or cuda:N"

_CPUINFO = Path("/proc/cpuinfo")


def is_device_name(value: object) -> bool:
    """Whether a value is the name of a device, be it there or not."""
    if not isinstance(value, str):
        return False
    kind, colon, index = value.partition(":")
    if not colon:
        return kind in ("cpu", "cuda")
    return kind == "cuda" and index.isascii() and index.isdigit() and len(index) <= 3


def available_device(name: str) -> torch.device:
    """The device of that name.

    Raises:
        Refused: it is not the name of a device, or the device is not there.
    """
    if not is_device_name(name):
        raise refused_option("device", name, ALLOWED)
    device = torch.device(name)
    if device.type == "cuda" and not build.has_cuda_kernels():
        raise Refused(f"--device: {name}: hvae was built without CUDA kernels; allowed: cpu")
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if device.type == "cuda" and (device.index or 0) >= count:
        there = ", ".join(["cpu"] + ["cuda"] * bool(count) + [f"cuda:{i}" for i in range(count)])
        raise Refused(f"--device: {name} is not there; allowed: {there}")
    return device


def use_threads(threads: int | None) -> None:
    """Let torch and the kernels work with this many CPU threads; None changes nothing."""
    if threads is not None:
        torch.set_num_threads(threads)


def processor() -> str:
    """The name of the processor's model, which `platform` does not know on Linux."""
    if _CPUINFO.exists():
        for line in _CPUINFO.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
