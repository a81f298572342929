"""Begin a run."""

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

from hvae import memory
from hvae.devices import available_device, use_threads
from hvae.observer import Observer
from hvae.ranks import ALONE, Ranks
from hvae.runs import RunFolder, TrainConfig, default_folder, refuse_taken
from hvae.runs.data_of import data_of
from hvae.runs.metrics import START
from hvae.runs.products import with_products
from hvae.training.following import follow, lead
from hvae.training.interrupts import Interrupts
from hvae.training.loop import TrainingLoop, open_state


def train(
    config: TrainConfig,
    out: str | os.PathLike[str] | None = None,
    *,
    checkpoint_every: float | None = None,
    observer: Observer | None = None,
    ranks: Ranks = ALONE,
) -> dict[str, Any]:
    """Train a model and leave a run folder.

    The same configuration gives the same numbers, bit for bit, on one machine with one number of
    threads. The process's number of torch threads becomes `config.threads`.

    Args:
        config: the settings.
        out: the run's folder, new or empty; None is a new one under ./runs.
        checkpoint_every: in place of that of `config`.
        observer: told of downloads, warnings and epochs.
        ranks: the processes that share the rows of every batch (`hvae.ranks.joined`), which all
            call this; but for rank 0 they need no settings, and write and tell nothing.

    Returns:
        result.json, and under "run" the folder.

    Raises:
        Refused: a device that is not there, the folder, or the data; nothing is written.
        Diverged: the message names epoch, step and shell, and the last good checkpoint.
        EnvironmentProblem: the network, the disk or the memory, or a folder that belongs to another
            process; `hvae.resume` goes on from the last checkpoint.
        Interrupted: SIGINT or SIGTERM, in the main thread. The first one waits for the next step
            and the end of the last epoch is kept; the second does not wait.
    """
    if ranks.rank > 0:
        with memory.guarded(), Interrupts() as interrupts:
            return follow(ranks, interrupts)
    observer = observer or Observer()
    if checkpoint_every is not None:
        config = replace(config, checkpoint_every=checkpoint_every)
    use_threads(config.threads)
    available_device(ranks.device(config.device))
    config = with_products(config)
    path = default_folder(config) if out is None else Path(out)
    refuse_taken(path)
    with memory.guarded(), Interrupts() as interrupts:
        dataset = data_of(config, config.data_dir, progress=observer.download)
        observer.data(dataset.summary)
        for warning in dataset.warnings:
            observer.warning(warning)
        state = open_state(config, dataset, ranks)
        with RunFolder.create(path, config) as folder:
            folder.metrics.cut(START)
            observer.begun(str(path))
            lead(ranks, config, config.data_dir)
            return TrainingLoop(config, state, dataset, folder, observer, interrupts).finish()
