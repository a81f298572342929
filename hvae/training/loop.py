"""The loop that writes: epochs to the end of a run, with a checkpoint now and then."""

import contextlib
import shlex
import signal
import time
from datetime import datetime, timezone
from typing import Any

import torch

from hvae import build, data
from hvae.devices import available_device
from hvae.errors import Diverged, EnvironmentProblem, Interrupted
from hvae.latent import kl_weights
from hvae.observer import Observer
from hvae.ranks import ALONE, LostRank, Ranks
from hvae.runs import RunFolder, TrainConfig
from hvae.runs.assembly import assemble
from hvae.runs.checkpoints import State
from hvae.runs.metrics import Mark
from hvae.training.divergence import NotFinite
from hvae.training.interrupts import Interrupts
from hvae.training.protocol import TrainingState


def open_state(
    config: TrainConfig,
    dataset: data.Dataset,
    ranks: Ranks = ALONE,
    there: data.Dataset | None = None,
) -> TrainingState:
    """The beginning of training with these settings, on their device.

    Args:
        config, dataset: what is trained on what.
        ranks: who trains together.
        there: the data where the training is to be, if they are there already.

    Raises:
        Refused: the settings do not fit the data, or the device is not there.
    """
    device = available_device(ranks.device(config.device))
    model = assemble(config, dataset.description)
    model.initialize(config.seed)
    model.observe(dataset.train, config.seed)
    components = model.latent.components
    weights = kl_weights.parse(config.kl_weights, components, config.learned_prior)
    rows = dataset.to(device) if there is None else there
    return TrainingState(config, model.to(device), rows, weights, dataset.warnings, ranks)


class TrainingLoop:
    """Epochs to the end of a run, written to its folder.

    Args:
        config: the settings of the run.
        state: where training is.
        dataset: what it is trained on.
        folder: of the run, owned by this process.
        observer: told of epochs.
        interrupts: whose first signal waits for the next step.
        replicas: how many are trained in one stack, this one among them; for the record.
    """

    def __init__(
        self,
        config: TrainConfig,
        state: TrainingState,
        dataset: data.Dataset,
        folder: RunFolder,
        observer: Observer,
        interrupts: Interrupts,
        replicas: int = 1,
    ) -> None:
        self.config = config
        self.state = state
        self.dataset = dataset
        self.folder = folder
        self.observer = observer
        self.interrupts = interrupts
        self.replicas = replicas
        self.saved = time.perf_counter()
        self.saved_epoch = -1
        self.saved_best = -1  # what was on the disk before is not known to be whole

    def finish(self) -> dict[str, Any]:
        """Train to the end and write the result; what `hvae.train` returns and raises."""
        self.interrupts.wait()
        try:
            self.state.agree()
            stopped, divergence = self._run()
            result = self.conclude(stopped, divergence)
        except (Interrupted, KeyboardInterrupt) as error:
            with contextlib.suppress(Interrupted):
                if not self.interrupts.urgent:
                    self.save()
            number = getattr(error, "number", signal.SIGINT)
            raise Interrupted(number, f"interrupted; {self._kept()}") from None
        except EnvironmentProblem as error:
            if isinstance(error, LostRank):
                self.save()
            raise EnvironmentProblem(f"{error}; {self._kept()}") from error
        if divergence is not None:
            checkpoint = self.folder.checkpoints.path(self.state.progress.epoch)
            raise Diverged(f"{divergence}; the last good checkpoint is {checkpoint}")
        told: dict[str, Any] = self.state.ranks.told(result)
        return told

    def record(self, line: dict[str, Any]) -> None:
        """An epoch's line of metrics, and a checkpoint where one is due."""
        self.folder.metrics.append(line)
        self.observer.epoch(line, self.config.epochs)
        unsaved = time.perf_counter() - self.saved
        if unsaved + line["seconds"] >= self.config.checkpoint_every:
            self.save()

    def conclude(self, stopped: str, divergence: NotFinite | None) -> dict[str, Any]:
        """Write the result, after which the run has ended; it, and under "run" the folder."""
        self.save()
        result = self._result(stopped, divergence)
        self.folder.save_result(result)
        return {"run": str(self.folder.path), **result}

    def _run(self) -> tuple[str, NotFinite | None]:
        """Why it ended."""
        try:
            for line in self.state.epochs(self.interrupts.check):
                self.record(line)
        except NotFinite as error:
            return "diverged", error
        except LostRank:
            self.interrupts.check()  # of a signal to all, which ended others first
            raise
        return str(self.state.ended), None

    def save(self) -> None:
        """The best weights, and a checkpoint of the last good epoch."""
        progress, tensors = self.state.progress, self.state.tensors
        if progress.best_epoch and progress.best_epoch != self.saved_best:
            self.folder.save_best(tensors["best"], progress.best_epoch, self.dataset.description)
            self.saved_best = progress.best_epoch
        if progress.epoch != self.saved_epoch:
            self.folder.checkpoints.write(self._checkpoint(self.folder.metrics.mark()), tensors)
            self.saved, self.saved_epoch = time.perf_counter(), progress.epoch

    def _checkpoint(self, metrics: Mark) -> State:
        progress = self.state.progress
        return State(
            config={**self.config.to_json(), "data_dir": None},
            data_checksum=self.dataset.checksum,
            epoch=progress.epoch,
            steps=progress.steps,
            best_epoch=progress.best_epoch,
            best_validation=progress.best_validation,
            metrics=metrics,
            seconds=progress.seconds,
            warnings=progress.warnings,
            versions=build.versions(),
        )

    def _kept(self) -> str:
        """What is on the disk, and how to go on from there."""
        paths = self.folder.checkpoints.paths()
        kept = f"{paths[0]} is kept" if paths else "there is no checkpoint yet"
        return f"{kept}; to go on: hvae train --resume {shlex.quote(str(self.folder.path))}"

    def _result(self, stopped: str, divergence: NotFinite | None) -> dict[str, Any]:
        """result.json."""
        progress, dataset = self.state.progress, self.dataset
        where = divergence and {
            "epoch": divergence.epoch,
            "step": divergence.step,
            "shell": divergence.shell,
        }
        return {
            "completed": divergence is None,
            "stopped": stopped,
            "diverged": where,
            "epochs": progress.epoch,
            "steps": progress.steps,
            "best_epoch": progress.best_epoch,
            "validation": progress.best_validation,
            "dataset": dataset.name,
            "data_checksum": dataset.checksum,
            "data_verified": dataset.verified,
            "warnings": progress.warnings,
            "parameters": sum(p.numel() for p in self.state.model.parameters()),
            "threads": torch.get_num_threads(),
            "ranks": self.state.ranks.count,
            "replicas": self.replicas,
            "versions": build.versions(),
            "seconds": progress.seconds,
            "finished": datetime.now(timezone.utc).isoformat(),
        }
