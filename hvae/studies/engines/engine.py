"""The seam between a study and where its runs are worked on.

An engine takes jobs and says when each is over. It carries no figures: those are read from the
folders of the runs. So an engine may lose a worker, a machine or its leader, and nothing is lost
but the work since the last checkpoint of each run.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass

from hvae.errors import HvaeError
from hvae.studies.work import Job


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


class Task(ABC):
    """A job that an engine was given."""

    @abstractmethod
    def over(self) -> bool:
        """Whether nobody works on it any more; quick, since it is asked again and again."""

    @abstractmethod
    def failure(self) -> Failure | None:
        """Of a task that is over: None if the job is done."""


class Engine(ABC):
    """Works on jobs, as many at a time as there is room for."""

    @abstractmethod
    def submit(self, job: Job) -> Task:
        """Take a job, and return at once.

        Raises:
            EnvironmentProblem: the engine is not there any more.
        """

    @abstractmethod
    def close(self) -> None:
        """End the jobs that are under way, each with its last epoch kept, and take no more.

        Closing again changes nothing.
        """


def failure_of(error: BaseException) -> Failure:
    """Of a job that raised an error."""
    if isinstance(error, HvaeError):
        return Failure(" ".join(str(error).split()), lost=False)
    return Failure(f"{type(error).__name__}: {' '.join(str(error).split())}"[:500], lost=False)
