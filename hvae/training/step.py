"""The training step and the epoch: updates of the weights, with no value read on the host."""

from collections.abc import Callable, Sequence
from typing import Any, NoReturn

import torch
from torch import Tensor

from hvae import ops, random
from hvae.errors import Refused
from hvae.evaluation.elbo import figures, means
from hvae.model import VAE, loss
from hvae.rows import Rows
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
        record: makes of a step what plays it back (`hvae.training.cuda_graph.record`), and full
            batches are played back; None: each is launched op by op. The figures are the same.
    """

    def __init__(
        self,
        model: VAE,
        lr: float,
        batch_size: int = 100,
        seed: int = 0,
        samples: int = 1,
        kl_weights: Sequence[float] | None = None,
        record: Record | None = None,
    ) -> None:
        self.model = model
        self.batch_size = batch_size
        self.samples = samples
        self.seed = seed
        self.steps = 0
        self.parameters = list(model.parameters())
        self.device = self.parameters[0].device
        self.optimizer = torch.optim.Adam(
            self.parameters, lr=lr, fused=True, capturable=record is not None
        )
        self._one = torch.ones((), device=self.device)
        weights = kl_weights or [1.0] * len(model.latent.components)
        self.kl_weights = torch.tensor(weights, device=self.device)
        self._state = {
            name: {
                "step": torch.zeros((), device=self.device),
                "exp_avg": torch.zeros_like(parameter),
                "exp_avg_sq": torch.zeros_like(parameter),
            }
            for name, parameter in model.named_parameters()
        }
        self.optimizer.state.update(zip(self.parameters, self._state.values(), strict=True))
        self._record = record
        self._device_steps: DeviceSteps | None = None

    def optimizer_state(self) -> dict[str, Tensor]:
        """Adam's live tensors by name; a copy into them restores the optimizer."""
        return {
            f"{name}.{key}": tensor
            for name, state in self._state.items()
            for key, tensor in state.items()
        }

    def step(self, rows: Tensor, rng: Tensor, kl_weights: Tensor, skipped: Tensor) -> Trace:
        """One update of the weights.

        Args:
            rows: [R, D], as the data set has them.
            rng: the stream of this step.
            kl_weights: [n], the weight of every component's KL.
            skipped: scalar; it becomes 1 if the loss or a gradient is not finite.
        """
        terms = self.model.terms(rows, rng, self.samples)
        value = loss(terms, kl_weights)
        value.backward()
        gradients = [p.grad for p in self.parameters if p.grad is not None]
        torch._amp_foreach_non_finite_check_and_unscale_(
            [*gradients, value.detach()], skipped, self._one
        )
        self.optimizer.found_inf = skipped  # type: ignore[attr-defined]
        self.optimizer.step()
        raw_gradient = self.model.to_posterior.bias.grad
        assert raw_gradient is not None
        trace = Trace(
            _over_samples(terms.log_likelihood),
            terms.kl.detach(),
            terms.posterior.concentration.detach(),
            terms.posterior.raw.detach(),
            raw_gradient,
            None if terms.log_ratio is None else _over_samples(terms.log_ratio),
        )
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
        order = epoch_permutation(len(rows), self.seed, epoch, self.device)
        batches = order.split(self.batch_size)
        streams = self._streams(len(batches))
        skipped = torch.zeros(len(batches), device=self.device)
        kl_weights = warmup_factor * self.kl_weights
        traces = Traces()
        full = len(rows) // self.batch_size if self._record is not None else 0
        if full:
            trace, skipped[:full] = self._play(rows, order, streams[0], kl_weights, before_step)
            traces.add_joined(trace)
        rest = zip(batches[full:], streams[full:], skipped.unbind()[full:], strict=True)
        for batch, rng, skip in rest:
            before_step()
            traces.add(self.step(rows.index_select(0, batch), rng, kl_weights, skip))
        self.steps += len(batches)
        whole = traces.whole()
        parts = (whole.log_likelihood, whole.kl, whole.concentration, whole.log_ratio)
        # The one time that the host reads from the device.
        any_skipped, *read = torch.cat([skipped.amax()[None].double(), means(*parts)]).tolist()
        if any_skipped:
            self._raise(whole, skipped, epoch)
        return figures(read, whole.kl.shape[1], whole.log_ratio is not None)

    def _play(
        self,
        rows: Rows,
        order: Tensor,
        rng: Tensor,
        kl_weights: Tensor,
        before_step: Callable[[], None],
    ) -> tuple[Trace, Tensor]:
        """The full batches of an epoch, played back: `DeviceSteps.run`."""
        if not isinstance(rows, Tensor):
            raise Refused(
                "--cuda-graph: 'on' is not allowed for rows that are read from a file batch by "
                "batch; allowed: off"
            )
        assert self._record is not None
        if self._device_steps is None or not self._device_steps.takes(rows):
            state = [*self.model.state_dict().values(), *self.optimizer_state().values()]
            self._device_steps = DeviceSteps(
                self.step, self._record, rows, self.batch_size, self.kl_weights, state
            )
        return self._device_steps.run(rows, order, rng, kl_weights, before_step)

    def _streams(self, count: int) -> tuple[Tensor, ...]:
        """The streams of the next steps: their step is the step's number, counted from 0."""
        table = random.stream(self.seed, "train", device=self.device).repeat(count, 1)
        table[:, 1] = torch.arange(self.steps, self.steps + count, device=self.device)
        return table.unbind()

    def _raise(self, whole: Trace, skipped: Tensor, epoch: int) -> NoReturn:
        """`NotFinite` for the first step that was skipped."""
        bad = int(skipped.nonzero()[0])
        rows = slice(bad * self.batch_size, (bad + 1) * self.batch_size)
        component = first_bad_component(
            self.model.latent,
            whole.log_likelihood[rows],
            whole.kl[rows],
            whole.raw[rows],
            whole.raw_gradient[bad],
        )
        step = self.steps - len(skipped) + bad
        raise NotFinite(epoch, step, component, "the loss or a gradient")


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
