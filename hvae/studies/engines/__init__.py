"""Where the runs of a study are worked on: an interface, and a file an engine.

hvae.studies.engines.engine    the interface: submit a job, ask whether it is over
hvae.studies.engines.local     processes on this machine
"""

from collections.abc import Callable
from dataclasses import dataclass

from hvae.errors import refused_option
from hvae.studies.engines.engine import Engine, Failure, Task
from hvae.studies.engines.local import LocalEngine, default_jobs, devices_of

__all__ = ["ENGINES", "Engine", "EngineOptions", "Failure", "Task", "open_engine"]


@dataclass(frozen=True)
class EngineOptions:
    """Which engine, and what it must know of the runs.

    Attributes:
        name: a key of `ENGINES`.
        jobs: runs at a time; None for the engine's own choice.
        device, threads: of a run.
    """

    name: str
    jobs: int | None
    device: str
    threads: int

    @property
    def slots(self) -> int | None:
        """How many runs are worked on at a time, where that is known here."""
        if self.jobs is None and self.name == LOCAL:
            return default_jobs(self.device, self.threads)
        return self.jobs


@dataclass(frozen=True)
class Listed:
    """An engine by its name.

    Attributes:
        title: for help texts.
        open: makes one.
    """

    title: str
    open: Callable[[EngineOptions], Engine]


LOCAL = "local"


def _local(chosen: EngineOptions) -> Engine:
    jobs = default_jobs(chosen.device, chosen.threads) if chosen.jobs is None else chosen.jobs
    return LocalEngine(jobs, tuple(devices_of(chosen.device)))


ENGINES = {LOCAL: Listed("processes on this machine", _local)}


def open_engine(chosen: EngineOptions) -> Engine:
    """The engine of that name.

    Raises:
        Refused: there is none, or its options are not allowed.
        EnvironmentProblem: what it needs is not installed, or cannot be reached.
    """
    if chosen.name not in ENGINES:
        raise refused_option("engine", chosen.name, ", ".join(ENGINES))
    return ENGINES[chosen.name].open(chosen)
