"""Give the runs of a study to an engine, and watch over them until they are done."""

import contextlib
import os
import shlex
import signal
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from hvae.errors import HvaeError, Interrupted
from hvae.observer import Observer
from hvae.runs.folder import METRICS
from hvae.runs.metrics import read_metrics
from hvae.studies import together
from hvae.studies.engines import Engine, Task
from hvae.studies.folder import StudyFolder
from hvae.studies.plan import Plan, PlannedRun
from hvae.studies.standing import Progress, Standing
from hvae.studies.work import Failure, Job
from hvae.training.interrupts import Interrupts

LOSSES = 3  # workers lost in a row, with no epoch between them, after which a run is given up
_POLL = 0.2  # seconds between looks at the tasks
_LOOK = 2.0  # seconds between looks at the files


class StudyObserver(Observer):
    """What a study tells beside what a run does."""

    def standing(self, standing: Standing) -> None:
        """How far the study is; every few seconds."""

    def run_ended(self, name: str, document: dict[str, Any], standing: Standing) -> None:
        """A run has ended; the document has "state", and its figures if it is complete."""

    def run_failed(self, name: str, failure: Failure, again: bool) -> None:
        """The worker of a run is gone; `again`: another goes on from the last checkpoint."""

    def chosen(self, document: dict[str, Any]) -> None:
        """Validation has chosen (`hvae.studies.selection`); no test figure was computed yet."""

    def halved(self, document: dict[str, Any]) -> None:
        """A search goes on with the better candidates (`hvae.studies.search`)."""


@dataclass(frozen=True)
class Stage:
    """How far runs are to be brought.

    Attributes:
        evaluate: whether the test split is evaluated after training.
        until: training pauses after this epoch; None for its end.
    """

    evaluate: bool = True
    until: int | None = None


@dataclass(frozen=True)
class _Given:
    """Runs that an engine was given, in one task."""

    runs: tuple[PlannedRun, ...]
    task: Task


_NOTHING_LEFT = Failure("its worker has left nothing in the folder of the run", lost=False)


@contextlib.contextmanager
def leading(folder: str | os.PathLike[str], engine: Engine) -> Iterator[StudyFolder]:
    """The folder of a study, which belongs to this process until the block ends.

    Raises:
        Refused: it holds something else; nothing is written.
        EnvironmentProblem: the disk failed, or another process leads the study.
        Interrupted: SIGINT or SIGTERM came within the block; what was under way has kept its last
            epoch.
    """
    study = StudyFolder(Path(folder).absolute())
    study.refuse_taken()
    with contextlib.closing(engine), Interrupts(), study.led():
        try:
            yield study
        except (Interrupted, KeyboardInterrupt) as error:
            engine.close()
            number = getattr(error, "number", signal.SIGINT)
            where = shlex.quote(os.fspath(folder))
            raise Interrupted(
                number, f"interrupted; all is kept; to go on: hvae sweep --resume {where}"
            ) from None


class Leader:
    """Brings runs of a study to the end of a stage.

    Args:
        study: the folder, led by this process.
        engine: works on the runs.
        slots: how many runs the engine has at a time at most; None: all, and it has a queue.
        observer: told of everything.
        replicas: how many runs are trained in one stack at most, where they fit together.

    Attributes:
        failed: by name of a run, why it is not tried again.
    """

    def __init__(
        self,
        study: StudyFolder,
        engine: Engine,
        slots: int | None,
        observer: StudyObserver,
        replicas: int = 1,
    ) -> None:
        self.study = study
        self.engine = engine
        self.slots = slots
        self.observer = observer
        self.replicas = replicas
        self.failed: dict[str, str] = {}
        self._losses: Counter[str] = Counter()

    def finish(self, plan: Plan, runs: Sequence[PlannedRun], stage: Stage) -> None:
        """Work on some runs of a plan until none has anything left to do, or it has failed."""
        self._plan, self._stage = replace(plan, runs=tuple(runs)), stage
        self._progress = Progress(self.study, self._plan, stage.evaluate, stage.until)
        left = [run for run in runs if not self._is_done(run)]
        alone = stage.until is not None  # a stack does not pause
        waiting = together.batches(left, 1 if alone else self.replicas)[::-1]
        tasks: list[_Given] = []
        looked = 0.0
        while tasks or waiting:
            while waiting and (self.slots is None or len(tasks) < self.slots):
                tasks.append(self._submit(waiting.pop()))
            for given in [given for given in tasks if given.task.over()]:
                tasks.remove(given)
                again = self._over(given)
                if again:
                    tasks.append(self._submit(again))
            if time.monotonic() - looked > _LOOK:
                self.observer.standing(self._standing())
                looked = time.monotonic()
            if tasks:
                time.sleep(_POLL)

    def _submit(self, runs: tuple[PlannedRun, ...]) -> "_Given":
        stage, names = self._stage, tuple(run.name for run in runs)
        job = Job(str(self.study.path), names, stage.evaluate, stage.until)
        return _Given(runs, self.engine.submit(job))

    def _over(self, given: "_Given") -> tuple[PlannedRun, ...]:
        """Tell of a task that is over; those of its runs that must be given to another one."""
        failure = given.task.failure()
        again = []
        for run in given.runs:
            if self._is_done(run):
                self.observer.run_ended(run.name, self._document(run), self._standing())
            elif self._failed(run, failure or _NOTHING_LEFT):
                again.append(run)
        return tuple(again)

    def _failed(self, run: PlannedRun, failure: Failure) -> bool:
        """Tell of it; whether the run is given to another worker."""
        place = f"{run.name}@{self._epochs(run.name)}"
        self._losses[place] += 1
        again = failure.lost and self._losses[place] < LOSSES
        self.observer.run_failed(run.name, failure, again)
        if not again:
            self.failed[run.name] = failure.text
        return again

    def _epochs(self, name: str) -> int:
        try:
            return len(read_metrics(self.study.run(name) / METRICS))
        except HvaeError:
            return 0

    def _is_done(self, run: PlannedRun) -> bool:
        result, until = self.study.result(run.name), self._stage.until
        if result is None:
            return until is not None and self._epochs(run.name) >= until
        if not self._stage.evaluate or result["completed"] is not True:
            return True
        return self.study.evaluation(run, self._plan.samples) is not None

    def _document(self, run: PlannedRun) -> dict[str, Any]:
        result = self.study.result(run.name) or {}
        evaluation = self.study.evaluation(run, self._plan.samples)
        return {
            "state": "completed" if result.get("completed") is True else "diverged",
            "epochs": result.get("epochs"),
            "diverged": result.get("diverged"),
            "validation_elbo": (result.get("validation") or {}).get("elbo"),
            "ll": None if evaluation is None else evaluation["ll"],
            "elbo": None if evaluation is None else evaluation["elbo"],
        }

    def _standing(self) -> Standing:
        return self._progress.standing(self.failed, self.slots)
