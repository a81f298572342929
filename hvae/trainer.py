"""The training step and the epoch: updates of the weights, with no value read on the host."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from hvae import evaluation, objective, ops, random
from hvae.errors import Diverged
from hvae.model import VAE

NO_SHELL = "none (the network)"


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
        log_likelihood: [R], the mean over samples; kl: [R, n]; head: [R, heads].
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
        samples: draws of an image in a step; the loss is their mean.
        kl_weights: [n], of every component's KL after the warm-up; None for 1.
    """

    def __init__(
        self,
        model: VAE,
        lr: float,
        batch_size: int = 100,
        seed: int = 0,
        samples: int = 1,
        kl_weights: Sequence[float] | None = None,
    ) -> None:
        self.model = model
        self.batch_size = batch_size
        self.samples = samples
        self.seed = seed
        self.steps = 0
        self.parameters = list(model.parameters())
        self.device = self.parameters[0].device
        self.optimizer = torch.optim.Adam(self.parameters, lr=lr, fused=True)
        self._one = torch.ones((), device=self.device)
        weights = kl_weights or [1.0] * len(model.latent.shells)
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
        terms = self.model.terms(head, images, rng, self.samples)
        loss = objective.loss(terms, weight)
        loss.backward()
        gradients = [parameter.grad for parameter in self.parameters]
        torch._amp_foreach_non_finite_check_and_unscale_(
            [*gradients, loss.detach()], skipped, self._one
        )
        self.optimizer.found_inf = skipped
        self.optimizer.step()
        log_likelihood = terms.log_likelihood.detach()
        trace = Trace(
            log_likelihood[0] if self.samples == 1 else log_likelihood.mean(0),
            terms.kl.detach(),
            head.detach(),
            self.model.head.bias.grad,
        )
        for parameter in self.parameters:
            parameter.grad = None
        return trace

    def epoch(
        self,
        images: Tensor,
        epoch: int,
        weight: float = 1.0,
        between: Callable[[], None] = lambda: None,
    ) -> dict[str, Any]:
        """Every image once, in the epoch's own order.

        Args:
            images: uint8 [N, D] of 0 and 1.
            epoch: its number, from 1.
            weight: of the warm-up, by which the weights of all components are multiplied.
            between: called before every step; what it raises ends the epoch.

        Returns:
            `evaluation.summary` of the images, each as its step saw it.

        Raises:
            Diverged: a step was skipped; the message names epoch, step and shell.
        """
        batches = order(len(images), self.seed, epoch, self.device).split(self.batch_size)
        streams = self._streams(len(batches))
        skipped = torch.zeros(len(batches), device=self.device)
        weights = weight * self.kl_weights
        traces = []
        for rows, rng, skip in zip(batches, streams, skipped.unbind(), strict=True):
            between()
            traces.append(self.step(images.index_select(0, rows), rng, weights, skip))
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
            shell = first_bad_shell(self.model, traces[bad[0]])
            step = self.steps - len(traces) + bad[0]
            raise NotFinite(epoch, step, shell, "the loss or a gradient")


def order(rows: int, seed: int, epoch: int, device: torch.device | str = "cpu") -> Tensor:
    """int64 [rows], the order of the images in an epoch: that of uniform numbers, ties as they are.

    Image i has the number of row i of the stream (seed, "shuffle", step=epoch).
    """
    rng = random.stream(seed, "shuffle", step=epoch, device=device)
    return ops.uniform(rng, 1, rows, 1, dtype=torch.float64).flatten().argsort(stable=True)


def first_bad_shell(model: VAE, trace: Trace) -> str:
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
