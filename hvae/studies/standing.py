"""How far a study is, and how long it will take: read from the folders of its runs."""

import statistics
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from hvae.errors import HvaeError
from hvae.runs.folder import METRICS
from hvae.runs.metrics import read_metrics
from hvae.studies.folder import StudyFolder
from hvae.studies.plan import Plan, PlannedRun


@dataclass(frozen=True)
class Standing:
    """How far a study is.

    Attributes:
        runs: that there are to be.
        ended: of them, those with nothing left to do; they are complete or have diverged.
        diverged, failed: of them.
        active: runs that have begun and not ended.
        epochs: that were trained so far.
        seconds_left: at the rate so far; None as long as no epoch has ended.
    """

    runs: int
    ended: int
    diverged: int
    failed: int
    active: int
    epochs: int
    seconds_left: float | None


@dataclass(frozen=True)
class _Pace:
    """What one run has taken so far."""

    epochs: int
    seconds: float
    ended: bool
    evaluation: float | None


class Progress:
    """Follows the runs of a study; files that have not grown are not read again.

    Args:
        folder: of the study.
        plan: what is to be done.
        evaluate: whether runs are evaluated after training.
    """

    def __init__(self, folder: StudyFolder, plan: Plan, evaluate: bool) -> None:
        self._folder = folder
        self._plan = plan
        self._evaluate = evaluate
        self._lines: dict[str, tuple[int, int, float]] = {}
        self._over: dict[str, _Pace] = {}

    def standing(self, failed: Iterable[str], slots: int | None) -> Standing:
        """Now.

        Args:
            failed: names of runs that are not tried again.
            slots: how many runs are worked on at a time; None: as many as have begun.
        """
        given_up = set(failed)
        paces = {run.name: self._pace(run) for run in self._plan.runs}
        diverged = sum(self._is_diverged(name) for name, pace in paces.items() if pace.ended)
        active = [n for n, pace in paces.items() if pace.epochs and not pace.ended]
        going = [n for n in active if n not in given_up]
        left = {n: p for n, p in paces.items() if not p.ended and n not in given_up}
        ended = sum(self._is_over(pace) for pace in paces.values())
        return Standing(
            runs=len(paces),
            ended=ended,
            diverged=diverged,
            failed=len(given_up),
            active=len(going),
            epochs=sum(pace.epochs for pace in paces.values()),
            seconds_left=self._left(paces, left, min(slots or len(going), len(left)) or 1),
        )

    def _left(self, paces: dict[str, _Pace], left: dict[str, _Pace], slots: int) -> float | None:
        """Each run at its own rate, or the mean of all; as long as those that have ended."""
        rates = {n: p.seconds / p.epochs for n, p in paces.items() if p.epochs and p.seconds}
        if not rates:
            return None if left else 0.0
        usual = statistics.mean(rates.values())
        lengths = [pace.epochs for pace in paces.values() if pace.ended]
        evaluations = [pace.evaluation for pace in paces.values() if pace.evaluation is not None]
        evaluation = statistics.mean(evaluations) if evaluations else 0.0
        seconds = 0.0
        for run in self._plan.runs:
            pace = paces[run.name]
            if run.name in left:
                expected = statistics.mean(lengths) if lengths else run.config.epochs
                epochs = max(expected - pace.epochs, 1.0)
                seconds += epochs * rates.get(run.name, usual)
            if self._evaluate and pace.evaluation is None and not self._is_over(pace):
                seconds += evaluation
        return seconds / slots

    def _is_over(self, pace: _Pace) -> bool:
        return pace.ended and (not self._evaluate or pace.evaluation is not None)

    def _is_diverged(self, name: str) -> bool:
        result = self._folder.result(name)
        return result is not None and result["completed"] is not True

    def _pace(self, run: PlannedRun) -> _Pace:
        if run.name in self._over:
            return self._over[run.name]
        epochs, seconds = self._trained(self._folder.run(run.name) / METRICS, run.name)
        result = self._folder.result(run.name)
        if result is None:
            return _Pace(epochs, seconds, False, None)
        evaluation = self._folder.evaluation(run, self._plan.samples)
        took = None if evaluation is None else float(evaluation.get("seconds", 0.0))
        pace = _Pace(epochs, seconds, True, took if result["completed"] is True else 0.0)
        if self._is_over(pace):
            self._over[run.name] = pace
        return pace

    def _trained(self, path: Path, name: str) -> tuple[int, float]:
        """Epochs and their seconds, by the lines of metrics.jsonl."""
        try:
            size = path.stat().st_size
        except OSError:
            return 0, 0.0
        known = self._lines.get(name)
        if known is None or known[0] != size:
            try:
                lines = read_metrics(path)
            except HvaeError:
                lines = []
            seconds = sum(float(line.get("seconds", 0.0)) for line in lines)
            known = self._lines[name] = (size, len(lines), seconds)
        return known[1], known[2]
