"""What a study will cost, from a short trial of each of its settings on this machine.

A trial is a few training steps, a part of the validation rows and a part of an evaluation, timed
one after the other in this process, and scaled up. It is an upper bound on the epochs, since early
stopping is not foreseen, and it does not know what runs beside each other take from each other.
"""

import contextlib
import json
import time
from collections.abc import Callable
from dataclasses import dataclass

from hvae.devices import use_threads
from hvae.errors import Diverged
from hvae.evaluation.elbo import elbo
from hvae.evaluation.importance import evaluate
from hvae.observer import Observer
from hvae.rows import Rows
from hvae.runs import TrainConfig
from hvae.runs.data_of import data_of
from hvae.runs.products import with_products
from hvae.studies.groups import settings_of
from hvae.studies.plan import Plan
from hvae.training.loop import open_state

_STEPS, _TRIED_STEPS = 20, 3
_VALIDATION, _EVALUATION = 1000, 20  # rows


@dataclass(frozen=True)
class Cost:
    """Of one run, in seconds.

    Attributes:
        epoch: training and validation.
        evaluation: of the test split.
        epochs: at most.
    """

    epoch: float
    evaluation: float
    epochs: int

    @property
    def seconds(self) -> float:
        """Of a run that is not stopped early."""
        return self.epoch * self.epochs + self.evaluation


def estimate(plan: Plan, observer: Observer | None = None) -> dict[str, Cost]:
    """The cost of every run of a plan, by its name; each setting is tried once, with one seed.

    Raises:
        Refused, EnvironmentProblem: as training; the data are loaded, and downloaded if need be.
    """
    observer = observer or Observer()
    known: dict[str, Cost] = {}
    costs = {}
    for run in plan.runs:
        setting = json.dumps(settings_of(run.config), sort_keys=True)
        if setting not in known:
            known[setting] = _trial(run.config, plan.samples, observer)
        costs[run.name] = known[setting]
    return costs


def total(costs: dict[str, Cost], jobs: int) -> float:
    """Seconds for all runs, `jobs` at a time, none of which may be split."""
    seconds = [cost.seconds for cost in costs.values()]
    return max([sum(seconds) / jobs, *seconds])


def _trial(config: TrainConfig, samples: int, observer: Observer) -> Cost:
    use_threads(config.threads)
    dataset = data_of(config, config.data_dir, progress=observer.download)
    state = open_state(with_products(config), dataset)
    rows = state.data.epoch(config.seed, 1)

    def train(steps: int) -> Callable[[], object]:
        some = _first(rows, steps * config.batch_size)
        return lambda: state.trainer.epoch(some, 1)

    with contextlib.suppress(Diverged):
        train(_TRIED_STEPS)()
    step = _seconds(train(_STEPS)) / max(1, min(_STEPS, len(rows) // config.batch_size))
    held_out = _first(state.data.validation, _VALIDATION)
    validation = _seconds(lambda: elbo(state.model, held_out, config.seed))
    test = _first(dataset.test, _EVALUATION)
    evaluation = _seconds(lambda: evaluate(state.model, test, samples, config.seed))
    steps = -(-len(rows) // config.batch_size)
    return Cost(
        epoch=step * steps + validation * len(dataset.validation) / len(held_out),
        evaluation=evaluation * len(dataset.test) / len(test),
        epochs=config.epochs,
    )


def _first(rows: Rows, count: int) -> Rows:
    return rows[: min(count, len(rows))]


def _seconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    with contextlib.suppress(Diverged):
        work()
    return time.perf_counter() - began
