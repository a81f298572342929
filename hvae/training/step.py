"""The training step and the epoch: updates of the weights, with no value read on the host."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from hvae import ops, random
from hvae.evaluation.elbo import summary
from hvae.model import VAE, Terms, loss
from hvae.ranks import ALONE, Ranks
from hvae.rows import Rows
from hvae.training.adam import Adam
from hvae.training.divergence import NotFinite, first_bad_component

_JOINED = 64  # steps


class Trace(NamedTuple):
    """What a step leaves on the device, to be read at the end of the epoch.

    Attributes:
        log_likelihood: [R], the mean over samples; kl, concentration: [R, n]; raw: [R, raw_width].
        raw_gradient: [raw_width], the gradient of the bias of the layer that gives raw: the sum
            over rows of the gradients that arrive there.
        log_ratio: [R], the mean over samples, as in `hvae.model.Terms`, or None.
    """

    log_likelihood: Tensor
    kl: Tensor
    concentration: Tensor
    raw: Tensor
    raw_gradient: Tensor
    log_ratio: Tensor | None = None


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
    ) -> None:
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
        for inputs in under_way:
            before_step()
            under_way.add(self.step(*inputs))
        return under_way.end()


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
        order = epoch_permutation(len(rows), trainer.seed, number, trainer.device)
        self._batches = order.split(trainer.batch_size)
        self._parts = [trainer.ranks.share(len(batch)) for batch in self._batches]
        self._skipped = torch.zeros(len(self._batches), device=trainer.device)
        self._kl_weights = warmup_factor * trainer.kl_weights
        self._traces = Traces()

    def __iter__(self) -> Iterator[Inputs]:
        streams = self._streams([part.start for part in self._parts])
        each = zip(self._batches, self._parts, streams, self._skipped.unbind(), strict=True)
        for batch, part, rng, skipped in each:
            mine = self.rows.index_select(0, batch[part])
            yield Inputs(mine, rng, self._kl_weights, skipped, len(batch))

    def add(self, trace: Trace) -> None:
        """What the step left whose inputs came last."""
        self._traces.add(trace)

    def end(self) -> dict[str, Any]:
        """As `Trainer.epoch`, once all steps were made."""
        self.trainer.steps += len(self._batches)
        whole = self._of_all_ranks(self._traces.whole())
        self._check(whole)
        return summary(whole.log_likelihood, whole.kl, whole.concentration, whole.log_ratio)

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

    def _check(self, whole: Trace) -> None:
        """Raises NotFinite for the first step that was skipped."""
        bad = self._skipped.nonzero().flatten().tolist()
        if bad:
            size = self.trainer.batch_size
            rows = slice(bad[0] * size, (bad[0] + 1) * size)
            component = first_bad_component(
                self.trainer.model.latent,
                whole.log_likelihood[rows],
                whole.kl[rows],
                whole.raw[rows],
                whole.raw_gradient[bad[0]],
            )
            step = self.trainer.steps - len(self._skipped) + bad[0]
            raise NotFinite(self.number, step, component, "the loss or a gradient")


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
