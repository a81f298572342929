"""Quantities of the concentration against torch's special functions, where it has the function.

On one device and with one clock: log I_0 and the mean resultant length I_1 / I_0 of a circle.
"""

from typing import Any

import torch

from hvae import ops

from ..harness.figures import Case, Figure, Timed
from ..harness.settings import Settings
from ..harness.timing import Subject, interleave
from ..harness.workload import LEAST, MOST, concentrations

NAME = "special functions of torch"

POINTS = {"cpu": 20_000, "cuda": 1 << 22}
SECONDS = 3.0
CIRCLE = [2]


def sizes(settings: Settings) -> dict[str, Any]:
    return {
        "points": POINTS[settings.device.type],
        "x": f"log-uniform in {LEAST:g} .. {MOST:g}, random order",
        "threads": settings.threads,
    }


def measure(settings: Settings) -> list[Figure]:
    return [f for dtype in (torch.float64, torch.float32) for f in _dtype(settings, dtype)]


def _dtype(settings: Settings, dtype: torch.dtype) -> list[Figure]:
    x = concentrations(POINTS[settings.device.type], settings.device).to(dtype)
    column = x[:, None]
    work = {
        "L+A": lambda: ops.vmf(column, CIRCLE, "L"),
        "A+dA": lambda: ops.vmf(column, CIRCLE, "A"),
        "log(i0e)+x": lambda: torch.special.i0e(x).log() + x,
        "i1e/i0e": lambda: torch.special.i1e(x) / torch.special.i0e(x),
    }
    subjects = [Subject(call, settings.clock) for call in work.values()]
    times = interleave(subjects, settings.plan(SECONDS))
    log_norm, ratio, log_i0, plain = (
        Timed.per(name, seconds, len(x)) for name, seconds in zip(work, times, strict=True)
    )
    case = Case(NAME, str(dtype).removeprefix("torch."), "ns/element", 1e9)
    return [case.speedup(log_norm, log_i0), case.speedup(ratio, plain)]
