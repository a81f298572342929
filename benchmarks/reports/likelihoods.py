"""A training step with every likelihood against the Bernoulli step of the same network.

    python -m hvae.benchmarks.reports.likelihoods [--quick] [--device cpu] [--threads 1]

All take turns in the same rounds: rows of 784 numbers in batches of 100, the paper's network, the
latent space of `SHELLS`. Counts are of the size of a single cell's, below 60. A line a likelihood:
its median time, the ratio with its quartiles, and whether that meets its target. The last line is
one JSON document.
"""

import argparse
import itertools
import json
import sys
from collections.abc import Sequence

import torch
from torch import Tensor

from hvae import ops, random
from hvae.description import DataDescription, Kind
from hvae.errors import Diverged
from hvae.runs import TrainConfig
from hvae.runs.assembly import assemble

from ..harness.figures import Case, Figure, Timed
from ..harness.machine import machine, versions
from ..harness.settings import Settings
from ..harness.timing import Subject, interleave
from ..harness.workload import BATCH, HIDDEN, PIXELS, images, trainer
from . import command

SHELLS = "10,10,10,11"
BASELINE = "bernoulli"
KINDS = {
    BASELINE: Kind.BINARY,
    "gaussian": Kind.REAL,
    "negative-binomial": Kind.COUNTS,
    "poisson": Kind.COUNTS,
    "binomial": Kind.COUNTS,
    "continuous-bernoulli": Kind.UNIT,
}
COST = {"gaussian": 1.15, "negative-binomial": 1.5}
BATCHES = 10
MOST = 60  # above every count
SECONDS, TURN = 60.0, 0.02


def rows(kind: Kind, count: int, device: torch.device) -> Tensor:
    """[count, PIXELS] of that kind."""
    if kind is Kind.BINARY:
        return images(count, device)
    rng = random.stream(3, "user", device=device)
    uniform = ops.uniform(rng, 1, count, PIXELS)[0]
    if kind is Kind.UNIT:
        return uniform
    if kind is Kind.REAL:
        return ops.normal(rng, 1, count, PIXELS)[0]
    return (-2 * uniform.log()).floor()


class Steps:
    """Steps of a training that goes on, over a few batches again and again."""

    def __init__(self, likelihood: str, device: torch.device) -> None:
        self.likelihood = likelihood
        kind = KINDS[likelihood]
        maxima = (MOST,) * PIXELS if kind is Kind.COUNTS else None
        config = TrainConfig(shells=SHELLS, hidden=HIDDEN, likelihood=likelihood)
        model = assemble(config, DataDescription((PIXELS,), kind, maxima=maxima))
        model.initialize(seed=0)
        there = rows(kind, BATCH * BATCHES, device)
        model.likelihood.observe(there.cpu())
        self.trainer = trainer(model.to(device))
        self.skipped = torch.zeros((), device=device)
        streams = [random.stream(0, "train", step=i, device=device) for i in range(BATCHES)]
        self.inputs = itertools.cycle(zip(there.split(BATCH), streams, strict=True))

    def __call__(self) -> None:
        batch, rng = next(self.inputs)
        self.trainer.step(batch, rng, self.trainer.kl_weights, self.skipped)

    def check(self) -> None:
        """A skipped update is not what was to be timed."""
        if self.skipped.item():
            raise Diverged(f"likelihoods: the training step with {self.likelihood}")


def measure(settings: Settings) -> list[Figure]:
    """The cost of every likelihood but Bernoulli."""
    steps = [Steps(name, settings.device) for name in KINDS]
    subjects = [Subject(step, settings.clock) for step in steps]
    times = interleave(subjects, settings.plan(SECONDS, turn=TURN))
    for step in steps:
        step.check()
    baseline, *others = (Timed(name, seconds) for name, seconds in zip(KINDS, times, strict=True))
    case = Case("likelihoods", f"a training step, {SHELLS}", "ms", 1e3)
    bounds = {name: settings.target("at_most", cost) for name, cost in COST.items()}
    return [case.cost(timed, baseline, bounds.get(timed.name)) for timed in others]


def main(arguments: Sequence[str] | None = None) -> int:
    options = command.Options("likelihoods", "The cost of a training step by likelihood.")
    options.add_argument("--quick", action="store_true", help="a twentieth of the time")
    options.add_argument("--device", default="cpu", help="cpu, cuda or cuda:N")
    options.add_argument("--threads", type=int, default=1, help="CPU threads")
    return command.run(options, _report, arguments)


def _report(options: argparse.Namespace) -> None:
    settings = Settings.of(options.quick, options.device, options.threads)
    where = machine(settings.device)
    figures = measure(settings)
    print(f"{BASELINE:<22}{figures[0].baseline_time.median:8.3f} ms")
    for figure in figures:
        print(_line(figure))
    document = {
        "device": str(settings.device),
        "threads": settings.threads,
        "machine": where,
        "versions": versions(),
        "figures": [figure.document() for figure in figures],
    }
    print(json.dumps(document, allow_nan=False))


def _line(figure: Figure) -> str:
    ratio = figure.ratio
    line = f"{figure.subject:<22}{figure.time.median:8.3f} ms  {ratio.median:6.3f} times"
    line += f" [{ratio.q1:.3f}, {ratio.q3:.3f}]"
    if figure.target is None:
        return line
    return f"{line}, at most {figure.target.value}: {'met' if figure.met else 'MISSED'}"


if __name__ == "__main__":
    sys.exit(main())
