"""Initial weights: a function of the seed, whatever was drawn before."""

import contextlib
import math
from collections.abc import Iterator

import torch
from torch import nn

from hvae import ops, random


@contextlib.contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Modules that draw from torch's generator draw, in the block, what the seed says.

    The generator of the CPU is as before when the block ends.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(random.key(seed, "weights") & 0x7FFF_FFFF_FFFF_FFFF)
        yield


@torch.no_grad()
def initialize(module: nn.Module, seed: int) -> None:
    """Weights of every layer of a module, on the CPU.

    Those of linear layers are uniform on +-1/sqrt(fan in), torch's own choice, and so are their
    biases. Linear layer i draws from the stream (seed, "weights", step=i); a row's last number is
    its bias. Any other layer resets itself as torch does, from a generator of that seed.
    """
    layers = [layer for layer in module.modules() if isinstance(layer, nn.Linear)]
    for step, layer in enumerate(layers):
        rng = random.stream(seed, "weights", step=step, device=layer.weight.device)
        shape = (layer.out_features, layer.in_features + 1)
        uniform = ops.uniform(rng, 1, *shape, dtype=layer.weight.dtype)[0]
        drawn = (2 * uniform - 1) / math.sqrt(layer.in_features)
        layer.weight.copy_(drawn[:, :-1])
        if layer.bias is not None:
            layer.bias.copy_(drawn[:, -1])
    with seeded(seed):
        for other in module.modules():
            reset = getattr(other, "reset_parameters", None)
            if callable(reset) and not isinstance(other, nn.Linear):
                reset()
