"""Steps of an epoch whose rows, keys and results advance on the device.

Everything that a step takes and leaves has a place of its own in memory, so that one step can be
recorded and played back for every batch of every epoch (`hvae.training.cuda_graph`).
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor


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


Step = Callable[[Tensor, Tensor, Tensor, Tensor], Trace]  # as `Trainer.step`
Record = Callable[[Callable[[], None], Sequence[Tensor]], Callable[[], None]]


class DeviceSteps:
    """The full batches of an epoch.

    Args:
        step: the training step.
        record: makes of a step what plays it back, as `hvae.training.cuda_graph.record`.
        rows: [N, W], of the data set; their values come with every epoch.
        batch_size: B, at most N.
        kl_weights: [n].
        state: every tensor of the model and of the optimizer that a step changes.
    """

    def __init__(
        self,
        step: Step,
        record: Record,
        rows: Tensor,
        batch_size: int,
        kl_weights: Tensor,
        state: Sequence[Tensor],
    ) -> None:
        self._step = step
        self._record = record
        self._state = list(state)
        self._count = len(rows) // batch_size
        device = rows.device
        self._rows = torch.empty_like(rows)
        self._order = torch.zeros(len(rows), dtype=torch.int64, device=device)
        self._kl_weights = torch.empty_like(kl_weights)
        self._rng = torch.zeros(4, dtype=torch.int64, device=device)
        self._next_step = torch.tensor([0, 1, 0, 0], device=device)
        self._number = torch.zeros(1, dtype=torch.int64, device=device)
        self._skipped = torch.zeros(self._count, device=device)
        self._places = torch.arange(batch_size, device=device)
        self._batch_size = batch_size
        self._trace: Trace | None = None
        self._play: Callable[[], None] | None = None

    def takes(self, rows: Tensor) -> bool:
        """Whether an epoch of these rows fits the places."""
        here = self._rows
        return (rows.shape, rows.dtype, rows.device) == (here.shape, here.dtype, here.device)

    def run(
        self,
        rows: Tensor,
        order: Tensor,
        rng: Tensor,
        kl_weights: Tensor,
        before_step: Callable[[], None],
    ) -> tuple[Trace, Tensor]:
        """The full batches of an epoch.

        Args:
            rows: [N, W]; order: int64 [N], that of the epoch.
            rng: the stream of its first step; the next ones have the steps after it.
            kl_weights: [n].
            before_step: called before every step.

        Returns:
            the trace of their rows, raw_gradient [steps, raw_width], and which steps were skipped
            [steps]. Both are overwritten by the next epoch.
        """
        self._rows.copy_(rows)
        self._order.copy_(order)
        self._rng.copy_(rng)
        self._kl_weights.copy_(kl_weights)
        self._number.zero_()
        if self._play is None:
            self._play = self._record(self._one, [*self._state, self._rng, self._number])
        for _ in range(self._count):
            before_step()
            self._play()
        assert self._trace is not None
        return self._trace, self._skipped

    def _one(self) -> None:
        """The next step: it takes its batch and stream, leaves its trace, and advances."""
        where = self._places + self._number * self._batch_size
        batch = self._rows.index_select(0, self._order.index_select(0, where))
        skipped = torch.zeros_like(self._skipped[0])
        self._keep(self._step(batch, self._rng, self._kl_weights, skipped), where)
        self._skipped.index_copy_(0, self._number, skipped[None])
        self._rng.add_(self._next_step)
        self._number.add_(1)

    def _keep(self, trace: Trace, where: Tensor) -> None:
        """Puts the trace of a batch at its place among those of the epoch."""
        if self._trace is None:
            self._trace = self._places_of(trace)
        for name, kept, part in zip(Trace._fields, self._trace, trace, strict=True):
            if kept is not None and part is not None:
                if name == "raw_gradient":
                    kept.index_copy_(0, self._number, part[None])
                else:
                    kept.index_copy_(0, where, part)

    def _places_of(self, trace: Trace) -> Trace:
        def places(part: Tensor) -> Tensor:
            return part.new_empty(self._count * self._batch_size, *part.shape[1:])

        return Trace(
            places(trace.log_likelihood),
            places(trace.kl),
            places(trace.concentration),
            places(trace.raw),
            trace.raw_gradient.new_empty(self._count, *trace.raw_gradient.shape),
            None if trace.log_ratio is None else places(trace.log_ratio),
        )
