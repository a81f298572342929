"""The paper's protocol, epoch by epoch: warm-up, best model by validation ELBO, early stopping.

It knows no file: what must outlive the process is `TrainingState.progress` and
`TrainingState.tensors`, which whoever trains may keep wherever they like.
"""

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.dropout import _DropoutNd

from hvae.errors import Refused
from hvae.evaluation.elbo import elbo
from hvae.model import VAE
from hvae.ranks import ALONE, Ranks
from hvae.rows import Rows
from hvae.training.divergence import NO_COMPONENT, NotFinite
from hvae.training.step import Epoch, Trainer

IMPROVEMENT = 0.01  # nats of validation ELBO (docs/protocol.md)

_OF_A_BATCH = (_BatchNorm, _DropoutNd)


class TrainingData(Protocol):
    """What the protocol asks of a data set (`hvae.data.Dataset`)."""

    @property
    def train(self) -> Rows: ...

    @property
    def validation(self) -> Rows: ...

    def epoch(self, seed: int, epoch: int) -> Rows: ...


class Settings(Protocol):
    """What the protocol asks of the settings (`hvae.TrainConfig` says what each is)."""

    @property
    def epochs(self) -> int: ...

    @property
    def warmup(self) -> int: ...

    @property
    def lookahead(self) -> int: ...

    @property
    def batch_size(self) -> int: ...

    @property
    def lr(self) -> float: ...

    @property
    def samples(self) -> int: ...

    @property
    def seed(self) -> int: ...


def warmup_factor(epoch: int, warmup: int) -> float:
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


class Snapshot:
    """A copy of live tensors."""

    def __init__(self, live: Mapping[str, Tensor]) -> None:
        self.live = [tensor.detach() for tensor in live.values()]
        self.kept = {name: tensor.detach().clone() for name, tensor in live.items()}

    def follow(self, live: Mapping[str, Tensor]) -> None:
        """From now on these are the live tensors, of the same names; the copy stays."""
        self.live = [live[name].detach() for name in self.kept]

    def take(self) -> None:
        """Live to copy."""
        torch._foreach_copy_(list(self.kept.values()), self.live)

    def fill(self, tensors: Mapping[str, Tensor]) -> None:
        """The copy becomes equal to tensors of the same names."""
        torch._foreach_copy_(list(self.kept.values()), [tensors[name] for name in self.kept])

    def put_back(self) -> None:
        """Copy to live."""
        torch._foreach_copy_(self.live, list(self.kept.values()))


@dataclass(frozen=True)
class Progress:
    """How far training has come, beside the tensors.

    Attributes:
        epoch: that ended; steps: updates since the beginning.
        best_epoch: 0 until there is one; best_validation: its figures, or None.
        seconds: of work so far.
        warnings: that the result must carry.
    """

    epoch: int = 0
    steps: int = 0
    best_epoch: int = 0
    best_validation: dict[str, Any] | None = None
    seconds: float = 0.0
    warnings: list[str] = field(default_factory=list)


class TrainingState:
    """Training under way: model, data and what is kept from one epoch to the next.

    The best weights and the end of the last good epoch are kept in memory, and belong together.

    Args:
        settings: the protocol's.
        model: with its initial weights, on the device where it is to be trained.
        data: its tensors on that device.
        kl_weights: [n], of every component's KL after the warm-up.
        warnings: that the result must carry.
        ranks: the processes that train this model together; call `agree` before the first epoch.

    Raises:
        Refused: a layer of the model looks at a whole batch, and there are several ranks.
    """

    def __init__(
        self,
        settings: Settings,
        model: VAE,
        data: TrainingData,
        kl_weights: Sequence[float],
        warnings: Sequence[str] = (),
        ranks: Ranks = ALONE,
    ) -> None:
        _refuse_to_divide(model, ranks)
        self.ranks = ranks
        self.settings = settings
        self.data = data
        self.model = model
        self.trainer = Trainer(
            model,
            settings.lr,
            settings.batch_size,
            settings.seed,
            settings.samples,
            kl_weights,
            ranks,
        )
        first = max(1, min(settings.warmup, settings.epochs))
        self.selection = Selection(first, settings.lookahead)
        self.best = Snapshot(model.state_dict())
        self.last = Snapshot(model.state_dict())
        self.optimizer = Snapshot(self.trainer.optimizer_state())
        self._progress = Progress(warnings=list(warnings))
        self._began = self._epoch_began = time.perf_counter()

    @property
    def progress(self) -> Progress:
        """As of the end of the last good epoch; the seconds are those until now."""
        worked = time.perf_counter() - self._began
        return replace(self._progress, seconds=self._progress.seconds + worked)

    @property
    def tensors(self) -> dict[str, dict[str, Tensor]]:
        """The end of the last good epoch and the best weights, by group and name."""
        return {
            "weights": self.last.kept,
            "best": self.best.kept,
            "optimizer": self.optimizer.kept,
        }

    @property
    def ended(self) -> str | None:
        """Why there is no further epoch: "lookahead", "epochs"; None while there is one."""
        if self.selection.exhausted(self._progress.epoch):
            return "lookahead"
        return "epochs" if self._progress.epoch >= self.settings.epochs else None

    def follow(self) -> None:
        """The tensors of model and optimizer were replaced by others of the same names."""
        for snapshot in (self.best, self.last):
            snapshot.follow(self.model.state_dict())
        self.optimizer.follow(self.trainer.optimizer_state())

    def warn(self, text: str) -> None:
        """Something that the result must carry."""
        self._progress.warnings.append(text)

    def epochs(self, before_step: Callable[[], None] = lambda: None) -> Iterator[dict[str, Any]]:
        """Train to the end, an epoch for each line (`run_epoch`) that is asked for."""
        while self.ended is None:
            yield self.run_epoch(before_step)

    def run_epoch(self, before_step: Callable[[], None] = lambda: None) -> dict[str, Any]:
        """Train and validate one epoch.

        Args:
            before_step: called before every step; what it raises ends the epoch.

        Returns:
            its line of metrics: "epoch", "kl_weight" (the warm-up's), the `summary` of "train" and
            of "validation", and "seconds".

        Raises:
            NotFinite: and what was kept is the end of the epoch before.
        """
        rows, number, factor = self._next()
        return self._validated(number, self.trainer.epoch(rows, number, factor, before_step))

    def begin_epoch(self) -> Epoch:
        """The next epoch, for who makes its steps in place of `run_epoch`."""
        return Epoch(self.trainer, *self._next())

    def end_epoch(self, epoch: Epoch) -> dict[str, Any]:
        """Its line of metrics, once its steps were made; returns and raises as `run_epoch`."""
        return self._validated(epoch.number, epoch.end())

    def _next(self) -> tuple[Rows, int, float]:
        """Rows, number and warm-up factor of the next epoch, which begins now."""
        self._epoch_began = time.perf_counter()
        number = self._progress.epoch + 1
        rows = self.data.epoch(self.settings.seed, number)
        return rows, number, warmup_factor(number, self.settings.warmup)

    def _validated(self, number: int, training: dict[str, Any]) -> dict[str, Any]:
        """The line of an epoch whose steps were made."""
        validation = elbo(self.model, self.data.validation, self.settings.seed, self.ranks)
        if not math.isfinite(validation["elbo"]):
            raise NotFinite(number, self.trainer.steps - 1, NO_COMPONENT, "the validation ELBO")
        self._keep(number, validation)
        return {
            "epoch": number,
            "kl_weight": warmup_factor(number, self.settings.warmup),
            "train": training,
            "validation": validation,
            "seconds": time.perf_counter() - self._epoch_began,
        }

    def _keep(self, epoch: int, validation: dict[str, Any]) -> None:
        best_validation = self._progress.best_validation
        if self.selection.record(epoch, validation["elbo"]):
            self.best.take()
            best_validation = validation
        self._progress = replace(
            self._progress,
            epoch=epoch,
            steps=self.trainer.steps,
            best_epoch=self.selection.best_epoch,
            best_validation=best_validation,
        )
        self.last.take()
        self.optimizer.take()

    def check(self, progress: Progress) -> None:
        """Refuse progress that these settings cannot have made.

        Raises:
            Refused: the message says what is wrong with it.
        """
        steps = -(-len(self.data.train) // self.settings.batch_size) * progress.epoch
        if progress.epoch > self.settings.epochs or progress.steps != steps:
            raise Refused(f"no run with these settings has {progress.steps} steps in its epochs")
        has_best = progress.best_validation is not None
        if progress.best_epoch > progress.epoch or (progress.best_epoch > 0) != has_best:
            raise Refused("its best epoch is not one")

    def agree(self) -> None:
        """Let every rank be where rank 0 is."""
        if self.ranks.count == 1:
            return
        progress = Progress(**self.ranks.told(asdict(self._progress)))
        for tensors in self.tensors.values():
            self.ranks.spread(list(tensors.values()))
        if self.ranks.rank > 0:
            self.restore(progress, self.tensors)

    def restore(self, progress: Progress, tensors: Mapping[str, Mapping[str, Tensor]]) -> None:
        """Go back to progress that was checked, with the tensors that belong to it."""
        for snapshot, name in ((self.last, "weights"), (self.optimizer, "optimizer")):
            snapshot.fill(tensors[name])
            snapshot.put_back()
        self.best.fill(tensors["best"])
        self.trainer.steps = progress.steps
        if progress.best_validation is not None:
            self.selection.best_epoch = progress.best_epoch
            self.selection.best_elbo = progress.best_validation["elbo"]
        own = self._progress.warnings
        more = [text for text in progress.warnings if text not in own]
        self._progress = replace(progress, warnings=[*own, *more])


def _refuse_to_divide(model: VAE, ranks: Ranks) -> None:
    """Raises Refused for a layer whose outcome for a row depends on who else computes."""
    whole = [name for name, layer in model.named_modules() if isinstance(layer, _OF_A_BATCH)]
    if whole and ranks.count > 1:
        raise Refused(
            f"--network: {whole[0]} is a layer that looks at a whole batch or draws for it; "
            "allowed for several ranks: networks without batch normalization and dropout"
        )
