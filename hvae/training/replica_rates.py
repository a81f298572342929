"""How many replicas a device trains fastest together: a measurement of steps."""

import itertools
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace

import torch

from hvae import data
from hvae.devices import available_device, use_threads
from hvae.runs import TrainConfig
from hvae.runs.data_of import data_of
from hvae.runs.products import with_products
from hvae.training.loop import open_state
from hvae.training.protocol import TrainingState
from hvae.training.stack import Stack
from hvae.training.step import Inputs

COUNTS = (1, 3, 9, 33)
_GAIN = 1.05  # at least, of a larger stack over a smaller one
_SECONDS = 0.5  # of every number of replicas
_ROUNDS = 3


def best_count(configs: Sequence[TrainConfig]) -> int:
    """How many of these runs to train in one stack on their device, found by trying.

    Larger stacks are tried as long as they gain; it takes a few seconds.

    Args:
        configs: runs that `hvae.training.replicas.train_replicas` would train together.
    """
    use_threads(configs[0].threads)
    dataset = data_of(configs[0], configs[0].data_dir)
    best, most = 1, 0.0
    for count in (count for count in COUNTS if count <= len(configs)):
        rate = rates(configs, dataset, [count])[count]
        if rate < most * _GAIN:
            break
        best, most = count, rate
    return best


def rates(
    configs: Sequence[TrainConfig],
    dataset: data.Dataset,
    counts: Sequence[int] = COUNTS,
    seconds: float = _SECONDS,
) -> dict[int, float]:
    """Replicas x steps a second, by the number of replicas in a stack.

    One replica is trained as `hvae.train` does. The numbers take turns, and the quickest round of
    each counts.

    Args:
        configs: runs that go together; the first ones are taken, with other seeds where there are
            too few.
        dataset: what they are trained on.
        counts: the numbers of replicas.
        seconds: for each number.
    """
    there = dataset.to(available_device(configs[0].device))
    works = {count: _Steps(_states(configs, count, dataset, there)) for count in counts}
    best = dict.fromkeys(counts, 0.0)
    for _, (count, work) in itertools.product(range(_ROUNDS), works.items()):
        best[count] = max(best[count], count * work.rate(seconds / _ROUNDS))
    return best


def _states(
    configs: Sequence[TrainConfig], count: int, dataset: data.Dataset, there: data.Dataset
) -> list[TrainingState]:
    chosen = itertools.islice(itertools.cycle(configs), count)
    settings = [replace(with_products(config), seed=i) for i, config in enumerate(chosen)]
    return [open_state(config, dataset, there=there) for config in settings]


class _Steps:
    """Steps of one replica or of a stack, epoch after epoch."""

    def __init__(self, states: Sequence[TrainingState]) -> None:
        self._states = states
        self._stack = Stack(states) if len(states) > 1 else None
        self._inputs = self._endless()
        self._one()  # what is done once is not timed

    def rate(self, seconds: float) -> float:
        """Steps a second, over so many seconds and at least one step."""
        device = self._states[0].trainer.device
        _wait(device)
        began, steps = time.perf_counter(), 0
        while steps == 0 or time.perf_counter() - began < seconds:
            self._one()
            _wait(device)
            steps += 1
        return steps / (time.perf_counter() - began)

    def _one(self) -> None:
        inputs = next(self._inputs)
        if self._stack is None:
            self._states[0].trainer.step(*inputs[0])
        else:
            self._stack.step(inputs)

    def _endless(self) -> Iterator[tuple[Inputs, ...]]:
        while True:
            yield from zip(*[state.begin_epoch() for state in self._states], strict=True)


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
