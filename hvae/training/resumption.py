"""Go on with a run that was cut short, to the same bits."""

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

from hvae import build, data, memory
from hvae.devices import use_threads
from hvae.errors import Diverged, Refused
from hvae.observer import Observer
from hvae.ranks import ALONE, Ranks
from hvae.runs import RunFolder, TrainConfig, lock, read_config, read_result
from hvae.runs.checkpoints import State
from hvae.runs.data_of import data_of
from hvae.runs.folder import RESULT
from hvae.runs.metrics import START, Mark
from hvae.training.following import dismiss, follow, lead
from hvae.training.interrupts import Interrupts
from hvae.training.loop import TrainingLoop, open_state
from hvae.training.protocol import Progress, TrainingState


def resume(
    folder: str | os.PathLike[str],
    *,
    data_dir: str | None = None,
    checkpoint_every: float | None = None,
    observer: Observer | None = None,
    ranks: Ranks = ALONE,
) -> dict[str, Any]:
    """Go on with a run that was cut short, from its last checkpoint to where it would have ended.

    A damaged checkpoint is named to the observer and the one before is used. A run without any
    begins anew. Of a run that is complete nothing changes. A run of an earlier version of hvae goes
    on too.

    Args:
        folder: the run's folder.
        data_dir: as in `TrainConfig`; None is the run's own. A file of the user's is looked for in
            it under its name.
        checkpoint_every: as in `TrainConfig`; None is the run's own.
        observer, ranks: as in `hvae.train`; there may be more ranks than before, or fewer.

    Returns:
        as `hvae.train`.

    Raises:
        Refused: not the folder of a run, other data, or no checkpoint that can be used; nothing is
            written.
        Diverged: the run diverged, and would again; the message says what to change.
        EnvironmentProblem, Interrupted: as in `hvae.train`.
    """
    if ranks.rank > 0:
        with memory.guarded(), Interrupts() as interrupts:
            return follow(ranks, interrupts)
    observer = observer or Observer()
    path = Path(folder)
    config = read_config(path)
    if checkpoint_every is not None:
        config = replace(config, checkpoint_every=checkpoint_every)
    ended = _ended(path, config, observer)
    if ended is not None:
        return dismiss(ranks, ended)
    lock.refuse_owned(path)
    use_threads(config.threads)
    with memory.guarded(), Interrupts() as interrupts:
        dataset = data_of(config, data_dir, recorded=config.data_dir, progress=observer.download)
        observer.data(dataset.summary)
        for warning in dataset.warnings:
            observer.warning(warning)
        state = open_state(config, dataset, ranks)
        with RunFolder.reopen(path) as reopened:
            ended = _ended(path, config, Observer())
            if ended is not None:
                return dismiss(ranks, ended)
            mark = restore(config, state, dataset, reopened, observer)
            reopened.begin()
            reopened.metrics.cut(mark)
            observer.begun(str(path))
            observer.resumed(state.progress.epoch, config.epochs)
            lead(ranks, config, data_dir, config.data_dir)
            return TrainingLoop(config, state, dataset, reopened, observer, interrupts).finish()


def restore(
    config: TrainConfig,
    state: TrainingState,
    dataset: data.Dataset,
    folder: RunFolder,
    observer: Observer,
) -> Mark:
    """Put the newest usable checkpoint into the state; where metrics.jsonl ended then.

    Raises:
        Refused: there are checkpoints, but none that can be used, or the data are others.
    """
    paths = folder.checkpoints.paths()
    for path in paths:
        try:
            kept, tensors = folder.checkpoints.read(path, state.tensors)
            _check(config, state, folder, kept, path)
        except Refused as error:
            observer.warning(f"{error}; the checkpoint before is used, if there is one")
            continue
        if kept.data_checksum != dataset.checksum:
            raise Refused(
                f"{folder.path} was trained on other data, of checksum {kept.data_checksum}; "
                f"allowed: those, not {dataset.checksum}"
            )
        state.restore(_progress(kept), tensors)
        _note_versions(state, kept, observer)
        return kept.metrics
    if paths:
        raise Refused(
            f"{folder.path} has no checkpoint that can be used; allowed: {paths[0]} as it was "
            f"written, or no {folder.checkpoints.folder} at all, to begin anew"
        )
    return START


def _check(
    config: TrainConfig, state: TrainingState, folder: RunFolder, kept: State, path: Path
) -> None:
    """Refuse a checkpoint that this run cannot have written."""
    try:
        if TrainConfig.from_json(kept.config).deciding() != config.deciding():
            raise Refused("it is of a run with other settings")
        state.check(_progress(kept))
        folder.metrics.check(kept.metrics)
    except Refused as error:
        raise Refused(f"{path} cannot be used: {error}") from error


def _progress(kept: State) -> Progress:
    return Progress(
        epoch=kept.epoch,
        steps=kept.steps,
        best_epoch=kept.best_epoch,
        best_validation=kept.best_validation,
        seconds=kept.seconds,
        warnings=kept.warnings,
    )


def _note_versions(state: TrainingState, kept: State, observer: Observer) -> None:
    if kept.versions != build.versions():
        before = ", ".join(f"{name} {version}" for name, version in kept.versions.items())
        warning = f"epochs 1 to {kept.epoch} were trained with {before}"
        state.warn(warning)
        observer.warning(warning)


def _ended(path: Path, config: TrainConfig, observer: Observer) -> dict[str, Any] | None:
    """The result of a run that is complete, None of one that is not.

    Raises:
        Diverged: it diverged; the message says what to change.
    """
    if not (path / RESULT).exists():
        return None
    try:
        result = read_result(path)
    except Refused as error:
        observer.warning(f"{error}; it is written anew")
        return None
    if result.get("completed") is True:
        observer.complete(str(path))
        return {"run": str(path), **result}
    where = ", ".join(f"{key} {value}" for key, value in result["diverged"].items())
    raise Diverged(
        f"{path} diverged in {where}, and would again: the same settings give the same numbers; "
        f"change one of them (a smaller --lr than {config.lr:g}, a longer --warmup than "
        f"{config.warmup}, other --shells than {config.shells}) and train into a new folder"
    )
