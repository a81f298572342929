"""Replicas: trainings that are alike but for seed and latent space, in steps made together.

Weights and optimizer of all replicas lie in tensors with a leading replica axis, of which each
replica's own are views. A step multiplies the matrices of encoder and decoder for all replicas at
once, draws and scores replica by replica, and updates all weights by one call. No replica sees
another: what it computes is what it would alone, up to the order of sums. It knows no file.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from hvae.errors import Refused
from hvae.model import VAE, Terms, loss
from hvae.training.adam import Adam
from hvae.training.device_steps import Trace
from hvae.training.divergence import NotFinite
from hvae.training.protocol import TrainingState
from hvae.training.step import Inputs, trace_of

Outcome = dict[str, Any] | NotFinite


class Stack:
    """Trainings under way, an epoch at a time.

    A replica that has ended, or whose training is not finite, leaves the stack; the others go on.

    Args:
        states: at the end of the same epoch, of networks of the same widths, on the same data.

    Attributes:
        states: those that are still in the stack.

    Raises:
        Refused: they do not fit together, or a network has a layer that cannot be computed for all
            at once; the message says what is allowed.
    """

    def __init__(self, states: Sequence[TrainingState]) -> None:
        refuse_unlike(states)
        self._join(list(states))

    def run_epoch(
        self, before_step: Callable[[], None] = lambda: None
    ) -> Iterator[tuple[TrainingState, Outcome]]:
        """Train and validate one epoch of every replica that is still in the stack.

        Args:
            before_step: as in `TrainingState.run_epoch`.

        Yields:
            each state with its line of metrics, or with why it ended for good; a state whose
            `ended` says so has left the stack when the last one was given.
        """
        epochs = [state.begin_epoch() for state in self.states]
        for inputs in zip(*epochs, strict=True):
            before_step()
            for epoch, trace in zip(epochs, self.step(inputs), strict=True):
                epoch.add(trace)
        staying = []
        for state, epoch in zip(self.states, epochs, strict=True):
            try:
                line = state.end_epoch(epoch)
            except NotFinite as error:
                yield state, error
                continue
            if state.ended is None:
                staying.append(state)
            yield state, line
        if len(staying) < len(self.states):
            self._join(staying)

    def step(self, inputs: Sequence[Inputs]) -> list[Trace]:
        """One update of all replicas, of what `hvae.training.step.Epoch` gives for each."""
        terms = self._terms(inputs)
        each = zip(terms, inputs, strict=True)
        losses = [loss(these, given.kl_weights) for these, given in each]
        torch.stack(losses).sum().backward()
        shared = {name: _taken(weight) for name, weight in self._shared.items()}
        parts = list(zip(*(gradient.unbind() for gradient in shared.values()), strict=True))
        gradients, traces = dict(shared), []
        for r, given in enumerate(inputs):
            own = self._own_gradients(r, shared)
            found = [*parts[r], *own.values(), losses[r].detach()]
            torch._amp_foreach_non_finite_check_and_unscale_(found, given.skipped, self._one)
            traces.append(trace_of(terms[r], own[_RAW_BIAS]))
            gradients |= {_own(r, name): gradient for name, gradient in own.items()}
        self._adam.update([gradients[name] for name in self._adam.weights], self._none)
        return traces

    def _terms(self, inputs: Sequence[Inputs]) -> list[Terms]:
        """The parts of the ELBO of every replica's batch."""
        models = [state.model for state in self.states]
        rows = [given.rows for given in inputs]
        seen = [model.encoder_rows(x) for model, x in zip(models, rows, strict=True)]
        features = self._through("encoder", torch.stack(seen)).unbind()
        posteriors, draws, points = [], [], []
        for model, given, part, x in zip(models, inputs, features, rows, strict=True):
            posterior = model.latent.posterior(model.to_posterior(part))
            draw = posterior.draw(given.rng, self._samples)
            posteriors.append(posterior)
            draws.append(draw)
            points.append(model.decoder_rows(draw.z, model.split(x)[1]))
        decoded = self._through("decoder", torch.stack(points))
        log_likelihoods = self._log_likelihoods(decoded.unflatten(1, (self._samples, -1)), rows)
        each = zip(models, posteriors, draws, log_likelihoods, strict=True)
        return [model.terms_of(posterior, draw, found) for model, posterior, draw, found in each]

    def _log_likelihoods(self, parameters: Tensor, rows: Sequence[Tensor]) -> Sequence[Tensor]:
        """log p(x | z), [K, R] of every replica, of what the decoders give, [replicas, K, R, ...].

        A likelihood without weights and statistics is one function of all rows.
        """
        models = [state.model for state in self.states]
        data = [model.split(x)[0] for model, x in zip(models, rows, strict=True)]
        if not models[0].likelihood.state_dict():
            samples_first = parameters.transpose(0, 1)
            found = models[0].likelihood.log_prob(samples_first.flatten(1, 2), torch.cat(data))
            return found.chunk(len(models), 1)
        each = zip(models, parameters.unbind(), data, strict=True)
        return [model.likelihood.log_prob(part, x) for model, part, x in each]

    def _own_gradients(self, r: int, shared: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Those of what replica r computes by itself; a part in the shared weights is added."""
        for name, parameter in self._encoding[r].items():
            if parameter.grad is not None:  # of a prior that encodes
                shared[name][r] += _taken(parameter)
        return {name: _taken(parameter) for name, parameter in self._alone[r].items()}

    def _through(self, name: str, x: Tensor) -> Tensor:
        """x [replicas, N, inputs] through the encoder or the decoder of every replica."""
        for layer, module in getattr(self.states[0].model, name).named_children():
            if isinstance(module, nn.Linear):
                weight, bias = (self._shared[f"{name}.{layer}.{part}"] for part in _PARTS)
                x = torch.baddbmm(bias[:, None], x, weight.mT)
            else:
                x = module(x)
        return x

    def _join(self, states: list[TrainingState]) -> None:
        """Put the tensors of these into new ones with a replica axis."""
        self.states = states
        if not states:
            return
        first = states[0].trainer
        self._samples = first.samples
        self._one = torch.ones((), device=first.device)
        self._none = torch.zeros((), device=first.device)
        self._shared = {
            name: _stacked([state.trainer.optimizer.weights[name] for state in states])
            for name in _shared_names(states[0].model)
        }
        named = [dict(state.model.named_parameters()) for state in states]
        self._encoding = [{name: each[name] for name in self._shared} for each in named]
        self._alone = [
            {name: parameter for name, parameter in each.items() if name not in self._shared}
            for each in named
        ]
        own = {
            _own(r, name): parameter
            for r, each in enumerate(self._alone)
            for name, parameter in each.items()
        }
        self._adam = Adam({**self._shared, **own}, first.optimizer.lr)
        self._adam.counts.fill_(next(iter(first.optimizer.step.values())))
        for part in ("mean", "square"):
            together = getattr(self._adam, part)
            for name in self._shared:
                parts = [getattr(state.trainer.optimizer, part)[name] for state in states]
                together[name] = torch.stack(parts)
        for r, state in enumerate(states):
            self._point(r, state)

    def _point(self, r: int, state: TrainingState) -> None:
        """Let the tensors of a replica be views of those of all."""
        adam = state.trainer.optimizer
        for name, parameter in state.model.named_parameters():
            joint = name if name in self._shared else _own(r, name)
            adam.step[name] = self._adam.step[joint]
            if name in self._shared:
                parameter.data = self._shared[name].detach()[r]
                adam.weights[name] = parameter.detach()
                adam.mean[name] = self._adam.mean[name][r]
                adam.square[name] = self._adam.square[name][r]
            else:
                self._adam.mean[joint] = adam.mean[name]
                self._adam.square[joint] = adam.square[name]
        state.follow()


_PARTS = ("weight", "bias")
_RAW_BIAS = "to_posterior.bias"
_BY_ELEMENT = (nn.ReLU, nn.GLU)
_ALIKE = ("epochs", "warmup", "lookahead", "batch_size", "lr", "samples")


def _own(r: int, name: str) -> str:
    """The name, among those of all, of what replica r has to itself."""
    return f"{r}/{name}"


def _stacked(tensors: Sequence[Tensor]) -> Tensor:
    return torch.stack(list(tensors)).requires_grad_()


def _taken(leaf: Tensor) -> Tensor:
    """The gradient of a leaf, which has none afterwards."""
    gradient, leaf.grad = leaf.grad, None
    return torch.zeros_like(leaf) if gradient is None else gradient


def _shared_names(model: VAE) -> list[str]:
    """The weights of the linear layers of encoder and decoder."""
    return [
        f"{name}.{layer}.{part}"
        for name in ("encoder", "decoder")
        for layer, module in getattr(model, name).named_children()
        if isinstance(module, nn.Linear)
        for part in _PARTS
    ]


def refuse_unlike(states: Sequence[TrainingState]) -> None:
    """Raises Refused for states that do not fit together in a `Stack`."""
    for state in states:
        _refuse(state, states[0])


def _refuse(state: TrainingState, first: TrainingState) -> None:
    """Raises Refused for a state that does not fit the first one."""
    for name in ("encoder", "decoder"):
        network = getattr(state.model, name)
        known = isinstance(network, nn.Sequential) and all(
            isinstance(layer, (nn.Linear, *_BY_ELEMENT)) for layer in network
        )
        if not known:
            raise Refused(
                f"replicas: the {name} is not made of linear layers, ReLU and gates alone; "
                "allowed: --network mlp or gated, or 1 replica"
            )
    for name in _ALIKE:
        found, wanted = getattr(state.settings, name), getattr(first.settings, name)
        if found != wanted:
            raise Refused(
                f"replicas: {name} is {found} of one and {wanted} of another; allowed: replicas "
                "that differ in seed and latent space"
            )
    one, other = ([*_shapes(each), each.progress.epoch] for each in (state, first))
    if one != other:
        raise Refused(
            "replicas: the networks have other widths, or are at other epochs; allowed: latent "
            "spaces of one size, on the same data, from the same epoch on"
        )


def _shapes(state: TrainingState) -> list[object]:
    weights = dict(state.model.named_parameters())
    shapes: list[object] = [tuple(weights[name].shape) for name in _shared_names(state.model)]
    return [*shapes, len(state.data.train), state.trainer.device]
