"""A step of training on spheres against the same network with a Gaussian latent space."""

import itertools
from typing import Any

import torch

from hvae import random
from hvae.errors import Diverged
from hvae.shells import parse
from hvae.trainer import Trainer

from .figures import Case, Figure, Timed
from .networks import PIXELS, images, model
from .settings import Settings
from .timing import Plan, Subject, interleave, threads
from .usual import UsualProduct

NAME = "training step"

GAUSSIAN = "e41"
COST = {"10,10,10,11": 1.15, ",".join(["2"] * 40): 1.35}
BATCH, BATCHES = 100, 10
SECONDS, SLOW_SECONDS = 15.0, 10.0
TURN = 0.02  # several steps, so that a network finds its weights where it left them


def sizes(settings: Settings) -> dict[str, Any]:
    return {"batch": BATCH, "pixels": PIXELS, "baseline": GAUSSIAN, "threads": _threads(settings)}


def measure(settings: Settings) -> list[Figure]:
    return [figure for shells in COST for figure in _shells(settings, shells)]


def _threads(settings: Settings) -> list[int]:
    """One, as `hvae train` takes by itself, and what was asked for."""
    return sorted({1, settings.threads})


class Steps:
    """Steps of a training that goes on, over a few batches again and again."""

    def __init__(self, shells: str, settings: Settings, usual: bool = False) -> None:
        network = model(shells, settings.device)
        if usual:
            network.latent = UsualProduct(parse(shells))
        self.trainer = Trainer(network, lr=1e-3, batch_size=BATCH)
        device = settings.device
        self.weight = torch.ones(len(parse(shells)), device=device)
        self.skipped = torch.zeros((), device=device)
        batches = images(BATCH * BATCHES, device).split(BATCH)
        streams = [random.stream(0, "train", step=i, device=device) for i in range(BATCHES)]
        self.inputs = itertools.cycle(zip(batches, streams, strict=True))

    def __call__(self) -> None:
        batch, rng = next(self.inputs)
        self.trainer.step(batch, rng, self.weight, self.skipped)

    def check(self) -> None:
        """A skipped update is not what was to be timed."""
        if self.skipped.item():
            raise Diverged(f"bench: the training step on {self.trainer.model.latent.shells}")


def _shells(settings: Settings, shells: str) -> list[Figure]:
    target = settings.target("at_most", COST[shells])
    figures = []
    for count in _threads(settings):
        with threads(count):
            step, gaussian = _pair(settings, shells, False, settings.plan(SECONDS, turn=TURN))
        figures.append(_case(shells, count).cost(step, gaussian, target))
    usual, gaussian = _pair(settings, shells, True, settings.plan(SLOW_SECONDS, turn=TURN))
    return [*figures, _case(shells, settings.threads).cost(usual, gaussian)]


def _case(shells: str, count: int) -> Case:
    dims = shells.split(",")
    title = f"{len(dims)} circles" if set(dims) == {"2"} else shells
    return Case(NAME, f"{title}, {count} thread{'s' * (count > 1)}", "ms", 1e3)


def _pair(settings: Settings, shells: str, usual: bool, plan: Plan) -> tuple[Timed, Timed]:
    """The step on `shells` and the Gaussian one, in turns."""
    steps = [Steps(shells, settings, usual), Steps(GAUSSIAN, settings)]
    subjects = [Subject(step, settings.clock) for step in steps]
    ours, gaussian = interleave(subjects, plan)
    for step in steps:
        step.check()
    name = "step, usual vMF" if usual else "step"
    return Timed(name, ours), Timed(f"step, {GAUSSIAN}", gaussian)
