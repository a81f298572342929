"""What a worker does for one run of a study: train it to its end, then evaluate it.

Everything that is done stays done: a job that is begun again goes on where the last one was cut
short, bit for bit, and does nothing where there is nothing left. So it matters to no engine whether
its worker was new, preempted or killed.
"""

import time
from collections.abc import Callable
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
from hvae.training.resumption import resume

PATIENCE = 60.0  # seconds in which a worker that was given up lets go of its run


@dataclass(frozen=True)
class Job:
    """One run to be worked on. It is plain, so that every engine can carry it anywhere.

    Attributes:
        folder: of the study, absolute: a place that every worker sees.
        name: of the run.
        evaluate: whether the test split is evaluated after training.
        until: training pauses after this epoch; None for its end.
    """

    folder: str
    name: str
    evaluate: bool = True
    until: int | None = None


def work(job: Job, observer: Observer | None = None) -> None:
    """Do the job; what comes of it is in the folder of the run.

    A run that diverged is a result like another: its result.json says so.

    Args:
        job: what to do.
        observer: told of epochs, images and warnings.

    Raises:
        Refused: there is no such run, its folder holds another one, or its data do not fit.
        EnvironmentProblem: the network, the disk or the memory, or another process trains the run.
        Interrupted: SIGINT or SIGTERM; training has kept its last epoch.
    """
    observer = observer or Observer()
    study = StudyFolder(job.folder)
    plan = study.plan()
    run = plan.run(job.name)
    if study.result(job.name) is None and not _train(run, study.run(job.name), job.until, observer):
        return
    ended = study.result(job.name)
    if not job.evaluate or ended is None or ended["completed"] is not True:
        return
    if study.evaluation(run, plan.samples) is None:
        evaluate_run(
            study.run(job.name),
            samples=plan.samples,
            device=run.config.device,
            threads=run.config.threads,
            observer=observer,
        )


def _train(run: PlannedRun, path: Path, until: int | None, observer: Observer) -> bool:
    """Begin the run or go on with it; whether it has ended."""
    if until is not None:
        if len(read_metrics(path / METRICS)) >= until:
            return False
        observer = Observers([observer, PauseAfter(until)])
    try:
        _begin_or_go_on(run, path, observer)
    except Diverged as error:
        observer.warning(str(error))
    except Interrupted as error:
        if paused(error):
            return False
        raise
    return True


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
