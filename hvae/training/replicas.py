"""Runs that are trained together in one process, each with a folder of its own."""

import contextlib
import os
import signal
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from hvae import memory
from hvae.devices import available_device, use_threads
from hvae.errors import EnvironmentProblem, Interrupted, Refused
from hvae.observer import Observer
from hvae.runs import RunFolder, TrainConfig, read_config, read_result, refuse_taken
from hvae.runs.data_of import data_of
from hvae.runs.folder import CONFIG, RESULT
from hvae.runs.metrics import START
from hvae.runs.products import with_products
from hvae.training.divergence import NotFinite
from hvae.training.interrupts import Interrupts
from hvae.training.loop import TrainingLoop, open_state
from hvae.training.resumption import restore
from hvae.training.stack import Stack, refuse_unlike

# What replicas of one stack may differ in; latent spaces have one size.
OWN = ("seed", "shells", "kl_weights", "parameterization", "kappa_grad", "scale_frame")

Folder = str | os.PathLike[str]


def train_replicas(
    configs: Sequence[TrainConfig],
    folders: Sequence[Folder],
    *,
    observers: Sequence[Observer] | None = None,
) -> list[dict[str, Any]]:
    """Train runs together and leave an ordinary run folder for each.

    A run's figures are those of `hvae.train` but for the order of sums, and so are its random
    numbers to the bit. What is complete in a folder is not trained again, and what was cut short
    goes on from its last checkpoint; there it is bit for bit only if the same runs go on together.

    Args:
        configs: the settings; they differ in `OWN` at most, and not in the size of the latent
            space. The networks are `mlp` or `gated`.
        folders: of the runs, new, empty or with a run of these settings.
        observers: one for each run, told of its epochs; the first one also of downloads and
            warnings.

    Returns:
        as `hvae.train` of each. A run that diverged is "completed": False; the others go on.

    Raises:
        Refused: a setting or a folder; nothing is written.
        EnvironmentProblem, Interrupted: as `hvae.train`, for all; the same call goes on.
    """
    _refuse_unlike(configs)
    paths = [Path(folder) for folder in folders]
    told = list(observers or [Observer() for _ in paths])
    if not len(paths) == len(told) == len(configs):
        raise Refused(
            f"replicas: {len(configs)} settings, {len(paths)} folders and {len(told)} observers; "
            "allowed: as many of each"
        )
    use_threads(configs[0].threads)
    available_device(configs[0].device)
    settings = [_recorded(*run) for run in zip(configs, paths, strict=True)]
    results: list[dict[str, Any]] = [_result(path) for path in paths]
    left = [i for i, result in enumerate(results) if not result]
    if left:
        runs = [(settings[i], paths[i], told[i]) for i in left]
        for i, result in zip(left, _train(runs), strict=True):
            results[i] = result
    return results


def _refuse_unlike(configs: Sequence[TrainConfig]) -> None:
    """Raises Refused for settings that differ in what replicas share."""
    if not configs:
        raise Refused("replicas: no settings; allowed: one or more")
    first = configs[0].deciding()
    for config in configs[1:]:
        for name, value in config.deciding().items():
            if name not in OWN and value != first[name]:
                raise Refused(
                    f"replicas: {name} is {value} of one and {first[name]} of another; allowed: "
                    f"replicas that differ in {', '.join(OWN)}"
                )


def _recorded(config: TrainConfig, path: Path) -> TrainConfig:
    """The settings with what was or is measured.

    Raises:
        Refused: the folder is not for this run.
    """
    if not (path / CONFIG).exists():
        refuse_taken(path)
        return with_products(config)
    own = read_config(path)
    if not config.describes(own):
        raise Refused(f"{path} holds a run with other settings; allowed: a new folder, or its own")
    return replace(own, checkpoint_every=config.checkpoint_every)


def _result(path: Path) -> dict[str, Any]:
    """That of a run that has ended, with its folder; nothing of one to be trained."""
    return {"run": str(path), **read_result(path)} if (path / RESULT).exists() else {}


def _train(runs: Sequence[tuple[TrainConfig, Path, Observer]]) -> list[dict[str, Any]]:
    """The results of runs that have none yet."""
    config, _, observer = runs[0]
    with memory.guarded(), Interrupts() as interrupts, contextlib.ExitStack() as owned:
        dataset = data_of(config, config.data_dir, progress=observer.download)
        observer.data(dataset.summary)
        for warning in dataset.warnings:
            observer.warning(warning)
        there = dataset.to(available_device(config.device))
        states = [open_state(each, dataset, there=there) for each, _, _ in runs]
        refuse_unlike(states)
        loops = []
        for state, (each, path, listener) in zip(states, runs, strict=True):
            if (path / CONFIG).exists():
                folder = owned.enter_context(RunFolder.reopen(path))
                mark = restore(each, state, dataset, folder, listener)
                folder.begin()
            else:
                folder, mark = owned.enter_context(RunFolder.create(path, each)), START
            folder.metrics.cut(mark)
            listener.begun(str(path))
            loops.append(
                TrainingLoop(each, state, dataset, folder, listener, interrupts, len(runs))
            )
        return _finished(loops, interrupts)


def _finished(loops: Sequence[TrainingLoop], interrupts: Interrupts) -> list[dict[str, Any]]:
    """Train to the end of every run; their results."""
    interrupts.wait()
    results: dict[int, dict[str, Any]] = {}
    try:
        for stack in _stacks(loops):
            _exhaust(stack, loops, interrupts, results)
        for i, loop in enumerate(loops):
            if i not in results:  # it had ended before, all but its result
                results[i] = loop.conclude(str(loop.state.ended), None)
    except (Interrupted, KeyboardInterrupt) as error:
        with contextlib.suppress(Interrupted):
            if not interrupts.urgent:
                for i, loop in enumerate(loops):
                    if i not in results:
                        loop.save()
        number = getattr(error, "number", signal.SIGINT)
        raise Interrupted(number, f"interrupted; {_kept(loops)}") from None
    except EnvironmentProblem as error:
        raise EnvironmentProblem(f"{error}; {_kept(loops)}") from error
    return [results[i] for i in range(len(loops))]


def _stacks(loops: Sequence[TrainingLoop]) -> list[Stack]:
    """The states that have not ended, together where they are at the same epoch."""
    going_on = [loop.state for loop in loops if loop.state.ended is None]
    epochs = sorted({state.progress.epoch for state in going_on})
    return [Stack([s for s in going_on if s.progress.epoch == epoch]) for epoch in epochs]


def _exhaust(
    stack: Stack,
    loops: Sequence[TrainingLoop],
    interrupts: Interrupts,
    results: dict[int, dict[str, Any]],
) -> None:
    """Epochs until the stack is empty; each run's result is written when it ends."""
    number = {id(loop.state): i for i, loop in enumerate(loops)}
    while stack.states:
        for state, outcome in stack.run_epoch(interrupts.check):
            i = number[id(state)]
            if isinstance(outcome, NotFinite):
                results[i] = loops[i].conclude("diverged", outcome)
                continue
            loops[i].record(outcome)
            if state.ended is not None:
                results[i] = loops[i].conclude(state.ended, None)


def _kept(loops: Sequence[TrainingLoop]) -> str:
    kept = sum(bool(loop.folder.checkpoints.paths()) for loop in loops)
    return f"{kept} of {len(loops)} replicas are kept; the same command goes on with them"
