"""How a worker does a job: what it says goes into the log of the run, what went wrong comes back.

`attempt` is what engines call where they have a process already, and `serve` is a process of its
own, which does one job and ends.
"""

import contextlib
import logging
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Iterator, Mapping
from typing import Any

from hvae.errors import HvaeError, Interrupted
from hvae.observer import Observer
from hvae.studies.folder import StudyFolder
from hvae.studies.work import Failure, Job, work

ERROR = "hvae: error: "
_CRASHED = 1


class LogObserver(Observer):
    """Writes lines of text for people into the log of a run.

    Args:
        log: takes them.
    """

    def __init__(self, log: logging.Logger) -> None:
        self._log = log

    def warning(self, text: str) -> None:
        self._log.info("hvae: warning: %s", text)

    def resumed(self, epoch: int, epochs: int) -> None:
        self._log.info("continuing after epoch %d of %d", epoch, epochs)

    def epoch(self, line: dict[str, Any], epochs: int) -> None:
        figures = (line["epoch"], epochs, line["validation"]["elbo"], line["seconds"])
        self._log.info("epoch %d/%d  validation ELBO %.2f  %.2f s", *figures)


def attempt(job: Job, place: str) -> Failure | None:
    """Do a job in this process.

    Args:
        job: what to do.
        place: where that is, for the log.

    Returns:
        why it is not done; None if it is.

    Raises:
        Interrupted: SIGINT or SIGTERM; training has kept its last epoch.
    """
    with contextlib.ExitStack() as opened:
        logs = [opened.enter_context(_log_of(job.folder, name)) for name in job.names]
        for log in logs:
            log.info("on %s%s", place, _together(job))
        log = logs[0]
        try:
            work(job, [LogObserver(each) for each in logs])
        except HvaeError as error:
            text = " ".join(str(error).split())
        except Interrupted as error:
            log.info("%s%s", ERROR, error)
            raise
        except Exception as error:
            log.exception("a fault of hvae, or of a package of yours")
            text = f"{type(error).__name__}: {' '.join(str(error).split())}"[:500]
        else:
            return None
        log.info("%s%s", ERROR, text)
        return Failure(text, lost=False)


def serve(job: Job, environment: Mapping[str, str]) -> None:
    """Do a job in this process, which is a new one, and end it.

    SIGTERM stops it, with the last epoch kept, and so does the end of its leader, however that
    ends. SIGINT is the leader's: Ctrl-C in a terminal reaches both. What else the process says goes
    into the log too, and the last line there says why it failed.

    Args:
        job: what to do.
        environment: of the process.
    """
    os.environ.clear()
    os.environ.update(environment)
    _say_into(StudyFolder(job.folder).log(job.name))
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_the_leader, daemon=True).start()
    try:
        failure = attempt(job, f"process {os.getpid()}")
    except Interrupted as error:
        sys.exit(error.exit_status)
    sys.exit(_CRASHED if failure else 0)


def _together(job: Job) -> str:
    count = len(job.names)
    return f", {count} runs in one stack, of which {job.name} tells of all" if count > 1 else ""


@contextlib.contextmanager
def _log_of(folder: str, name: str) -> Iterator[logging.Logger]:
    """Appends to the log of a run until the block ends."""
    log = logging.Logger(name, logging.INFO)
    handler = logging.FileHandler(StudyFolder(folder).log(name), encoding="utf-8")
    log.addHandler(handler)
    try:
        yield log
    finally:
        handler.close()


def _say_into(log: os.PathLike[str]) -> None:
    """Standard output and standard error, of this process and of what it starts."""
    handle = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
    for stream in (1, 2):
        os.dup2(handle, stream)
    os.close(handle)


def _end_with_the_leader() -> None:
    leader = multiprocessing.parent_process()
    assert leader is not None
    leader.join()
    os.kill(os.getpid(), signal.SIGTERM)
