"""The folder of a study: the plan, the runs, and what validation chose.

sweep.json         the plan (`hvae.studies.plan`): every run with all its settings
runs/NAME/         an ordinary run folder (`hvae.runs.folder`), with its evaluation
chosen.json        what was chosen by validation (`hvae.studies.selection`), if anything was to be
logs/NAME.log      what the workers of a run said, for people
.lock              which process leads the study (`hvae.runs.lock`)

Figures come from the folders of the runs and from nowhere else, whoever has worked on them.
"""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hvae import files
from hvae.errors import EnvironmentProblem, Refused
from hvae.runs import lock, read_result
from hvae.runs.folder import RESULT
from hvae.studies.finished import evaluation_of
from hvae.studies.plan import Plan, PlannedRun

PLAN, CHOSEN = "sweep.json", "chosen.json"
RUNS, LOGS = "runs", "logs"


class StudyFolder:
    """The files of a study.

    Args:
        path: the folder.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)

    @property
    def begun(self) -> bool:
        """Whether there is a plan in it."""
        return (self.path / PLAN).exists()

    def plan(self) -> Plan:
        """The plan.

        Raises:
            Refused: there is none, or sweep.json is damaged.
        """
        if not self.begun:
            raise Refused(f"{self.path} is not the folder of a sweep: it has no {PLAN}")
        try:
            return Plan.from_json(files.read_json(self.path / PLAN))
        except Refused as error:
            raise Refused(f"{self.path / PLAN}: {error}") from error

    def refuse_taken(self) -> None:
        """Refuse a folder that holds anything but a study.

        Raises:
            Refused: it does, or it is a file.
        """
        if self.begun or not self.path.exists():
            return
        if not self.path.is_dir() or any(not _is_bare(p.name) for p in self.path.iterdir()):
            raise Refused(
                f"--out: {self.path} is not the folder of a sweep; allowed: a new or empty folder, "
                "or one in which a sweep began"
            )

    @contextlib.contextmanager
    def led(self) -> Iterator[None]:
        """The study belongs to this process until the block ends.

        Raises:
            EnvironmentProblem: it belongs to another process, or the disk failed.
        """
        with files.writing(self.path):
            for folder in (self.path / RUNS, self.path / LOGS):
                folder.mkdir(parents=True, exist_ok=True)
        with lock.owned(self.path) as handle:
            with files.writing(self.path / lock.LOCK):
                lock.sign(handle)
            files.remove_leftovers(self.path, PLAN, CHOSEN)
            yield

    def save_plan(self, plan: Plan) -> None:
        """Write sweep.json."""
        files.write_json(self.path / PLAN, plan.to_json())

    def save_chosen(self, document: dict[str, Any]) -> None:
        """Write chosen.json, after which nothing is chosen again."""
        files.write_json(self.path / CHOSEN, document)

    def chosen(self) -> dict[str, Any] | None:
        """The content of chosen.json; None as long as there is none.

        Raises:
            Refused: it is damaged.
        """
        if not (self.path / CHOSEN).exists():
            return None
        return files.read_json(self.path / CHOSEN)

    def run(self, name: str) -> Path:
        """The folder of a run."""
        return self.path / RUNS / name

    def log(self, name: str) -> Path:
        """The file of what its workers said."""
        return self.path / LOGS / f"{name}.log"

    def result(self, name: str) -> dict[str, Any] | None:
        """How a run ended; None of one that has not, or whose result.json is damaged.

        A damaged one is written anew when the run is resumed.
        """
        if not (self.run(name) / RESULT).exists():
            return None
        try:
            return read_result(self.run(name))
        except Refused:
            return None

    def evaluation(self, run: PlannedRun, samples: int) -> dict[str, Any] | None:
        """Its evaluation of the test split with the run's own seed; None where there is none."""
        path = self.run(run.name) / f"eval-test-{samples}-{run.config.seed}.json"
        if not path.exists():
            return None
        try:
            return evaluation_of(path)
        except (Refused, EnvironmentProblem):
            return None


def _is_bare(name: str) -> bool:
    """Whether it is what a study leaves that was killed before its plan was there."""
    return name in (lock.LOCK, RUNS, LOGS) or name.startswith(f".{PLAN}.")
