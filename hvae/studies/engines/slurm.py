"""A Slurm cluster, by submitit: a batch job for every run.

Every node must see the folder of the study under the same path, and the same Python. A job that is
preempted or requeued by Slurm begins again, and so goes on from the last checkpoint of its run; one
that reaches its time limit puts itself into the queue again, as submitit does it. What submitit
keeps of a job is in DIR/slurm.

When the leader is killed its batch jobs go on. The next leader finds them in the queue by their
comments and waits for them.
"""

import hashlib
import os
import subprocess
import time
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from hvae.errors import EnvironmentProblem, Interrupted, Refused
from hvae.extras import require
from hvae.studies.engines.engine import Engine, Task
from hvae.studies.work import Failure, Job
from hvae.studies.worker import attempt

FOLDER = "slurm"
_MINUTES = 24 * 60  # a job's time limit where none is asked for
_TIMEOUTS = 10_000  # after which submitit gives a job up; a run that gets on needs no fewer
_COMPLETING = "CG"  # the state of a job that is being ended
_LOOK = 2.0  # seconds between looks at the queue
_KILLED_BY = 600.0  # seconds in which Slurm kills a job that it has interrupted
_GRACE = 10.0  # seconds for which a file that is written may not be seen from another machine


class SlurmEngine(Engine):
    """A batch job for every job.

    Args:
        threads: CPU threads of a run, and CPUs of its batch job.
        gpus: of a run.
        options: of sbatch, by long name, such as "partition".

    Raises:
        Refused: an option that is not sbatch's to have here.
        EnvironmentProblem: submitit is not installed, or there is no Slurm.
    """

    def __init__(
        self, threads: int = 1, gpus: int = 0, options: Mapping[str, str] | None = None
    ) -> None:
        self._submitit = require("submitit", extra="slurm")
        self._queue = _Queue()
        self._queue.refresh()
        self._parameters = _parameters(threads, gpus, options or {})
        self._executors: dict[str, Any] = {}
        self._jobs: list[Any] = []

    def submit(self, job: Job) -> Task:
        executor, mark = self._executor(job.folder), _mark(job)
        known = self._queue.marked(mark)
        if known is not None:
            found = self._submitit.SlurmJob(executor.folder, known, [0])
            self._jobs.append(found)
            return _SlurmTask(found, self._queue)
        try:
            executor.update_parameters(comment=mark)
            submitted = executor.submit(Attempt(), job)
        except (self._submitit.core.utils.FailedJobError, RuntimeError, OSError) as error:
            reason = " ".join(str(error).split())[:300]
            raise EnvironmentProblem(f"--engine: sbatch failed: {reason}") from error
        self._jobs.append(submitted)
        return _SlurmTask(submitted, self._queue)

    def close(self) -> None:
        jobs, self._jobs = self._jobs, []
        waiting = self._queue.now()
        for job in jobs:
            if job.job_id in waiting:
                job.cancel(check=False)

    def _executor(self, folder: str) -> Any:
        if folder not in self._executors:
            executor = self._submitit.SlurmExecutor(
                folder=Path(folder) / FOLDER, max_num_timeout=_TIMEOUTS
            )
            executor.update_parameters(**self._parameters)
            self._executors[folder] = executor
        return self._executors[folder]


class Attempt:
    """What submitit calls in a batch job, and calls again when Slurm has requeued it."""

    def __call__(self, job: Job) -> Failure | None:
        """Do the job; where it is interrupted, keep its last epoch and wait for Slurm's SIGKILL.

        A job that Slurm preempts has SIGTERM first and SIGKILL later, and is then put into the
        queue again. If it ended in between it would be over for Slurm.
        """
        place = f"Slurm job {os.environ.get('SLURM_JOB_ID', '-')}, process {os.getpid()}"
        try:
            return attempt(job, place)
        except Interrupted as error:
            time.sleep(_KILLED_BY)
            os._exit(error.exit_status)  # with no result, so that the leader takes it for lost

    def checkpoint(self, job: Job) -> Any:
        """What submitit puts into the queue at the time limit: the same again."""
        return require("submitit", extra="slurm").helpers.DelayedSubmission(self, job)


class _SlurmTask(Task):
    def __init__(self, job: Any, queue: "_Queue") -> None:
        self._job = job
        self._queue = queue
        self._gone: float | None = None

    def over(self) -> bool:
        if self._job.paths.result_pickle.exists():
            return True
        if self._job.job_id in self._queue.now():
            self._gone = None
            return False
        self._gone = self._gone or time.monotonic()
        return time.monotonic() - self._gone > _GRACE

    def failure(self) -> Failure | None:
        name = f"Slurm job {self._job.job_id}"
        if not self._job.paths.result_pickle.exists():
            return Failure(f"{name} has ended without a result", lost=True)
        outcome, value = self._job._get_outcome_and_result()
        if outcome == "error":
            last = str(value).strip().splitlines()[-1:]
            return Failure(f"{name}: {' '.join(last)}", lost=False)
        found: Failure | None = value
        return found


class _Queue:
    """Which jobs of this user are in Slurm's queue, waiting or running.

    squeue is asked, and not sacct: accounting is not set up everywhere.
    """

    def __init__(self) -> None:
        self._known: dict[str, str] = {}
        self._looked = 0.0

    def marked(self, mark: str) -> str | None:
        """The number of a job with this comment that is not about to end."""
        numbers = [number for number, comment in self._known.items() if comment == mark]
        return numbers[0] if numbers else None

    def now(self) -> Collection[str]:
        """Job numbers; those known before where Slurm does not answer."""
        if time.monotonic() - self._looked > _LOOK:
            try:
                self.refresh()
            except EnvironmentProblem:
                self._looked = time.monotonic()
        return self._known

    def refresh(self) -> None:
        """Ask.

        Raises:
            EnvironmentProblem: Slurm is not there, or does not answer.
        """
        command = ["squeue", "--me", "--noheader", "--format=%A %t %k"]
        try:
            ran = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
        except FileNotFoundError as error:
            raise EnvironmentProblem(
                "--engine: there is no Slurm here: squeue is absent"
            ) from error
        except (subprocess.SubprocessError, OSError) as error:
            said = getattr(error, "stderr", None) or error
            raise EnvironmentProblem(f"--engine: Slurm does not answer: {said}") from error
        jobs = [line.split(maxsplit=2) for line in ran.stdout.splitlines()]
        self._known = {
            number: "" if state == _COMPLETING else " ".join(comment)
            for number, state, *comment in jobs
        }
        self._looked = time.monotonic()


def _mark(job: Job) -> str:
    """The comment of a batch job, by which the next leader finds it."""
    return f"hvae-{hashlib.sha256(repr(job).encode()).hexdigest()[:32]}"


def _parameters(threads: int, gpus: int, options: Mapping[str, str]) -> dict[str, Any]:
    """Those of submitit's executor, from options of sbatch."""
    given = {name.replace("-", "_"): value for name, value in options.items()}
    taken = sorted(
        {"output", "error", "array", "comment", "requeue", "no_requeue", "wrap"} & set(given)
    )
    if taken:
        raise Refused(f"--slurm: {taken[0]} is hvae's own; allowed: other options of sbatch")
    parameters: dict[str, Any] = {
        "time": _integer("time", given.pop("time", _MINUTES)),
        "cpus_per_task": _integer("cpus_per_task", given.pop("cpus_per_task", threads)),
        "ntasks_per_node": 1,
        "nodes": 1,
        "job_name": given.pop("job_name", "hvae"),
        "additional_parameters": {"requeue": True, **given},
    }
    return {**parameters, "gpus_per_node": gpus} if gpus else parameters


def _integer(name: str, value: str | int) -> int:
    try:
        return int(value)
    except ValueError:
        unit = ", in minutes" if name == "time" else ""
        raise Refused(f"--slurm: {name}={value}; allowed: an integer{unit}") from None
