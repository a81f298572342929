"""Processes on this machine, as many at a time as there are cores for: the default engine.

Every job has a process of its own, which a thread of the standard pool starts and waits for. So a
run that is killed, or that crashes, takes no other with it, and gives back all its memory. The
processes are forked from a server that has imported what they need, and has done nothing else.
"""

import contextlib
import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from multiprocessing import connection
from queue import SimpleQueue

from hvae.errors import refused_option
from hvae.studies.engines.engine import Engine, Failure, Task
from hvae.studies.folder import StudyFolder
from hvae.studies.work import Job
from hvae.studies.worker import ERROR, serve

MOST_JOBS = 1024
_INTERRUPTED = (128 + signal.SIGINT, 128 + signal.SIGTERM)
_UNKNOWN = 255  # what multiprocessing has where the server of forks was killed

_FORKS = multiprocessing.get_context("forkserver")
_FORKS.set_forkserver_preload(["hvae.studies.worker", "sklearn.datasets", "torch._dynamo"])
_Worker = multiprocessing.process.BaseProcess


def cores() -> int:
    """Of this machine, those that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def default_jobs(device: str, threads: int) -> int:
    """How many runs at a time: a core for every thread; on a GPU, one for every device."""
    if device.startswith("cuda"):
        return max(1, len(devices_of(device)))
    return max(1, cores() // threads)


def devices_of(device: str) -> list[str]:
    """What CUDA_VISIBLE_DEVICES is for each process at a time; none for a CPU or one named GPU."""
    if device != "cuda":
        return []
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return [name for name in visible.split(",") if name]
    import torch

    return [str(number) for number in range(torch.cuda.device_count())]


class LocalEngine(Engine):
    """A process for every job.

    Args:
        jobs: how many at a time.
        devices: what CUDA_VISIBLE_DEVICES is for each of those that run at a time; none leaves the
            environment as it is.

    Raises:
        Refused: `jobs` is not allowed.
    """

    def __init__(self, jobs: int, devices: tuple[str, ...] = ()) -> None:
        if not (type(jobs) is int and 1 <= jobs <= MOST_JOBS):
            raise refused_option("jobs", jobs, f"an integer from 1 to {MOST_JOBS}")
        self._pool = ThreadPoolExecutor(jobs, thread_name_prefix="sweep")
        self._devices: SimpleQueue[str] = SimpleQueue()
        for number in range(jobs if devices else 0):
            self._devices.put(devices[number % len(devices)])
        self._named = bool(devices)
        self._workers: set[_Worker] = set()
        # multiprocessing reads the status of any child when it starts another: one thread at a time
        self._lock = threading.Lock()
        self._stopping = False

    def submit(self, job: Job) -> Task:
        return _LocalTask(self._pool.submit(self._work, job))

    def close(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)
        try:
            with self._lock:
                self._stopping = True
                for worker in self._workers:
                    worker.terminate()
            self._pool.shutdown(wait=True)
        except BaseException:
            for worker in tuple(self._workers):
                worker.kill()
            raise

    def _work(self, job: Job) -> Failure | None:
        """Why the process of a job failed, in the thread that waits for it."""
        log = StudyFolder(job.folder).log(job.name)
        begin = log.stat().st_size if log.exists() else 0
        with self._environment() as environment:
            with self._lock:
                if self._stopping:
                    return _STOPPED
                worker = _FORKS.Process(target=serve, args=(job, environment), name=job.name)
                worker.start()
                self._workers.add(worker)
            connection.wait([worker.sentinel])
            with self._lock:
                worker.join()
                self._workers.discard(worker)
        assert worker.exitcode is not None
        return _failure(worker.exitcode, log.read_bytes()[begin:] if log.exists() else b"")

    @contextlib.contextmanager
    def _environment(self) -> Iterator[Mapping[str, str]]:
        """That of this process, with a device that no other one has until the block ends."""
        if not self._named:
            yield dict(os.environ)
            return
        device = self._devices.get()
        try:
            yield {**os.environ, "CUDA_VISIBLE_DEVICES": device}
        finally:
            self._devices.put(device)


class _LocalTask(Task):
    def __init__(self, future: "Future[Failure | None]") -> None:
        self._future = future

    def over(self) -> bool:
        return self._future.done()

    def failure(self) -> Failure | None:
        if self._future.cancelled():
            return _STOPPED
        error = self._future.exception()
        if error is not None:
            raise error
        return self._future.result()


_STOPPED = Failure("stopped", lost=True)


def _failure(status: int, said: bytes) -> Failure | None:
    """What the exit status of a worker and its last line say."""
    if status == 0:
        return None
    if status < 0:
        return Failure(f"its process was ended by {_signal(-status)}", lost=True)
    if status in _INTERRUPTED:
        return Failure(f"its process was ended by {_signal(status - 128)}", lost=True)
    if status == _UNKNOWN:
        return Failure("its process was lost", lost=True)
    lines = said.decode(errors="replace").strip().splitlines()
    last = lines[-1].removeprefix(ERROR) if lines else f"exit status {status}"
    return Failure(" ".join(last.split())[:500], lost=False)


def _signal(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
