"""Training by the paper's protocol: warm-up, best model by validation ELBO, early stopping.

`train` begins a run and `resume` goes on with one that was cut short, to the same bits.
"""

import contextlib
import math
import os
import shlex
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from hvae import balance, build, data, evaluation, lock, runs
from hvae.checkpoints import State, Tensors
from hvae.config import TrainConfig, available_device, refused_option, use_threads
from hvae.errors import Diverged, EnvironmentProblem, Interrupted, Refused
from hvae.interrupt import Interrupts
from hvae.metrics import START, Mark
from hvae.model import VAE
from hvae.observer import Observer
from hvae.trainer import NO_SHELL, NotFinite, Trainer

__all__ = ["Selection", "TrainConfig", "kl_weight", "resume", "train"]

IMPROVEMENT = 0.01  # nats of validation ELBO: protocol.md
CHECKPOINT_SECONDS = 10.0


def kl_weight(epoch: int, warmup: int) -> float:
    """min(1, epoch / warmup), epochs counted from 1; 1 without a warm-up."""
    return min(1.0, epoch / warmup) if warmup else 1.0


@dataclass
class Selection:
    """Which epoch is the best, and when to stop.

    Attributes:
        first: the first epoch that may be the best.
        lookahead: epochs without improvement after which training stops.
        best_epoch: 0 until one is recorded.
        best_elbo: its validation ELBO at KL weight 1.
    """

    first: int
    lookahead: int
    best_epoch: int = 0
    best_elbo: float = -math.inf

    def record(self, epoch: int, elbo: float) -> bool:
        """Whether this epoch is the best so far: better by at least `IMPROVEMENT`."""
        improved = epoch >= self.first and elbo - self.best_elbo >= IMPROVEMENT
        if improved:
            self.best_epoch, self.best_elbo = epoch, elbo
        return improved

    def exhausted(self, epoch: int) -> bool:
        """Whether training stops after this epoch."""
        return 0 < self.best_epoch <= epoch - self.lookahead


class _Snapshot:
    """A copy of live tensors."""

    def __init__(self, live: Mapping[str, Tensor]) -> None:
        self.live = [tensor.detach() for tensor in live.values()]
        self.kept = {name: tensor.detach().clone() for name, tensor in live.items()}

    def take(self) -> None:
        """Live to copy."""
        torch._foreach_copy_(list(self.kept.values()), self.live)

    def fill(self, tensors: Mapping[str, Tensor]) -> None:
        """The copy becomes equal to tensors of the same names."""
        torch._foreach_copy_(list(self.kept.values()), [tensors[name] for name in self.kept])

    def put_back(self) -> None:
        """Copy to live."""
        torch._foreach_copy_(self.live, list(self.kept.values()))


class _Session:
    """A run under way: model, data and what is kept from one epoch to the next.

    The best weights and the end of the last good epoch are kept in memory, and written together.
    """

    def __init__(self, config: TrainConfig, dataset: data.Dataset) -> None:
        device = available_device(config.device)
        self.config = config
        self.dataset = replace(dataset, train=dataset.train.to(device))
        self.validation = dataset.validation.to(device)
        model = VAE.like(config, dataset.train.shape[1])
        model.initialize(config.seed)
        self.model = model.to(device)
        self.trainer = Trainer(
            self.model,
            config.lr,
            config.batch_size,
            config.seed,
            config.samples,
            balance.parse(config.kl_weights, self.model.latent.shells),
        )
        self.selection = Selection(max(1, min(config.warmup, config.epochs)), config.lookahead)
        self.epoch = 0
        self.steps = 0
        self.warnings = list(dataset.warnings)
        self.best_validation: dict[str, Any] | None = None
        self.best = _Snapshot(self.model.state_dict())
        self.last = _Snapshot(self.model.state_dict())
        self.optimizer = _Snapshot(self.trainer.optimizer_state())
        self._began = time.perf_counter()
        self._seconds_before = 0.0

    @property
    def seconds(self) -> float:
        """Of work, those before a resumption included."""
        return self._seconds_before + time.perf_counter() - self._began

    @property
    def tensors(self) -> Tensors:
        """What a checkpoint holds: the end of the last good epoch, and the best weights."""
        return {
            "weights": self.last.kept,
            "best": self.best.kept,
            "optimizer": self.optimizer.kept,
        }

    def run_epoch(self, between: Callable[[], None]) -> dict[str, Any]:
        """Train and validate one epoch; its line of metrics.jsonl."""
        began = time.perf_counter()
        epoch, config = self.epoch + 1, self.config
        weight = kl_weight(epoch, config.warmup)
        images = self.dataset.epoch(config.seed, epoch)
        training = self.trainer.epoch(images, epoch, weight, between)
        validation = evaluation.elbo(self.model, self.validation, config.seed)
        if not math.isfinite(validation["elbo"]):
            raise NotFinite(epoch, self.trainer.steps - 1, NO_SHELL, "the validation ELBO")
        if self.selection.record(epoch, validation["elbo"]):
            self.best.take()
            self.best_validation = validation
        self.epoch, self.steps = epoch, self.trainer.steps
        self.last.take()
        self.optimizer.take()
        return {
            "epoch": epoch,
            "kl_weight": weight,
            "train": training,
            "validation": validation,
            "seconds": time.perf_counter() - began,
        }

    def state(self, metrics: Mark) -> State:
        """What a checkpoint says beside `tensors`."""
        return State(
            config=_settings(self.config),
            data_checksum=self.dataset.checksum,
            epoch=self.epoch,
            steps=self.steps,
            best_epoch=self.selection.best_epoch,
            best_validation=self.best_validation,
            metrics=metrics,
            seconds=self.seconds,
            warnings=self.warnings,
            versions=build.versions(),
        )

    def check(self, state: State) -> None:
        """Refuse a state that this run cannot have been in."""
        steps = -(-len(self.dataset.train) // self.config.batch_size) * state.epoch
        if state.config != _settings(self.config):
            raise Refused("it is of a run with other settings")
        if state.epoch > self.config.epochs or state.steps != steps:
            raise Refused(f"no run with these settings has {state.steps} steps in its epochs")
        if state.best_epoch > state.epoch or (state.best_epoch > 0) != bool(state.best_validation):
            raise Refused("its best epoch is not one")

    def restore(self, state: State, tensors: Tensors) -> None:
        """Go back to a checkpoint that was checked."""
        for snapshot, name in ((self.last, "weights"), (self.optimizer, "optimizer")):
            snapshot.fill(tensors[name])
            snapshot.put_back()
        self.best.fill(tensors["best"])
        self.epoch, self.steps, self.trainer.steps = state.epoch, state.steps, state.steps
        self.best_validation = state.best_validation
        if state.best_validation is not None:
            self.selection.best_epoch = state.best_epoch
            self.selection.best_elbo = state.best_validation["elbo"]
        self.warnings += [text for text in state.warnings if text not in self.warnings]
        self._seconds_before = state.seconds


def train(
    config: TrainConfig,
    out: str | os.PathLike | None = None,
    *,
    checkpoint_every: float = CHECKPOINT_SECONDS,
    observer: Observer | None = None,
) -> dict[str, Any]:
    """Train a model and leave a run folder.

    The same configuration gives the same numbers, bit for bit, on one machine with one number of
    threads. The process's number of torch threads becomes `config.threads`.

    Args:
        config: the settings.
        out: the run's folder, new or empty; None is a new one under ./runs.
        checkpoint_every: seconds of work between checkpoints at most, where an epoch takes less;
            0 is a checkpoint an epoch. It changes no figure.
        observer: told of downloads, warnings and epochs.

    Returns:
        result.json, and under "run" the folder.

    Raises:
        Refused: a device that is not there, the folder, or the data; nothing is written.
        Diverged: the message names epoch, step and shell, and the last good checkpoint.
        EnvironmentProblem: the network, the disk or the memory, or a folder that belongs to another
            process; `resume` goes on from the last checkpoint.
        Interrupted: SIGINT or SIGTERM, in the main thread. The first one waits for the next step
            and the end of the last epoch is kept; the second does not wait.
    """
    observer = observer or Observer()
    _check_interval(checkpoint_every)
    use_threads(config.threads)
    available_device(config.device)
    path = runs.default_folder(config) if out is None else Path(out)
    runs.refuse_taken(path)
    with _memory(), Interrupts() as interrupts:
        session = _session(config, config.data_dir, observer)
        with runs.RunFolder.create(path, config) as folder:
            folder.metrics.cut(START)
            return _Work(session, folder, observer, interrupts, checkpoint_every).finish()


def resume(
    folder: str | os.PathLike,
    *,
    data_dir: str | None = None,
    checkpoint_every: float = CHECKPOINT_SECONDS,
    observer: Observer | None = None,
) -> dict[str, Any]:
    """Go on with a run that was cut short, from its last checkpoint to where it would have ended.

    A damaged checkpoint is named to the observer and the one before is used. A run without any
    begins anew. Of a run that is complete nothing changes.

    Args:
        folder: the run's folder.
        data_dir: as in `TrainConfig`; None is the run's own.
        checkpoint_every, observer: as in `train`.

    Returns:
        as `train`.

    Raises:
        Refused: not the folder of a run, other data, or no checkpoint that can be used; nothing is
            written.
        Diverged: the run diverged, and would again; the message says what to change.
        EnvironmentProblem, Interrupted: as in `train`.
    """
    observer = observer or Observer()
    _check_interval(checkpoint_every)
    path = Path(folder)
    config = runs.read_config(path)
    ended = _ended(path, config, observer)
    if ended is not None:
        return ended
    lock.refuse_owned(path)
    use_threads(config.threads)
    with _memory(), Interrupts() as interrupts:
        session = _session(config, config.data_dir if data_dir is None else data_dir, observer)
        with runs.RunFolder.reopen(path) as reopened:
            ended = _ended(path, config, Observer())
            if ended is not None:
                return ended
            mark = _restore(session, reopened, observer)
            reopened.begin()
            reopened.metrics.cut(mark)
            observer.resumed(session.epoch, config.epochs)
            return _Work(session, reopened, observer, interrupts, checkpoint_every).finish()


class _Work:
    """Epochs to the end of a run, with a checkpoint now and then."""

    def __init__(
        self,
        session: _Session,
        folder: runs.RunFolder,
        observer: Observer,
        interrupts: Interrupts,
        every: float,
    ) -> None:
        self.session = session
        self.folder = folder
        self.observer = observer
        self.interrupts = interrupts
        self.every = every
        self.saved = time.perf_counter()
        self.saved_epoch = -1
        self.saved_best = -1  # what was on the disk before is not known to be whole

    def finish(self) -> dict[str, Any]:
        """Train to the end and write the result."""
        self.interrupts.wait()
        try:
            stopped, divergence = self._run()
            checkpoint = self._save()
            result = _result(self.session, stopped, divergence)
            self.folder.save_result(result)
        except (Interrupted, KeyboardInterrupt) as error:
            with contextlib.suppress(Interrupted):
                if not self.interrupts.urgent:
                    self._save()
            number = getattr(error, "number", signal.SIGINT)
            raise Interrupted(number, f"interrupted; {self._kept()}") from None
        except EnvironmentProblem as error:
            raise EnvironmentProblem(f"{error}; {self._kept()}") from error
        if divergence is not None:
            raise Diverged(f"{divergence}; the last good checkpoint is {checkpoint}")
        return {"run": str(self.folder.path), **result}

    def _run(self) -> tuple[str, NotFinite | None]:
        """Why it ended."""
        session = self.session
        try:
            while session.epoch < session.config.epochs:
                if session.selection.exhausted(session.epoch):
                    return "lookahead", None
                line = session.run_epoch(self.interrupts.check)
                self.folder.metrics.append(line)
                self.observer.epoch(line, session.config.epochs)
                if time.perf_counter() - self.saved + line["seconds"] >= self.every:
                    self._save()
        except NotFinite as error:
            return "diverged", error
        exhausted = session.selection.exhausted(session.epoch)
        return "lookahead" if exhausted else "epochs", None

    def _save(self) -> Path:
        """The best weights, and a checkpoint of the last good epoch."""
        session, folder = self.session, self.folder
        best = session.selection.best_epoch
        if best and best != self.saved_best:
            folder.save_best(session.best.kept, best)
            self.saved_best = best
        if session.epoch != self.saved_epoch:
            state = session.state(folder.metrics.mark())
            folder.checkpoints.write(state, session.tensors)
            self.saved, self.saved_epoch = time.perf_counter(), session.epoch
        return folder.checkpoints.path(session.epoch)

    def _kept(self) -> str:
        """What is on the disk, and how to go on from there."""
        paths = self.folder.checkpoints.paths()
        kept = f"{paths[0]} is kept" if paths else "there is no checkpoint yet"
        return f"{kept}; to go on: hvae train --resume {shlex.quote(str(self.folder.path))}"


def _session(config: TrainConfig, data_dir: str | None, observer: Observer) -> _Session:
    dataset = data.load(config.dataset, data_dir, progress=observer.download)
    for warning in dataset.warnings:
        observer.warning(warning)
    return _Session(config, dataset)


def _restore(session: _Session, folder: runs.RunFolder, observer: Observer) -> Mark:
    """Put the newest usable checkpoint into the session; where metrics.jsonl ended then."""
    paths = folder.checkpoints.paths()
    for path in paths:
        try:
            state, tensors = folder.checkpoints.read(path, session.tensors)
            _check(session, folder, state, path)
        except Refused as error:
            observer.warning(f"{error}; the checkpoint before is used, if there is one")
            continue
        if state.data_checksum != session.dataset.checksum:
            raise Refused(
                f"{folder.path} was trained on other data, of checksum {state.data_checksum}; "
                f"allowed: those, not {session.dataset.checksum}"
            )
        session.restore(state, tensors)
        _note_versions(session, state, observer)
        return state.metrics
    if paths:
        raise Refused(
            f"{folder.path} has no checkpoint that can be used; allowed: {paths[0]} as it was "
            f"written, or no {folder.checkpoints.folder} at all, to begin anew"
        )
    return START


def _check(session: _Session, folder: runs.RunFolder, state: State, path: Path) -> None:
    try:
        session.check(state)
        folder.metrics.check(state.metrics)
    except Refused as error:
        raise Refused(f"{path} cannot be used: {error}") from error


def _note_versions(session: _Session, state: State, observer: Observer) -> None:
    if state.versions != build.versions():
        before = ", ".join(f"{name} {version}" for name, version in state.versions.items())
        warning = f"epochs 1 to {state.epoch} were trained with {before}"
        session.warnings.append(warning)
        observer.warning(warning)


def _ended(path: Path, config: TrainConfig, observer: Observer) -> dict[str, Any] | None:
    """The result of a run that is complete, None of one that is not.

    Raises:
        Diverged: it diverged; the message says what to change.
    """
    if not (path / runs.RESULT).exists():
        return None
    try:
        result = runs.read_result(path)
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


def _settings(config: TrainConfig) -> dict[str, Any]:
    """What the numbers of a run depend on: all but where the data files are."""
    return {**config.to_json(), "data_dir": None}


def _check_interval(seconds: float) -> None:
    if not (type(seconds) in (int, float) and 0 <= seconds <= 1e9):
        allowed = "seconds from 0 to 1e9; 0 is a checkpoint an epoch"
        raise refused_option("checkpoint_every", seconds, allowed)


@contextlib.contextmanager
def _memory() -> Iterator[None]:
    """Turns exhausted memory into an EnvironmentProblem."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not evaluation.out_of_memory(error):
            raise
        raise EnvironmentProblem("memory: the model or a batch does not fit") from error


def _result(session: _Session, stopped: str, divergence: NotFinite | None) -> dict[str, Any]:
    dataset = session.dataset
    where = divergence and {
        "epoch": divergence.epoch,
        "step": divergence.step,
        "shell": divergence.shell,
    }
    return {
        "completed": divergence is None,
        "stopped": stopped,
        "diverged": where,
        "epochs": session.epoch,
        "steps": session.steps,
        "best_epoch": session.selection.best_epoch,
        "validation": session.best_validation,
        "dataset": dataset.name,
        "data_checksum": dataset.checksum,
        "data_verified": dataset.verified,
        "warnings": session.warnings,
        "parameters": sum(parameter.numel() for parameter in session.model.parameters()),
        "threads": torch.get_num_threads(),
        "versions": build.versions(),
        "seconds": session.seconds,
        "finished": datetime.now(timezone.utc).isoformat(),
    }
