"""Training on a file that is larger than what is kept in memory: its first step, and its memory.

    python -m hvae.benchmarks.reports.large_file [--rows 1000000] [--steps 2000] [--folder FOLDER]

It writes rows of 784 random bytes as an .npy into a new folder, lets the system forget it, and
trains on it with the defaults of `hvae train`: numbers of the unit interval, drawn 0 and 1 anew in
each epoch. Printed are the seconds from the call of `hvae.train` to its first step, and the seconds
of work (CPU) among them; the memory of the process at most, without the pages of the file that are
mapped; and the median time of a step beside one on rows in memory. That training comes first, since
torch imports parts of itself when it first trains. The last line is one JSON document. Linux only:
the memory is that of /proc.
"""

import argparse
import json
import os
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from hvae import TrainConfig, train
from hvae.files import forget_cached
from hvae.training.step import Trainer

from ..harness.machine import machine, versions
from . import command

PIXELS = 784
FIRST_STEP_SECONDS = 2.0
MEMORY_MIB = 1024
_BLOCK = 1 << 14
_IN_MEMORY_ROWS = 100_000  # 78 MB: below what a file must have to be mapped


class _Enough(BaseException):
    """Ends a training that was looked at for long enough."""


class Watch:
    """The times of the first steps of a training, and the memory of the process meanwhile.

    Args:
        path: of the file, whose mapped pages do not count.
        steps: after which the training is ended.
    """

    def __init__(self, path: Path, steps: int) -> None:
        self.path = path
        self.most_steps = steps
        self.times: list[float] = []
        self.worked = 0.0
        self.most_kib = 0

    def __call__(self) -> None:
        """Before a step."""
        self.worked = self.worked or time.process_time()
        self.times.append(time.perf_counter())
        if len(self.times) > self.most_steps:
            raise _Enough

    def look(self, stop: threading.Event) -> None:
        """Until it is told to stop."""
        while not stop.wait(0.05):
            mapped = mapped_kib(self.path)  # first: a mapping that goes must not count as memory
            self.most_kib = max(self.most_kib, resident_kib() - mapped)

    @property
    def step_ms(self) -> float:
        """The median of a step, of its rows and all."""
        ends = zip(self.times[1:], self.times, strict=False)
        return 1e3 * statistics.median(after - before for after, before in ends)


def resident_kib() -> int:
    """Of this process."""
    return _kib(Path("/proc/self/status").read_text(), "VmRSS:")


def mapped_kib(path: Path) -> int:
    """Pages of the file that are mapped and in memory."""
    text = Path("/proc/self/smaps").read_text()
    return sum(_kib(part, "Rss:") for part in text.split(str(path))[1:])


def _kib(text: str, name: str) -> int:
    return int(text.partition(name)[2].split()[0])


def write(path: Path, rows: int) -> None:
    """An .npy of random bytes, none of it in memory afterwards."""
    random = np.random.default_rng(0)
    array = np.lib.format.open_memmap(path, "w+", np.uint8, (rows, PIXELS))
    for first in range(0, rows, _BLOCK):
        part = array[first : first + _BLOCK]
        part[:] = random.integers(0, 256, part.shape, np.uint8)
    array.flush()
    del array
    with open(path, "rb") as file:
        os.fsync(file.fileno())
    forget_cached(path)


def watched(path: Path, steps: int, folder: Path) -> tuple[float, float, Watch]:
    """The seconds until the first step, those of work, and what was seen."""
    watch, stop, step = Watch(path, steps), threading.Event(), Trainer.step
    looking = threading.Thread(target=watch.look, args=(stop,))

    def timed(*arguments: Any) -> Any:
        watch()
        return step(*arguments)

    Trainer.step = timed  # type: ignore[method-assign]
    looking.start()
    began, working = time.perf_counter(), time.process_time()
    try:
        train(TrainConfig(data=str(path), epochs=1), folder)
    except _Enough:
        pass
    finally:
        Trainer.step = step  # type: ignore[method-assign]
        stop.set()
        looking.join()
    return watch.times[0] - began, watch.worked - working, watch


def main(arguments: Sequence[str] | None = None) -> int:
    options = command.Options("large_file", "Training on a file that is mapped.")
    options.add_argument("--rows", type=int, default=1_000_000, help="of 784 bytes")
    options.add_argument("--steps", type=int, default=2000, help="that are looked at")
    options.add_argument("--folder", help="for the file; that of the system if not given")
    return command.run(options, _report, arguments)


def _report(options: argparse.Namespace) -> None:
    imported = resident_kib() / 1024
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        folder = Path(name)
        small, large = folder / "small.npy", folder / "large.npy"
        write(small, min(_IN_MEMORY_ROWS, options.rows))
        write(large, options.rows)
        size = large.stat().st_size
        *_, held = watched(small, min(options.steps, 500), folder / "held")
        seconds, worked, watch = watched(large, options.steps, folder / "run")
    memory = watch.most_kib / 1024
    figures = {
        "rows": options.rows,
        "file_mb": size / 1e6,
        "first_step_seconds": seconds,
        "first_step_cpu_seconds": worked,
        "memory_mib": memory,
        "memory_after_imports_mib": imported,
        "step_ms": watch.step_ms,
        "step_in_memory_ms": held.step_ms,
        "steps": len(watch.times),
    }
    print(f"{options.rows} rows x {PIXELS} bytes, {size / 1e6:.0f} MB")
    print(f"first step after      {seconds:8.2f} s    {_target(seconds, FIRST_STEP_SECONDS, 's')}")
    print(f"  of it work          {worked:8.2f} s")
    print(f"memory, not mapped    {memory:8.0f} MiB  {_target(memory, MEMORY_MIB, 'MiB')}")
    print(f"  of it after imports {imported:8.0f} MiB")
    print(f"step, file mapped     {watch.step_ms:8.2f} ms   ({len(watch.times)} steps)")
    print(f"step, file in memory  {held.step_ms:8.2f} ms")
    print(json.dumps({**figures, "machine": machine(torch.device("cpu")), "versions": versions()}))


def _target(value: float, most: float, unit: str) -> str:
    return f"at most {most:g} {unit}: {'met' if value <= most else 'MISSED'}"


if __name__ == "__main__":
    sys.exit(main())
