"""Training by the paper's protocol: warm-up, best model by validation ELBO, early stopping."""

import math
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from hvae import build, data, evaluation, ops, random, runs
from hvae.config import TrainConfig, available_device, use_threads
from hvae.errors import Diverged, EnvironmentProblem
from hvae.model import VAE
from hvae.observer import Observer

__all__ = ["Selection", "TrainConfig", "Trainer", "kl_weight", "train"]

IMPROVEMENT = 0.01  # nats of validation ELBO: protocol.md
CHECKPOINT_SECONDS = 10.0
NO_SHELL = "none (the network)"


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


class NotFinite(Diverged):
    """A loss or a gradient was not finite and its update was skipped, or validation was not finite.

    Attributes:
        epoch: from 1; step: from 0, that of the random stream; shell: the first one, or "none".
    """

    def __init__(self, epoch: int, step: int, shell: str, what: str) -> None:
        where = f"epoch {epoch}, step {step}, shell {shell}"
        super().__init__(f"training diverged in {where}: {what} is not finite")
        self.epoch, self.step, self.shell = epoch, step, shell


class Trace(NamedTuple):
    """What a step leaves on the device, to be read at the end of the epoch.

    Attributes:
        log_likelihood: [R]; kl: [R, n]; head: [R, heads].
        head_gradient: [heads], the gradient of the head's bias: the sum over images of the
            gradients that arrive at the head.
    """

    log_likelihood: Tensor
    kl: Tensor
    head: Tensor
    head_gradient: Tensor


class Trainer:
    """The training step and the epoch.

    A step whose loss or gradient is not finite changes neither weights nor optimizer; it is noted
    on the device, and `epoch` raises once it has ended. Nothing is read from the device before.

    Args:
        model: with its initial weights, on the device of the images.
        lr: Adam's learning rate.
        batch_size: images a step; the last batch of an epoch may be smaller.
        seed: of the streams "train" and "shuffle".
    """

    def __init__(self, model: VAE, lr: float, batch_size: int = 100, seed: int = 0) -> None:
        self.model = model
        self.batch_size = batch_size
        self.seed = seed
        self.steps = 0
        self.parameters = list(model.parameters())
        self.device = self.parameters[0].device
        self.optimizer = torch.optim.Adam(self.parameters, lr=lr, fused=True)
        self._one = torch.ones((), device=self.device)
        self._state = {
            name: {
                "step": torch.zeros((), device=self.device),
                "exp_avg": torch.zeros_like(parameter),
                "exp_avg_sq": torch.zeros_like(parameter),
            }
            for name, parameter in model.named_parameters()
        }
        self.optimizer.state.update(zip(self.parameters, self._state.values(), strict=True))

    def optimizer_state(self) -> dict[str, Tensor]:
        """Adam's live tensors by name; a copy into them restores the optimizer."""
        return {
            f"{name}.{key}": tensor
            for name, state in self._state.items()
            for key, tensor in state.items()
        }

    def step(self, images: Tensor, rng: Tensor, weight: Tensor, skipped: Tensor) -> Trace:
        """One update of the weights.

        Args:
            images: uint8 [R, D] of 0 and 1.
            rng: the stream of this step.
            weight: [n], the weight of every component's KL.
            skipped: scalar; it becomes 1 if the loss or a gradient is not finite.
        """
        head = self.model.encode(images)
        log_likelihood, kl, _ = self.model.terms(head, images, rng)
        loss = (torch.mv(kl, weight) - log_likelihood).mean()
        loss.backward()
        gradients = [parameter.grad for parameter in self.parameters]
        torch._amp_foreach_non_finite_check_and_unscale_(
            [*gradients, loss.detach()], skipped, self._one
        )
        self.optimizer.found_inf = skipped
        self.optimizer.step()
        trace = Trace(
            log_likelihood.detach()[0], kl.detach(), head.detach(), self.model.head.bias.grad
        )
        for parameter in self.parameters:
            parameter.grad = None
        return trace

    def epoch(self, images: Tensor, epoch: int, weight: float = 1.0) -> dict[str, Any]:
        """Every image once, in the epoch's own order.

        Args:
            images: uint8 [N, D] of 0 and 1.
            epoch: its number, from 1.
            weight: of the KL in the loss.

        Returns:
            `evaluation.summary` of the images, each as its step saw it.

        Raises:
            Diverged: a step was skipped; the message names epoch, step and shell.
        """
        batches = order(len(images), self.seed, epoch, self.device).split(self.batch_size)
        streams = self._streams(len(batches))
        skipped = torch.zeros(len(batches), device=self.device)
        weights = torch.full((len(self.model.latent.shells),), weight, device=self.device)
        traces = [
            self.step(images.index_select(0, rows), rng, weights, skip)
            for rows, rng, skip in zip(batches, streams, skipped.unbind(), strict=True)
        ]
        self.steps += len(batches)
        self._check(traces, skipped, epoch)
        log_likelihood, kl, head, _ = (torch.cat(part) for part in zip(*traces, strict=True))
        with torch.no_grad():
            return evaluation.summary(log_likelihood, kl, self.model.latent.concentration(head))

    def _streams(self, count: int) -> tuple[Tensor, ...]:
        """The streams of the next steps: their step is the step's number, counted from 0."""
        table = random.stream(self.seed, "train", device=self.device).repeat(count, 1)
        table[:, 1] = torch.arange(self.steps, self.steps + count, device=self.device)
        return table.unbind()

    def _check(self, traces: Sequence[Trace], skipped: Tensor, epoch: int) -> None:
        bad = skipped.nonzero().flatten().tolist()
        if bad:
            shell = _first_bad_shell(self.model, traces[bad[0]])
            step = self.steps - len(traces) + bad[0]
            raise NotFinite(epoch, step, shell, "the loss or a gradient")


def order(rows: int, seed: int, epoch: int, device: torch.device | str = "cpu") -> Tensor:
    """int64 [rows], the order of the images in an epoch: that of uniform numbers, ties as they are.

    Image i has the number of row i of the stream (seed, "shuffle", step=epoch).
    """
    rng = random.stream(seed, "shuffle", step=epoch, device=device)
    return ops.uniform(rng, 1, rows, 1, dtype=torch.float64).flatten().argsort(stable=True)


def _first_bad_shell(model: VAE, trace: Trace) -> str:
    """The first component whose KL, head or gradient is not finite; "none" for the network.

    A head that is finite gives a finite draw. A gradient that is not finite in every component
    came from the decoder, as it did where log p(x | z) is not finite.
    """
    latent = model.latent
    bad = ~trace.kl.isfinite().all(0) | latent.components(~trace.head.isfinite().all(0))
    if not bad.any() and trace.log_likelihood.isfinite().all():
        bad = latent.components(~trace.head_gradient.isfinite())
        bad &= ~bad.all() | (bad.numel() == 1)
    if not bad.any():
        return NO_SHELL
    index = int(bad.nonzero()[0])
    return f"{index + 1} of {len(latent.shells)} ({latent.shells[index]})"


class _Snapshot:
    """A copy of live tensors."""

    def __init__(self, live: Mapping[str, Tensor]) -> None:
        self.live = [tensor.detach() for tensor in live.values()]
        self.kept = {name: tensor.detach().clone() for name, tensor in live.items()}

    def take(self) -> None:
        torch._foreach_copy_(list(self.kept.values()), self.live)


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
        self.trainer = Trainer(self.model, config.lr, config.batch_size, config.seed)
        self.selection = Selection(max(1, min(config.warmup, config.epochs)), config.lookahead)
        self.epoch = 0
        self.best_validation: dict[str, Any] | None = None
        self.best = _Snapshot(self.model.state_dict())
        self.last = _Snapshot(self.model.state_dict())
        self.optimizer = _Snapshot(self.trainer.optimizer_state())
        self.state = self._state()

    def run_epoch(self) -> dict[str, Any]:
        """Train and validate one epoch; its line of metrics.jsonl."""
        began = time.perf_counter()
        epoch, config = self.epoch + 1, self.config
        weight = kl_weight(epoch, config.warmup)
        images = self.dataset.epoch(config.seed, epoch)
        training = self.trainer.epoch(images, epoch, weight)
        validation = evaluation.elbo(self.model, self.validation, config.seed)
        if not math.isfinite(validation["elbo"]):
            raise NotFinite(epoch, self.trainer.steps - 1, NO_SHELL, "the validation ELBO")
        if self.selection.record(epoch, validation["elbo"]):
            self.best.take()
            self.best_validation = validation
        self.epoch = epoch
        self.last.take()
        self.optimizer.take()
        self.state = self._state()
        return {
            "epoch": epoch,
            "kl_weight": weight,
            "train": training,
            "validation": validation,
            "seconds": time.perf_counter() - began,
        }

    def save(self, folder: runs.RunFolder) -> None:
        """Write the best weights, and the weights and the optimizer of the last good epoch."""
        if self.best_validation is not None:
            folder.save_best(self.best.kept)
        folder.save_last(self.last.kept, self.optimizer.kept, self.state)

    def _state(self) -> dict[str, Any]:
        selection = {"epoch": self.selection.best_epoch, "validation": self.best_validation}
        return {"epoch": self.epoch, "steps": self.trainer.steps, "best": selection}


def train(
    config: TrainConfig,
    out: str | os.PathLike | None = None,
    *,
    observer: Observer | None = None,
) -> dict[str, Any]:
    """Train a model and leave a run folder.

    The same configuration gives the same numbers, bit for bit, on one machine with one number of
    threads. The process's number of torch threads becomes `config.threads`.

    Args:
        config: the settings.
        out: the run's folder, new or empty; None is a new one under ./runs.
        observer: told of downloads, warnings and epochs.

    Returns:
        result.json, and under "run" the folder.

    Raises:
        Refused: a device that is not there, the folder, or the data; nothing is written.
        Diverged: the message names epoch, step and shell, and where the last good weights are.
        EnvironmentProblem: the network, the disk or the memory.
    """
    observer = observer or Observer()
    use_threads(config.threads)
    available_device(config.device)
    path = runs.default_folder(config) if out is None else Path(out)
    runs.refuse_taken(path)
    began = time.perf_counter()
    try:
        dataset = data.load(config.dataset, config.data_dir, progress=observer.download)
        for warning in dataset.warnings:
            observer.warning(warning)
        session = _Session(config, dataset)
        folder = runs.RunFolder.create(path, config)
        stopped, divergence = _run(session, folder, observer)
    except (MemoryError, RuntimeError) as error:
        if not evaluation.out_of_memory(error):
            raise
        raise EnvironmentProblem("memory: the model or a batch does not fit") from error
    result = _result(session, stopped, divergence, time.perf_counter() - began)
    folder.save_result(result)
    if divergence is not None:
        kept = f"the weights of epoch {session.epoch} are kept in {path / runs.LAST}"
        raise Diverged(f"{divergence}; {kept}") from divergence
    return {"run": str(path), **result}


def _run(
    session: _Session, folder: runs.RunFolder, observer: Observer
) -> tuple[str, NotFinite | None]:
    """Epochs to the end, with a checkpoint now and then: why it ended."""
    saved = time.perf_counter()
    stopped, divergence = "epochs", None
    try:
        while session.epoch < session.config.epochs:
            line = session.run_epoch()
            folder.append_metrics(line)
            observer.epoch(line, session.config.epochs)
            if session.selection.exhausted(session.epoch):
                stopped = "lookahead"
                break
            if time.perf_counter() - saved >= CHECKPOINT_SECONDS:
                session.save(folder)
                saved = time.perf_counter()
    except NotFinite as error:
        stopped, divergence = "diverged", error
    except KeyboardInterrupt:
        session.save(folder)
        raise
    session.save(folder)
    return stopped, divergence


def _result(
    session: _Session, stopped: str, divergence: NotFinite | None, seconds: float
) -> dict[str, Any]:
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
        "steps": session.trainer.steps,
        "best_epoch": session.selection.best_epoch,
        "validation": session.best_validation,
        "dataset": dataset.name,
        "data_checksum": dataset.checksum,
        "data_verified": dataset.verified,
        "warnings": list(dataset.warnings),
        "parameters": sum(parameter.numel() for parameter in session.model.parameters()),
        "threads": torch.get_num_threads(),
        "versions": build.versions(),
        "seconds": seconds,
        "finished": datetime.now(timezone.utc).isoformat(),
    }
