"""The training step and the epoch: updates of the weights, with no value read on the host."""

import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple, NoReturn

import torch
from torch import Tensor

from hvae import ops, random
from hvae.errors import Refused
from hvae.evaluation.elbo import figures, means
from hvae.model import VAE, Terms, loss
from hvae.ranks import ALONE, Ranks
from hvae.rows import Rows
from hvae.training.adam import Adam
from hvae.training.device_steps import DeviceSteps, Record, Trace
from hvae.training.divergence import NotFinite, first_bad_component

_JOINED = 64  # steps


class Traces:
    """What the steps of an epoch leave.

    Small tensors that stay between large ones that go would keep the allocator from using its
    memory again, a tenth of a megabyte a step. So they are joined now and then.
    """

    def __init__(self) -> None:
        self._single: list[Trace] = []
        self._joined: list[Trace] = []

    def add(self, trace: Trace) -> None:
        """That of the next step."""
        self._single.append(trace._replace(raw_gradient=trace.raw_gradient[None]))
        if len(self._single) == _JOINED:
            self._join()

    def add_joined(self, trace: Trace) -> None:
        """That of the next steps, raw_gradient [steps, raw_width]."""
        self._join()
        self._joined.append(trace)

    def whole(self) -> Trace:
        """That of all rows, in the order of their steps; raw_gradient is [steps, raw_width]."""
        self._join()
        return _joined(self._joined)

    def _join(self) -> None:
        if self._single:
            self._joined.append(_joined(self._single))
            self._single = []


def _joined(traces: Sequence[Trace]) -> Trace:
    columns = zip(*traces, strict=True)
    return Trace._make(None if column[0] is None else torch.cat(column) for column in columns)


class Trainer:
    """The training step and the epoch.

    A step whose loss or gradient is not finite changes neither weights nor optimizer; it is noted
    on the device, and `epoch` raises once it has ended. Nothing is read from the device before.

    Args:
        model: with its initial weights, on the device of the rows.
        lr: Adam's learning rate.
        batch_size: rows a step; the last batch of an epoch may be smaller.
        seed: of the streams "train" and "shuffle".
        samples: draws of a row in a step; the loss is their mean.
        kl_weights: [n], of every component's KL after the warm-up; None for 1.
        ranks: the processes that share the rows of every batch; each has the whole model.
        record: makes of a step what plays it back (`hvae.training.cuda_graph.record`), and full
            batches are played back; None: each is launched op by op. The figures are the same.

    Raises:
        Refused: there are several ranks, and a recording is asked for.
    """

    def __init__(
        self,
        model: VAE,
        lr: float,
        batch_size: int = 100,
        seed: int = 0,
        samples: int = 1,
        kl_weights: Sequence[float] | None = None,
        ranks: Ranks = ALONE,
        record: Record | None = None,
    ) -> None:
        if record is not None and ranks.count > 1:
            raise Refused("--cuda-graph: 'on' is not allowed for several ranks; allowed: off")
        self.model = model
        self.ranks = ranks
        self.batch_size = batch_size
        self.samples = samples
        self.seed = seed
        self.steps = 0
        self.parameters = list(model.parameters())
        self.device = self.parameters[0].device
        self.optimizer = Adam(dict(model.named_parameters()), lr)
        self._one = torch.ones((), device=self.device)
        raw_bias = model.to_posterior.bias
        self._raw_bias = next(i for i, p in enumerate(self.parameters) if p is raw_bias)
        weights = kl_weights or [1.0] * len(model.latent.components)
        self.kl_weights = torch.tensor(weights, device=self.device)
        self._record = record
        self._device_steps: DeviceSteps | None = None

    def optimizer_state(self) -> dict[str, Tensor]:
        """Adam's live tensors by name; a copy into them restores the optimizer."""
        return self.optimizer.state()

    def step(
        self,
        rows: Tensor,
        rng: Tensor,
        kl_weights: Tensor,
        skipped: Tensor,
        of: int | None = None,
    ) -> Trace:
        """One update of the weights.

        Args:
            rows: [R, D], as the data set has them; this rank's part of the batch.
            rng: the stream of this step, from the first of these rows on.
            kl_weights: [n], the weight of every component's KL.
            skipped: scalar; it becomes 1 if the loss or a gradient is not finite.
            of: rows in the whole batch; None where these are all.
        """
        terms = self.model.terms(rows, rng, self.samples)
        value = _part_of_loss(terms, kl_weights, len(rows), of or len(rows))
        value.backward()
        found = [*map(_gradient, self.parameters), value.detach()]
        found = self.ranks.sum(found)
        torch._amp_foreach_non_finite_check_and_unscale_(found, skipped, self._one)
        gradients = found[:-1]
        self.optimizer.update(gradients, skipped)
        trace = trace_of(terms, gradients[self._raw_bias])
        for parameter in self.parameters:
            parameter.grad = None
        return trace

    def epoch(
        self,
        rows: Rows,
        epoch: int,
        warmup_factor: float = 1.0,
        before_step: Callable[[], None] = lambda: None,
    ) -> dict[str, Any]:
        """Every row once, in the epoch's own order.

        Args:
            rows: N of them, as the data set has them.
            epoch: its number, from 1.
            warmup_factor: by which the KL weights of all components are multiplied.
            before_step: called before every step; what it raises ends the epoch.

        Returns:
            `hvae.evaluation.elbo.summary` of the rows, each as its step saw it.

        Raises:
            NotFinite: a step was skipped; the message names epoch, step and component.
        """
        under_way = Epoch(self, rows, epoch, warmup_factor)
        if self._record is not None and len(rows) >= self.batch_size:
            whole = _in_memory(rows)
            under_way.play(self._steps_of(whole, self._record), whole, before_step)
        for inputs in under_way:
            before_step()
            under_way.add(self.step(*inputs))
        return under_way.end()

    def _steps_of(self, rows: Tensor, record: Record) -> DeviceSteps:
        """The recording for these rows: that of the epoch before where it fits them."""
        if self._device_steps is None or not self._device_steps.takes(rows):
            state = [*self.model.state_dict().values(), *self.optimizer_state().values()]
            self._device_steps = DeviceSteps(
                self.step, record, rows, self.batch_size, self.kl_weights, state
            )
        return self._device_steps


class Inputs(NamedTuple):
    """What a step is given, as `Trainer.step` has it."""

    rows: Tensor
    rng: Tensor
    kl_weights: Tensor
    skipped: Tensor
    of: int


class Epoch:
    """An epoch under way: what its steps are given, one after the other, and what they leave.

    Args:
        trainer: whose steps these are; it counts them when the epoch ends.
        rows, number, warmup_factor: as in `Trainer.epoch`.
    """

    def __init__(self, trainer: Trainer, rows: Rows, number: int, warmup_factor: float) -> None:
        self.trainer = trainer
        self.rows = rows
        self.number = number
        self._order = epoch_permutation(len(rows), trainer.seed, number, trainer.device)
        self._batches = self._order.split(trainer.batch_size)
        self._parts = [trainer.ranks.share(len(batch)) for batch in self._batches]
        self._skipped = torch.zeros(len(self._batches), device=trainer.device)
        self._kl_weights = warmup_factor * trainer.kl_weights
        self._traces = Traces()
        self._played = 0

    def play(self, steps: DeviceSteps, rows: Tensor, before_step: Callable[[], None]) -> None:
        """Make the steps of all full batches, which come first, by playing them back.

        Args:
            steps: for these rows, which are those of the epoch.
            rows: on the device.
            before_step: as in `Trainer.epoch`.
        """
        full = len(rows) // self.trainer.batch_size
        first = self._streams([0])[0]
        trace, skipped = steps.run(rows, self._order, first, self._kl_weights, before_step)
        self._skipped[:full] = skipped
        self._traces.add_joined(trace)
        self._played = full

    def __iter__(self) -> Iterator[Inputs]:
        """Of the steps that were not played back."""
        streams = self._streams([part.start for part in self._parts])
        each = zip(self._batches, self._parts, streams, self._skipped.unbind(), strict=True)
        for batch, part, rng, skipped in itertools.islice(each, self._played, None):
            mine = self.rows.index_select(0, batch[part])
            yield Inputs(mine, rng, self._kl_weights, skipped, len(batch))

    def add(self, trace: Trace) -> None:
        """What the step left whose inputs came last."""
        self._traces.add(trace)

    def end(self) -> dict[str, Any]:
        """As `Trainer.epoch`, once all steps were made."""
        self.trainer.steps += len(self._batches)
        whole = self._of_all_ranks(self._traces.whole())
        parts = (whole.log_likelihood, whole.kl, whole.concentration, whole.log_ratio)
        # The one time that the host reads from the device.
        read = torch.cat([self._skipped.amax()[None].double(), means(*parts)]).tolist()
        if read[0]:
            self._raise(whole)
        return figures(read[1:], whole.kl.shape[1], whole.log_ratio is not None)

    def _of_all_ranks(self, trace: Trace) -> Trace:
        """The trace of all rows of the epoch, in their order; raw_gradient is of all already."""
        starts = range(0, len(self.rows), self.trainer.batch_size)
        mine = [
            torch.arange(first + part.start, first + part.stop)
            for first, part in zip(starts, self._parts, strict=True)
        ]
        places = torch.cat(mine).to(self.trainer.device)

        def whole(part: Tensor) -> Tensor:
            return self.trainer.ranks.whole(part, places, len(self.rows))

        return Trace(
            whole(trace.log_likelihood),
            whole(trace.kl),
            whole(trace.concentration),
            whole(trace.raw),
            trace.raw_gradient,
            None if trace.log_ratio is None else whole(trace.log_ratio),
        )

    def _streams(self, rows: Sequence[int]) -> tuple[Tensor, ...]:
        """The streams of the steps, from these rows on.

        Their step is the step's number, counted from 0.
        """
        steps = self.trainer.steps
        table = random.stream(self.trainer.seed, "train").repeat(len(rows), 1)
        table[:, 1] = torch.arange(steps, steps + len(rows))
        table[:, 2] = torch.tensor(rows)
        return table.to(self.trainer.device).unbind()

    def _raise(self, whole: Trace) -> NoReturn:
        """NotFinite for the first step that was skipped."""
        bad = int(self._skipped.nonzero()[0])
        size = self.trainer.batch_size
        rows = slice(bad * size, (bad + 1) * size)
        component = first_bad_component(
            self.trainer.model.latent,
            whole.log_likelihood[rows],
            whole.kl[rows],
            whole.raw[rows],
            whole.raw_gradient[bad],
        )
        step = self.trainer.steps - len(self._skipped) + bad
        raise NotFinite(self.number, step, component, "the loss or a gradient")


def _in_memory(rows: Rows) -> Tensor:
    if isinstance(rows, Tensor):
        return rows
    raise Refused(
        "--cuda-graph: 'on' is not allowed for rows that are read from a file batch by batch; "
        "allowed: off"
    )


def trace_of(terms: Terms, raw_gradient: Tensor) -> Trace:
    """What a step leaves of these terms."""
    return Trace(
        _over_samples(terms.log_likelihood),
        terms.kl.detach(),
        terms.posterior.concentration.detach(),
        terms.posterior.raw.detach(),
        raw_gradient,
        None if terms.log_ratio is None else _over_samples(terms.log_ratio),
    )


def _part_of_loss(terms: Terms, kl_weights: Tensor, rows: int, of: int) -> Tensor:
    """What some of the rows of a batch add to its loss, which is a mean over all of them."""
    if rows == of:
        return loss(terms, kl_weights)
    if rows == 0:
        return terms.log_likelihood.sum()  # 0, and so are its gradients
    return loss(terms, kl_weights) * (rows / of)


def _gradient(parameter: Tensor) -> Tensor:
    """That of the backward pass, which a parameter without a part in the loss has none of."""
    return torch.zeros_like(parameter) if parameter.grad is None else parameter.grad


def _over_samples(values: Tensor) -> Tensor:
    """The mean [R] over samples of values [K, R], without gradients."""
    values = values.detach()
    return values[0] if len(values) == 1 else values.mean(0)


def epoch_permutation(
    rows: int, seed: int, epoch: int, device: torch.device | str = "cpu"
) -> Tensor:
    """int64 [rows], the order of the rows in an epoch: that of uniform numbers, ties as they are.

    Row i has the number of row i of the stream (seed, "shuffle", step=epoch).
    """
    rng = random.stream(seed, "shuffle", step=epoch, device=device)
    return ops.uniform(rng, 1, rows, 1, dtype=torch.float64).flatten().argsort(stable=True)
