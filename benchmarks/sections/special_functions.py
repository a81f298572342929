"""L+A and KL+dKL an element against SciPy: one order a batch, one thread."""

from typing import Any

import numpy as np
import scipy.special
import torch

from hvae import ops

from ..harness.figures import Case, Figure, Timed
from ..harness.settings import Settings
from ..harness.timing import Subject, interleave, threads, wall
from ..harness.workload import LEAST, MOST, concentrations

NAME = "special functions"

DIMS = (2, 11, 41, 200)
DTYPES = (torch.float64, torch.float32)
SCIPY_POINTS = 20_000
POINTS = {"cpu": SCIPY_POINTS, "cuda": 1 << 22}
SECONDS = 4.0

TARGET_DIMENSION = 41
SPEEDUP = {torch.float64: 8.0, torch.float32: 20.0}
SPEEDUP_OVER_IVE = 5.0


def sizes(settings: Settings) -> dict[str, Any]:
    return {
        "points": POINTS[settings.device.type],
        "scipy_points": SCIPY_POINTS,
        "x": f"log-uniform in {LEAST:g} .. {MOST:g}, random order",
        "threads": 1,
    }


def measure(settings: Settings) -> list[Figure]:
    with threads(1):
        return [figure for dtype in DTYPES for m in DIMS for figure in _order(settings, m, dtype)]


def _order(settings: Settings, m: int, dtype: torch.dtype) -> list[Figure]:
    k = concentrations(POINTS[settings.device.type], settings.device).to(dtype)[:, None]
    x = k[:SCIPY_POINTS, 0].cpu().numpy()
    nu = m / 2 - 1
    subjects = [
        Subject(lambda: ops.vmf(k, [m], "L"), settings.clock),
        Subject(lambda: ops.vmf(k, [m], "KL"), settings.clock),
        Subject(lambda: np.log(scipy.special.ive(nu, x)) + x, wall),
        Subject(lambda: scipy.special.ive(nu, x), wall),
    ]
    with np.errstate(divide="ignore"):  # ive underflows to 0
        times = interleave(subjects, settings.plan(SECONDS))
    mean, divergence = (
        Timed.per(name, seconds, len(k))
        for name, seconds in zip(("L+A", "KL+dKL"), times[:2], strict=True)
    )
    log_ive, ive = (
        Timed.per(name, seconds, len(x))
        for name, seconds in zip(("SciPy log(ive)+x", "SciPy ive"), times[2:], strict=True)
    )
    double = dtype == torch.float64
    case = Case(NAME, f"{'float64' if double else 'float32'}, m = {m}", "ns/element", 1e9)
    bound = settings.target("at_least", SPEEDUP[dtype]) if m == TARGET_DIMENSION else None
    over_ive = settings.target("at_least", SPEEDUP_OVER_IVE) if double else None
    return [
        case.speedup(mean, log_ive, bound),
        case.speedup(divergence, log_ive, bound),
        case.speedup(divergence, ive, over_ive),
    ]
