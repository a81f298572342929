"""Lead a study: every run that is not done is given to an engine, until all have ended."""

import contextlib
import os
import shlex
import signal
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from hvae.errors import HvaeError, Interrupted
from hvae.observer import Observer
from hvae.runs.folder import METRICS
from hvae.runs.metrics import read_metrics
from hvae.studies import selection
from hvae.studies.engines import Engine, Failure, Task
from hvae.studies.folder import StudyFolder
from hvae.studies.plan import Plan, PlannedRun
from hvae.studies.standing import Progress, Standing
from hvae.studies.work import Job
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


def sweep(
    plan: Plan,
    folder: str | os.PathLike[str],
    engine: Engine,
    *,
    slots: int | None = None,
    observer: StudyObserver | None = None,
) -> dict[str, Any]:
    """Bring a study to its end, or further than it was.

    What is done is skipped, and what was cut short goes on, bit for bit. A run that diverges is a
    result. A worker that is lost is told of and replaced; a run that fails in another way, or loses
    three workers in a row without an epoch between, is told of and left.

    Args:
        plan: what the study consists of; a plan that is in the folder already is added to.
        folder: new or empty, or that of a study.
        engine: works on the runs; it is stopped before this returns.
        slots: how many runs are worked on at a time; None if that is not known here.
        observer: told of everything.

    Returns:
        "folder", "runs", "completed", "diverged", "failed" (by name, why), "chosen" or None.

    Raises:
        Refused: the plan does not go with what is in the folder; nothing is written.
        EnvironmentProblem: the disk failed, or another process leads the study.
        Interrupted: SIGINT or SIGTERM; what was under way has kept its last epoch.
    """
    study = StudyFolder(Path(folder).absolute())
    study.refuse_taken()
    with contextlib.closing(engine), Interrupts(), study.led():
        whole = _joined(study, plan)
        try:
            return _Leader(study, whole, engine, slots, observer or StudyObserver()).lead()
        except (Interrupted, KeyboardInterrupt) as error:
            engine.close()
            number = getattr(error, "number", signal.SIGINT)
            where = shlex.quote(os.fspath(folder))
            raise Interrupted(
                number, f"interrupted; all is kept; to go on: hvae sweep --resume {where}"
            ) from None


def _joined(study: StudyFolder, plan: Plan) -> Plan:
    """The plan with what is in the folder already, which then has both."""
    before = study.plan() if study.begun else None
    whole = plan if before is None else before.joined(plan)
    if whole != before:
        study.save_plan(whole)
    return whole


class _Leader:
    def __init__(
        self,
        study: StudyFolder,
        plan: Plan,
        engine: Engine,
        slots: int | None,
        observer: StudyObserver,
    ) -> None:
        self.study = study
        self.plan = plan
        self.engine = engine
        self.slots = slots
        self.observer = observer
        self.failed: dict[str, str] = {}
        self.losses: Counter[str] = Counter()

    def lead(self) -> dict[str, Any]:
        chosen = None
        self._finish(self.plan.runs, evaluate=not self.plan.select)
        if self.plan.select and not self.failed:
            chosen = selection.settled(self.study, self.plan)
            self.observer.chosen(chosen)
            names = selection.chosen_runs(self.study, chosen)
            runs = [run for run in self.plan.runs if run.name in names]
            self._finish(runs, evaluate=True)
        results = [self.study.result(name) for name in self.plan.names]
        completed = [result for result in results if result and result["completed"] is True]
        diverged = [result for result in results if result and result["completed"] is not True]
        return {
            "folder": str(self.study.path),
            "runs": len(self.plan.runs),
            "completed": len(completed),
            "diverged": len(diverged),
            "failed": self.failed,
            "chosen": chosen,
        }

    def _finish(self, runs: Sequence[PlannedRun], evaluate: bool) -> None:
        """Work on the runs until none has anything left to do, or it has failed."""
        self.progress = Progress(self.study, replace(self.plan, runs=tuple(runs)), evaluate)
        left = [run for run in runs if not self._is_done(run, evaluate)]
        tasks = {run.name: (run, self._submit(run, evaluate)) for run in left}
        looked = 0.0
        while tasks:
            for name, (run, task) in list(tasks.items()):
                if task.over():
                    del tasks[name]
                    again = self._over(run, task, evaluate)
                    if again is not None:
                        tasks[name] = (run, again)
            if time.monotonic() - looked > _LOOK:
                self.observer.standing(self._standing())
                looked = time.monotonic()
            if tasks:
                time.sleep(_POLL)

    def _submit(self, run: PlannedRun, evaluate: bool) -> Task:
        return self.engine.submit(Job(str(self.study.path), run.name, evaluate))

    def _over(self, run: PlannedRun, task: Task, evaluate: bool) -> Task | None:
        """Tell of a task that is over; the next one of the same run, if there must be one."""
        failure = task.failure()
        if failure is None and not self._is_done(run, evaluate):
            failure = Failure("its worker has left nothing in the folder of the run", lost=False)
        if failure is None:
            self.observer.run_ended(run.name, self._document(run), self._standing())
            return None
        epochs = self._epochs(run.name)
        before = self.losses.get(f"{run.name}@{epochs}", 0)
        self.losses[f"{run.name}@{epochs}"] += 1
        again = failure.lost and before + 1 < LOSSES
        self.observer.run_failed(run.name, failure, again)
        if again:
            return self._submit(run, evaluate)
        self.failed[run.name] = failure.text
        return None

    def _epochs(self, name: str) -> int:
        try:
            return len(read_metrics(self.study.run(name) / METRICS))
        except HvaeError:
            return 0

    def _is_done(self, run: PlannedRun, evaluate: bool) -> bool:
        result = self.study.result(run.name)
        if result is None:
            return False
        if not evaluate or result["completed"] is not True:
            return True
        return self.study.evaluation(run, self.plan.samples) is not None

    def _document(self, run: PlannedRun) -> dict[str, Any]:
        result = self.study.result(run.name) or {}
        evaluation = self.study.evaluation(run, self.plan.samples)
        return {
            "state": "completed" if result.get("completed") is True else "diverged",
            "epochs": result.get("epochs"),
            "diverged": result.get("diverged"),
            "validation_elbo": (result.get("validation") or {}).get("elbo"),
            "ll": None if evaluation is None else evaluation["ll"],
            "elbo": None if evaluation is None else evaluation["elbo"],
        }

    def _standing(self) -> Standing:
        return self.progress.standing(self.failed, self.slots)
