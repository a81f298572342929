"""Where the runs of a study are worked on: an interface, and a file an engine.

hvae.studies.engines.engine    the interface: submit a job, ask whether it is over
hvae.studies.engines.local     processes on this machine
hvae.studies.engines.ray       a Ray cluster
hvae.studies.engines.slurm     a Slurm cluster
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from hvae.errors import Refused, refused_option
from hvae.studies.engines.engine import Engine, Task
from hvae.studies.engines.local import MOST_JOBS, LocalEngine, default_jobs, devices_of

__all__ = ["ENGINES", "LOCAL", "Engine", "EngineOptions", "Task", "open_engine"]


@dataclass(frozen=True)
class EngineOptions:
    """Which engine, and what it must know of the runs.

    Attributes:
        name: a key of `ENGINES`.
        jobs: runs at a time; None for the engine's own choice.
        device, threads: of a run.
        slurm: options of sbatch, by long name.
    """

    name: str
    jobs: int | None
    device: str
    threads: int
    slurm: Mapping[str, str] = field(default_factory=dict)

    @property
    def gpus(self) -> int:
        """Of a run."""
        return int(self.device.startswith("cuda"))

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


LOCAL, SLURM = "local", "slurm"


def _local(chosen: EngineOptions) -> Engine:
    jobs = default_jobs(chosen.device, chosen.threads) if chosen.jobs is None else chosen.jobs
    return LocalEngine(jobs, tuple(devices_of(chosen.device)))


def _ray(chosen: EngineOptions) -> Engine:
    from hvae.studies.engines.ray import RayEngine

    return RayEngine(chosen.threads, chosen.gpus)


def _slurm(chosen: EngineOptions) -> Engine:
    from hvae.studies.engines.slurm import SlurmEngine

    return SlurmEngine(chosen.threads, chosen.gpus, chosen.slurm)


ENGINES = {
    LOCAL: Listed("processes on this machine", _local),
    "ray": Listed("a Ray cluster, at $RAY_ADDRESS", _ray),
    SLURM: Listed("batch jobs, by submitit", _slurm),
}


def open_engine(chosen: EngineOptions) -> Engine:
    """The engine of that name.

    Raises:
        Refused: there is none, or its options are not allowed.
        EnvironmentProblem: what it needs is not installed, or cannot be reached.
    """
    if chosen.name not in ENGINES:
        raise refused_option("engine", chosen.name, ", ".join(ENGINES))
    if chosen.slurm and chosen.name != SLURM:
        raise Refused("--slurm is not allowed without --engine slurm")
    if chosen.jobs is not None and not 1 <= chosen.jobs <= MOST_JOBS:
        raise refused_option("jobs", chosen.jobs, f"an integer from 1 to {MOST_JOBS}")
    return ENGINES[chosen.name].open(chosen)
