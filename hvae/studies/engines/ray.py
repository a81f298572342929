"""A Ray cluster: the one at $RAY_ADDRESS, or that of this machine, started where there is none.

Every node must see the folder of the study under the same path, and the data files, and have the
same hvae installed. Ray tries nothing again: a worker that is lost is the leader's business, which
tells of it.
"""

import contextlib
import os
import signal
import socket
from typing import Any

from hvae.errors import EnvironmentProblem, Interrupted
from hvae.extras import require
from hvae.studies.engines.engine import Engine, Task
from hvae.studies.work import Failure, Job
from hvae.studies.worker import attempt

_PASSED = ("HVAE_DATA_DIR", "HVAE_TIER", "XDG_CACHE_HOME")  # what a worker must have of here
_CONNECT = 20.0  # seconds
_PATIENCE = 60.0  # seconds in which workers keep their last epoch


class RayEngine(Engine):
    """A task for every job.

    Args:
        threads: CPU threads of a run, for which a task takes as many of a node's CPUs.
        gpus: of a run.

    Raises:
        EnvironmentProblem: Ray is not installed, or no cluster can be reached or started.
    """

    def __init__(self, threads: int = 1, gpus: int = 0) -> None:
        self._ray = require("ray", extra="ray")
        self._own = not self._ray.is_initialized()
        if self._own:
            try:
                _try_address(os.environ.get("RAY_ADDRESS", ""))
                self._ray.init(log_to_driver=False, logging_level="error")
            except (ConnectionError, RuntimeError, ValueError, OSError) as error:
                raise EnvironmentProblem(f"--engine: no Ray cluster: {error}") from error
        environment = {name: os.environ[name] for name in _PASSED if name in os.environ}
        self._remote = self._ray.remote(
            max_retries=0,
            num_cpus=threads,
            num_gpus=gpus,
            runtime_env={"env_vars": environment},
        )(_attempt)
        self._references: list[Any] = []

    def submit(self, job: Job) -> Task:
        reference = self._remote.remote(job)
        self._references.append(reference)
        return _RayTask(self._ray, reference)

    def close(self) -> None:
        references, self._references = self._references, []
        if not self._ray.is_initialized():
            return
        with contextlib.suppress(self._ray.exceptions.RayError):
            for reference in references:
                self._ray.cancel(reference)  # KeyboardInterrupt, which keeps the last epoch
            if references:
                self._ray.wait(references, num_returns=len(references), timeout=_PATIENCE)
        if self._own:
            self._ray.shutdown()


class _RayTask(Task):
    def __init__(self, ray: Any, reference: Any) -> None:
        self._ray = ray
        self._reference = reference

    def over(self) -> bool:
        ready, _ = self._ray.wait([self._reference], timeout=0)
        return bool(ready)

    def failure(self) -> Failure | None:
        try:
            found: Failure | None = self._ray.get(self._reference)
        except self._ray.exceptions.RayError as error:
            lines = str(error).strip().splitlines()
            reason = lines[0] if lines else "no reason given"
            return Failure(f"Ray has lost its worker ({type(error).__name__}: {reason})", lost=True)
        return found


def _try_address(address: str) -> None:
    """Raise OSError where nobody listens; Ray itself would try for minutes."""
    host, colon, port = address.removeprefix("ray://").rpartition(":")
    if colon and port.isdigit():
        socket.create_connection((host.strip("[]"), int(port)), timeout=_CONNECT).close()


def _attempt(job: Job) -> Failure | None:
    """In a worker of Ray."""
    import ray

    # Ray cancels by SIGINT, which a cluster that was begun in the background would ignore.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    place = f"Ray node {ray.get_runtime_context().get_node_id()}, process {os.getpid()}"
    try:
        return attempt(job, place)
    except Interrupted:
        return Failure("its worker was interrupted", lost=True)
