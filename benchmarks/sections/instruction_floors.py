"""Kernels on a GPU against what they could not beat: the bytes and the instructions they need.

A copy of as many bytes takes turns with each kernel. The floor of instructions is computed: the
issue slots that tests/cuda/roofline.py counts (results/cuda), over what the card's schedulers issue
at its highest clock.
"""

from dataclasses import dataclass
from typing import Any

import torch

from hvae import ops, random

from ..harness.figures import Case, Figure, Timed
from ..harness.settings import Settings
from ..harness.timing import Subject, interleave
from ..harness.workload import concentrations

NAME = "kernels and their floors"

DIMS = (10, 10, 10, 11)
ROWS = 1 << 20
SECONDS = 8.0
LANES, SCHEDULERS = 32, 4  # of a warp; of a multiprocessor, compute capability 8.0 and 9.0


@dataclass(frozen=True)
class Floor:
    """Issue slots of a lane that one draw costs in float32, and bytes that it moves."""

    slots: float
    numbers: float


# By `python tests/cuda/roofline.py`; a draw reads and writes its share of a row of DIMS.
FLOORS = {"sample": Floor(4205, 25.75), "its backward": Floor(5274, 35.75)}


def sizes(settings: Settings) -> dict[str, Any]:
    return {"rows": ROWS, "dims": list(DIMS), "dtype": "float32"}


def issue_seconds(slots: float, multiprocessors: int, hertz: float) -> float:
    """The time in which so many issue slots of lanes can be issued, at best."""
    return slots / (LANES * SCHEDULERS * multiprocessors * hertz)


def measure(settings: Settings) -> list[Figure]:
    device = settings.device
    rng = random.stream(1, "user", device=device)
    raw = ops.normal(rng, 1, ROWS, sum(DIMS))[0].requires_grad_()
    kappa = concentrations(ROWS * len(DIMS), device).float().reshape(ROWS, -1).requires_grad_()
    z = ops.sample(raw, kappa, DIMS, rng)[0]
    arriving = torch.ones_like(z)
    copied = torch.empty(int(ROWS * len(DIMS) * FLOORS["sample"].numbers / 2), device=device)
    target = torch.empty_like(copied)
    work = {
        "sample": lambda: ops.sample(raw.detach(), kappa.detach(), DIMS, rng),
        "its backward": lambda: torch.autograd.grad(z, (raw, kappa), arriving, retain_graph=True),
        "copy": lambda: target.copy_(copied),
    }
    subjects = [Subject(call, settings.clock) for call in work.values()]
    times = interleave(subjects, settings.plan(SECONDS))
    *kernels, copy = (Timed(name, seconds) for name, seconds in zip(work, times, strict=True))
    case = Case(NAME, f"{ROWS} rows", "ms", 1e3)
    figures = []
    for kernel in kernels:
        floor = FLOORS[kernel.name]
        draws = ROWS * len(DIMS)
        figures.append(case.share(kernel, int(4 * draws * floor.numbers), copy, 2 * copied.nbytes))
        seconds = issue_seconds(draws * floor.slots, *_schedulers(device))
        figures.append(case.cost(kernel, Timed("instructions", [seconds] * len(kernel.seconds))))
    return figures


def _schedulers(device: torch.device) -> tuple[int, float]:
    """Multiprocessors, and their highest clock in hertz."""
    properties = torch.cuda.get_device_properties(device)
    return properties.multi_processor_count, 1e3 * properties.clock_rate
