"""Which library multiplies matrices on this machine: measured once, kept in the user's cache.

What was found for a processor, a version of torch and a number of threads holds for every later
run, so that the same settings give the same numbers, bit for bit, on one machine.
"""

import contextlib
import itertools
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import platformdirs
import torch

from hvae import files
from hvae.devices import processor
from hvae.errors import EnvironmentProblem, Refused
from hvae.model.likelihoods import AUTO
from hvae.ops import available_products, linear
from hvae.runs.config import TrainConfig

SIZES = (100, 784, 256)  # rows, inputs and outputs of the largest layer of the paper's network
_GAIN = 1.15  # at least, for another library than torch's own choice
_ROUNDS = 12

_found: dict[str, str] = {}  # in this process, where the cache cannot be written


def with_products(config: TrainConfig) -> TrainConfig:
    """The settings with the library that multiplies, in place of "auto"."""
    if config.products != AUTO:
        return config
    return replace(config, products=chosen_products(config.device))


def chosen_products(device: str) -> str:
    """One of `hvae.ops.PRODUCTS` for a device and torch's present number of threads."""
    if torch.device(device).type != "cpu" or len(available_products()) == 1:
        return "torch"
    case = f"{processor()}; torch {torch.__version__}; threads {torch.get_num_threads()}"
    if case not in _found:
        _found[case] = _kept().get(case) or _keep(case, fastest(times()))
    return _found[case]


def cache_file() -> Path:
    """Where what was found is kept; it need not exist."""
    return platformdirs.user_cache_path("hvae", appauthor=False) / "products.json"


def fastest(seconds: dict[str, float]) -> str:
    """The name with the least seconds; torch's own unless that gains `_GAIN`."""
    best = min(seconds, key=seconds.__getitem__)
    return best if seconds["torch"] >= _GAIN * seconds[best] else "torch"


def times(sizes: Sequence[int] = SIZES, rounds: int = _ROUNDS) -> dict[str, float]:
    """Seconds of a layer's product and its two derivatives, by library.

    They take turns, and the shortest of the rounds counts, so that what else the machine does has
    little part in it. It takes a tenth of a second.
    """
    layers = {name: _layer(name, sizes) for name in available_products()}
    seconds: dict[str, list[float]] = {name: [] for name in layers}
    for _, (name, layer) in itertools.product(range(rounds), layers.items()):
        began = time.perf_counter()
        layer()
        seconds[name].append(time.perf_counter() - began)
    return {name: min(values) for name, values in seconds.items()}


def _layer(name: str, sizes: Sequence[int]) -> Callable[[], object]:
    rows, inputs, outputs = sizes
    generator = torch.Generator().manual_seed(0)
    x, weight, grad = (
        torch.randn(shape, generator=generator)
        for shape in ((rows, inputs), (outputs, inputs), (rows, outputs))
    )
    x, weight = x.requires_grad_(), weight.requires_grad_()

    def forward_and_backward() -> None:
        torch.autograd.grad(linear(x, weight, None, name), (x, weight), grad)

    return torch.enable_grad()(forward_and_backward)


def _kept() -> dict[str, Any]:
    """What the cache says; a cache that is missing or damaged says nothing."""
    try:
        kept = files.read_json(cache_file())
    except (Refused, EnvironmentProblem):
        return {}
    return {case: name for case, name in kept.items() if name in available_products()}


def _keep(case: str, name: str) -> str:
    """Put it into the cache, unless another process was quicker; what is there now."""
    kept = {case: name, **_kept()}
    path = cache_file()
    with contextlib.suppress(EnvironmentProblem), files.writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        files.write_json(path, kept)
    return str(kept[case])
