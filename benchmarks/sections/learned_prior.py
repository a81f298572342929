"""A learned prior: a training step against the uniform one's, evaluation against the decoder."""

from typing import Any

from ..harness.figures import Case, Figure, Timed
from ..harness.settings import Settings
from ..harness.timing import Subject, interleave
from ..harness.workload import BATCH, PIXELS, PRIOR_COMPONENTS
from . import evaluation
from .training_step import SECONDS, TURN, Steps

NAME = "learned prior"

SHELLS = "10,10,10,11"
# The pseudo-rows of `vamp` are five batches more for the encoder in every step.
COST = {"mixture": 1.4, "vamp": None}
EVALUATION_COST = 1.5


def sizes(settings: Settings) -> dict[str, Any]:
    return {
        "shells": SHELLS,
        "components": PRIOR_COMPONENTS,
        "batch": BATCH,
        "pixels": PIXELS,
        "images": evaluation.images_of(settings),
        "samples": evaluation.SAMPLES,
        "threads": settings.threads,
    }


def measure(settings: Settings) -> list[Figure]:
    return [
        *(_step(settings, prior, bound) for prior, bound in COST.items()),
        evaluation.against_decoder(NAME, settings, SHELLS, EVALUATION_COST, prior="mixture"),
    ]


def _step(settings: Settings, prior: str, bound: float | None) -> Figure:
    steps = [Steps(SHELLS, settings.device, prior), Steps(SHELLS, settings.device)]
    times = interleave(
        [Subject(step, settings.clock) for step in steps], settings.plan(SECONDS, turn=TURN)
    )
    for step in steps:
        step.check()
    case = Case(NAME, f"{SHELLS}, {PRIOR_COMPONENTS} components", "ms", 1e3)
    target = None if bound is None else settings.target("at_most", bound)
    return case.cost(Timed(f"step, {prior}", times[0]), Timed("step, uniform", times[1]), target)
