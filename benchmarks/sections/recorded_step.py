"""An epoch of training whose steps are played back from a CUDA graph, against one launch by launch.

And against the same of a Gaussian latent space, played back too.
"""

import itertools
from typing import Any

import torch

from hvae.training import cuda_graph
from hvae.training.step import Trainer

from ..harness.figures import Case, Figure, Timed
from ..harness.settings import Settings
from ..harness.timing import Subject, interleave
from ..harness.workload import BATCH, LR, PIXELS, images, network

NAME = "recorded step"

SHELLS = ("10,10,10,11", ",".join(["2"] * 40))
GAUSSIAN = "e41"
BATCHES = 50
SECONDS, TURN = 10.0, 0.05


def sizes(settings: Settings) -> dict[str, Any]:
    return {"batch": BATCH, "pixels": PIXELS, "batches an epoch": BATCHES, "baseline": GAUSSIAN}


def measure(settings: Settings) -> list[Figure]:
    return [figure for shells in SHELLS for figure in _shells(settings, shells)]


def _shells(settings: Settings, shells: str) -> list[Figure]:
    played, launched, gaussian = (
        Subject(_epochs(settings.device, *kind), settings.clock)
        for kind in ((shells, True), (shells, False), (GAUSSIAN, True))
    )
    times = interleave([played, launched, gaussian], settings.plan(SECONDS, turn=TURN))
    names = ("step, played back", "step, launched", f"step, {GAUSSIAN}, played back")
    step, eager, other = (
        Timed.per(name, seconds, BATCHES) for name, seconds in zip(names, times, strict=True)
    )
    title = shells if len(shells) < len(SHELLS[1]) else "40 circles"
    case = Case(NAME, title, "ms", 1e3)
    return [case.speedup(step, eager), case.cost(step, other)]


def _epochs(device: torch.device, shells: str, played: bool) -> Any:
    """Training that goes on, an epoch a call."""
    record = cuda_graph.record if played else None
    trainer = Trainer(network(shells, device), lr=LR, batch_size=BATCH, record=record)
    rows, numbers = images(BATCH * BATCHES, device), itertools.count(1)
    return lambda: trainer.epoch(rows, next(numbers))
