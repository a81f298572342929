"""Times of pieces of work that take turns, so that what else the machine does hits all alike."""

import contextlib
import functools
import gc
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch

Clock = Callable[[Callable[[], object], int], float]

LEAST_ROUNDS = 3
_WARM_CALLS = 2
_LARGEST_BLOCK = 31 << 20


@dataclass(frozen=True)
class Subject:
    """Work to time.

    Attributes:
        work: called without arguments; its result is dropped.
        clock: how long a number of calls takes, in seconds.
    """

    work: Callable[[], object]
    clock: Clock


@dataclass(frozen=True)
class Plan:
    """How long to measure.

    Attributes:
        seconds: no round begins after so many, but for the first `LEAST_ROUNDS`.
        rounds: at most so many.
        turn: a turn of a subject repeats its work until it takes about so many seconds.
    """

    seconds: float
    rounds: int = 400
    turn: float = 0.002


@dataclass(frozen=True)
class Spread:
    """Order statistics of a figure over the rounds; quartiles interpolate."""

    median: float
    q1: float
    q3: float
    min: float
    max: float
    rounds: int

    @classmethod
    def of(cls, values: Sequence[float], scale: float = 1.0) -> "Spread":
        """Of at least one value, each multiplied by `scale`."""
        scaled = [value * scale for value in values]
        if len(scaled) == 1:
            quartiles = scaled * 3
        else:
            quartiles = statistics.quantiles(scaled, n=4, method="inclusive")
        return cls(quartiles[1], quartiles[0], quartiles[2], min(scaled), max(scaled), len(scaled))

    def document(self) -> dict[str, Any]:
        """With the digits that a time can have."""
        return {
            name: value if isinstance(value, int) else float(f"{value:.5g}")
            for name, value in asdict(self).items()
        }


def wall(work: Callable[[], object], calls: int) -> float:
    """Seconds of wall time for work on the CPU."""
    began = time.perf_counter()
    for _ in range(calls):
        work()
    return time.perf_counter() - began


def events(device: torch.device, work: Callable[[], object], calls: int) -> float:
    """Seconds between two CUDA events around the calls, on the device's current stream."""
    stream = torch.cuda.current_stream(device)
    began, ended = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    began.record(stream)
    for _ in range(calls):
        work()
    ended.record(stream)
    ended.synchronize()
    return began.elapsed_time(ended) * 1e-3


def clock_of(device: torch.device) -> Clock:
    """The clock for work on a device."""
    return functools.partial(events, device) if device.type == "cuda" else wall


def interleave(subjects: Sequence[Subject], plan: Plan) -> list[list[float]]:
    """Seconds a call, [subject][round]: in every round each subject has one turn.

    Every other round runs backwards, or the time slices of another process, which are as long as a
    turn, may hit one subject in every round and the next one in none: the median of such ratios
    was seen to move by 9 % from run to run, of these by 0.2 %. Every subject is warmed up first.
    The garbage collector does not run meanwhile.
    """
    _settle_allocator()
    with _no_collection():
        calls = [_calls(subject, plan.turn) for subject in subjects]
        times: list[list[float]] = [[] for _ in subjects]
        end = time.perf_counter() + plan.seconds
        for done in range(max(plan.rounds, LEAST_ROUNDS)):
            if done >= LEAST_ROUNDS and time.perf_counter() >= end:
                break
            turns = zip(subjects, calls, times, strict=True)
            for subject, count, seconds in reversed(list(turns)) if done % 2 else turns:
                seconds.append(subject.clock(subject.work, count) / count)
    return times


def ratios(above: Sequence[float], below: Sequence[float], scale: float = 1.0) -> list[float]:
    """Round by round, scale * above / below."""
    return [scale * a / b for a, b in zip(above, below, strict=True)]


@contextlib.contextmanager
def threads(count: int) -> Iterator[None]:
    """So many threads for torch and the kernels."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _settle_allocator() -> None:
    """Brings malloc to the state that a program which works on larger tensors finds it in.

    Until a block as large has been freed, the C library gives every larger one back to the system
    and faults its pages in again at the next call (mallopt(3), M_MMAP_THRESHOLD: at most 32 MiB),
    which takes as long as the work, and not in every run.
    """
    torch.empty(_LARGEST_BLOCK, dtype=torch.uint8)


def _calls(subject: Subject, turn: float) -> int:
    """Warms a subject up; how many calls fill a turn."""
    quickest = min(subject.clock(subject.work, 1) for _ in range(_WARM_CALLS))
    return max(1, round(turn / max(quickest, 1e-9)))


@contextlib.contextmanager
def _no_collection() -> Iterator[None]:
    enabled = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
