"""A step of training on spheres against the same network with a Gaussian latent space.

And against the floor of both, the matrix products of the step.
"""

import itertools
from typing import Any

import torch

from hvae import random
from hvae.errors import Diverged

from ..baselines.auto_encoder import AutoEncoder
from ..harness.figures import Case, Figure, Timed
from ..harness.floor import Floor
from ..harness.settings import Settings
from ..harness.timing import Plan, Subject, interleave, threads
from ..harness.workload import BATCH, HIDDEN, LR, PIXELS, images, network, trainer

NAME = "training step"

GAUSSIAN = "e41"
COST = {
    "10,10,10,11": 1.15,
    ",".join(["2"] * 40): 1.35,
    "s41": 1.15,
    "s10,s10,s10,s11": 1.15,
    ",".join(["s2"] * 20): 1.35,
}
OVER_FLOOR = {"10,10,10,11": 1.6, GAUSSIAN: None}
BATCHES = 10
SECONDS, SLOW_SECONDS = 15.0, 10.0
TURN = 0.02  # several steps, so that a network finds its weights where it left them


def sizes(settings: Settings) -> dict[str, Any]:
    return {"batch": BATCH, "pixels": PIXELS, "baseline": GAUSSIAN, "threads": _threads(settings)}


def measure(settings: Settings) -> list[Figure]:
    figures = [figure for shells in COST for figure in _shells(settings, shells)]
    return [*figures, *(_over_floor(settings, shells) for shells in OVER_FLOOR)]


def _threads(settings: Settings) -> list[int]:
    """One, as `hvae train` takes by itself, and what was asked for."""
    return sorted({1, settings.threads})


class Steps:
    """Steps of a training that goes on, over a few batches again and again."""

    name = "step"

    def __init__(self, shells: str, device: torch.device, prior: str = "uniform") -> None:
        self.shells = shells
        self.trainer = trainer(network(shells, device, prior))
        self.skipped = torch.zeros((), device=device)
        batches = images(BATCH * BATCHES, device).split(BATCH)
        streams = [random.stream(0, "train", step=i, device=device) for i in range(BATCHES)]
        self.inputs = itertools.cycle(zip(batches, streams, strict=True))

    def __call__(self) -> None:
        batch, rng = next(self.inputs)
        self.trainer.step(batch, rng, self.trainer.kl_weights, self.skipped)

    def check(self) -> None:
        """A skipped update is not what was to be timed."""
        if self.skipped.item():
            raise Diverged(f"bench: the training step on {self.shells}")


class UsualSteps:
    """The same in plain torch: the network, the batches and the optimizer's settings of `Steps`."""

    name = "step, usual vMF"

    def __init__(self, shells: str, device: torch.device) -> None:
        self.shells = shells
        dims = [int(m) for m in shells.split(",")]
        self.model = AutoEncoder(PIXELS, dims, HIDDEN).to(device)
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=LR, fused=True)
        self.inputs = itertools.cycle(images(BATCH * BATCHES, device).split(BATCH))
        self.loss = torch.zeros((), device=device)

    def __call__(self) -> None:
        log_likelihood, kl = self.model(next(self.inputs))
        loss = (kl.sum(-1) - log_likelihood).mean()
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        self.loss = loss.detach()

    def check(self) -> None:
        """A loss that is not finite is not what was to be timed; it stays so once it is."""
        if not self.loss.isfinite():
            raise Diverged(f"bench: the usual training step on {self.shells}")


def _shells(settings: Settings, shells: str) -> list[Figure]:
    target = settings.target("at_most", COST[shells])
    figures = []
    for count in _threads(settings):
        with threads(count):
            step, gaussian = _pair(settings, Steps, shells, settings.plan(SECONDS, turn=TURN))
        figures.append(_case(shells, count).cost(step, gaussian, target))
    if "s" in shells:
        return figures  # there is no usual implementation of scaled shells
    slow = settings.plan(SLOW_SECONDS, turn=TURN)
    usual, gaussian = _pair(settings, UsualSteps, shells, slow)
    return [*figures, _case(shells, settings.threads).cost(usual, gaussian)]


def _over_floor(settings: Settings, shells: str) -> Figure:
    """A step on one thread, and its products alone."""
    with threads(1):
        step = Steps(shells, settings.device)
        floor = Floor(step.trainer.model, BATCH)
        subjects = [Subject(work, settings.clock) for work in (step, floor)]
        whole, products = interleave(subjects, settings.plan(SLOW_SECONDS, turn=TURN))
    step.check()
    most = OVER_FLOOR[shells]
    target = None if most is None else settings.target("at_most", most)
    return _case(shells, 1).cost(Timed(step.name, whole), Timed(floor.name, products), target)


def _case(shells: str, count: int) -> Case:
    dims = shells.split(",")
    titles = {"2": "circles", "s2": "scaled circles"}
    same = len(set(dims)) == 1 and dims[0] in titles
    title = f"{len(dims)} {titles[dims[0]]}" if same else shells
    return Case(NAME, f"{title}, {count} thread{'s' * (count > 1)}", "ms", 1e3)


def _pair(
    settings: Settings, kind: type[Steps] | type[UsualSteps], shells: str, plan: Plan
) -> tuple[Timed, Timed]:
    """The step on `shells` and the Gaussian one, in turns."""
    steps = [kind(shells, settings.device), Steps(GAUSSIAN, settings.device)]
    ours, gaussian = interleave([Subject(step, settings.clock) for step in steps], plan)
    for step in steps:
        step.check()
    return Timed(kind.name, ours), Timed(f"step, {GAUSSIAN}", gaussian)
