"""A process that does one job and ends: what it says goes into the log of the run.

Its exit status is that of `hvae train`. SIGTERM stops it, with the last epoch kept, and so does the
end of its leader, however that ends. SIGINT is the leader's: Ctrl-C in a terminal reaches both.
"""

import logging
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Mapping
from typing import Any

from hvae.errors import HvaeError, Interrupted
from hvae.observer import Observer
from hvae.studies.folder import StudyFolder
from hvae.studies.work import Job, work

ERROR = "hvae: error: "
_CRASHED = 1

_log = logging.getLogger("hvae")


class LogObserver(Observer):
    """Writes lines of text for people into the log of a run."""

    def warning(self, text: str) -> None:
        _log.info("hvae: warning: %s", text)

    def resumed(self, epoch: int, epochs: int) -> None:
        _log.info("continuing after epoch %d of %d", epoch, epochs)

    def epoch(self, line: dict[str, Any], epochs: int) -> None:
        elbo, seconds = line["validation"]["elbo"], line["seconds"]
        _log.info("epoch %d/%d  validation ELBO %.2f  %.2f s", line["epoch"], epochs, elbo, seconds)


def serve(job: Job, environment: Mapping[str, str]) -> None:
    """Do a job in this process, which is a new one, and end it.

    Args:
        job: what to do.
        environment: of the process.
    """
    os.environ.clear()
    os.environ.update(environment)
    _say_into(StudyFolder(job.folder).log(job.name))
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_the_leader, daemon=True).start()
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(message)s")
    try:
        work(job, LogObserver())
    except (HvaeError, Interrupted) as error:
        _log.info("%s%s", ERROR, " ".join(str(error).split()))
        sys.exit(error.exit_status)
    except Exception as error:
        _log.exception("%s%s", ERROR, type(error).__name__)
        sys.exit(_CRASHED)


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
