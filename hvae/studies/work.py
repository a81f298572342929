"""What a worker does for a run of a study, or for some together: train to the end, then evaluate.

Everything that is done stays done: a job that is begun again goes on where the last one was cut
short, bit for bit, and does nothing where there is nothing left. So it matters to no engine whether
its worker was new, preempted or killed.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from hvae.errors import Diverged, Interrupted, Refused
from hvae.evaluation.of_run import evaluate_run
from hvae.observer import Observer, Observers
from hvae.runs import TrainConfig, lock, read_config
from hvae.runs.folder import CONFIG, METRICS
from hvae.runs.metrics import read_metrics
from hvae.studies.folder import StudyFolder
from hvae.studies.pause import PauseAfter, paused
from hvae.studies.plan import PlannedRun
from hvae.training.begin import train
from hvae.training.replicas import train_replicas
from hvae.training.resumption import resume

PATIENCE = 60.0  # seconds in which a worker that was given up lets go of its run


@dataclass(frozen=True)
class Job:
    """Runs to be worked on. It is plain, so that every engine can carry it anywhere.

    Attributes:
        folder: of the study, absolute: a place that every worker sees.
        names: of the runs; more than one are trained in one stack (`hvae.training.replicas`).
        evaluate: whether the test split is evaluated after training.
        until: training of a run that is alone pauses after this epoch; None for its end.
    """

    folder: str
    names: tuple[str, ...]
    evaluate: bool = True
    until: int | None = None

    @property
    def name(self) -> str:
        """Of the first run, in whose log the worker speaks of all that is not one run's."""
        return self.names[0]


@dataclass(frozen=True)
class Failure:
    """Why a job is over that is not done.

    Attributes:
        text: one line.
        lost: whether its worker was lost, by a signal or with its machine: then the job may be
            given to another one. Else the job itself failed, and would again.
    """

    text: str
    lost: bool


def work(job: Job, observers: Sequence[Observer] | None = None) -> None:
    """Do the job; what comes of it is in the folders of the runs.

    A run that diverged is a result like another: its result.json says so.

    Args:
        job: what to do.
        observers: one for each run, told of its epochs, images and warnings.

    Raises:
        Refused: there is no such run, its folder holds another one, or its data do not fit.
        EnvironmentProblem: the network, the disk or the memory, or another process trains the run.
        Interrupted: SIGINT or SIGTERM; training has kept its last epoch.
    """
    told = list(observers or [Observer() for _ in job.names])
    study = StudyFolder(job.folder)
    plan = study.plan()
    runs = [plan.run(name) for name in job.names]
    if len(runs) > 1:
        _train_together(study, runs, told)
    elif study.result(job.name) is None:
        _train(runs[0], study.run(job.name), job.until, told[0])
    if job.evaluate:
        for run, observer in zip(runs, told, strict=True):
            _evaluate(study, run, plan.samples, observer)


def _train_together(
    study: StudyFolder, runs: Sequence[PlannedRun], observers: Sequence[Observer]
) -> None:
    """Train runs in one stack, of which any may have begun or ended before."""
    paths = [study.run(run.name) for run in runs]
    for path in paths:
        _wait_for(path)
    for result, told in zip(
        train_replicas([run.config for run in runs], paths, observers=observers),
        observers,
        strict=True,
    ):
        if result["completed"] is not True:
            told.warning(f"diverged: {result['diverged']}")


def _evaluate(study: StudyFolder, run: PlannedRun, samples: int, observer: Observer) -> None:
    """Evaluate a run that has completed and has no evaluation yet."""
    ended = study.result(run.name)
    if ended is None or ended["completed"] is not True:
        return
    if study.evaluation(run, samples) is None:
        evaluate_run(
            study.run(run.name),
            samples=samples,
            device=run.config.device,
            threads=run.config.threads,
            observer=observer,
        )


def _train(run: PlannedRun, path: Path, until: int | None, observer: Observer) -> None:
    """Begin the run or go on with it."""
    if until is not None:
        if len(read_metrics(path / METRICS)) >= until:
            return
        observer = Observers([observer, PauseAfter(until)])
    try:
        _begin_or_go_on(run, path, observer)
    except Diverged as error:
        observer.warning(str(error))
    except Interrupted as error:
        if not paused(error):
            raise


def _begin_or_go_on(run: PlannedRun, path: Path, observer: Observer) -> None:
    if not (path / CONFIG).exists():
        train(run.config, path, observer=observer)
        return
    _refuse_another(run.config, path)
    _wait_for(path)
    resume(path, observer=observer)


def _refuse_another(config: TrainConfig, path: Path) -> None:
    if not config.describes(read_config(path)):
        raise Refused(f"{path} holds a run with other settings; allowed: that of the plan")


def _wait_for(path: Path, sleep: Callable[[float], None] = time.sleep) -> None:
    """Give a worker that has lost its leader the time to keep its last epoch."""
    end = time.monotonic() + PATIENCE
    while lock.is_owned(path) and time.monotonic() < end:
        sleep(0.1)
