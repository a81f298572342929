"""A layer of many shells: a draw, its divergence to the uniform distribution, and the gradients.

256 shells S^15 a row, as a spherical tokenizer has them, on one thread: the packed op, and each
family of `hvae.distributions`, against the Power Spherical distribution in plain torch.
"""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.distributions import kl_divergence

from hvae import ops, random
from hvae.distributions import (
    HypersphericalUniform,
    PowerSpherical,
    SphericalCauchy,
    VonMisesFisher,
)

from ..baselines.power_spherical import PowerSpherical as PlainPowerSpherical
from ..harness.figures import Case, Figure, Timed
from ..harness.settings import Settings
from ..harness.timing import Subject, interleave, threads

NAME = "many shells"

ROWS, SHELLS, M = 64, 256, 16
SECONDS = 8.0
LEAST, MOST = 1.0, 100.0  # concentrations

Layer = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]  # -> a draw and its divergence


def sizes(settings: Settings) -> dict[str, Any]:
    return {
        "rows": ROWS,
        "shells": f"{SHELLS} of m = {M}",
        "dtype": "float32",
        "kappa": f"log-uniform in {LEAST:g} .. {MOST:g}",
        "threads": 1,
    }


def measure(settings: Settings) -> list[Figure]:
    with threads(1):
        return _figures(settings)


def _figures(settings: Settings) -> list[Figure]:
    rng = random.stream(0, "user", device=settings.device)
    head = ops.normal(rng, 1, ROWS, SHELLS * M)[0]
    uniform = ops.uniform(rng, 1, ROWS, SHELLS, shell=1)[0]
    kappa = LEAST * torch.exp(uniform * math.log(MOST / LEAST))
    prior = HypersphericalUniform(M, device=settings.device)

    def of(family: Callable[[Tensor, Tensor], Any]) -> Layer:
        def layer(head: Tensor, kappa: Tensor) -> tuple[Tensor, Tensor]:
            loc = torch.nn.functional.normalize(head.unflatten(1, (SHELLS, M)), dim=-1)
            q = family(loc, kappa)
            return q.rsample(), kl_divergence(q, prior)

        return layer

    def packed(head: Tensor, kappa: Tensor) -> tuple[Tensor, Tensor]:
        z, _, _, kl = ops.sample(head, kappa, [M] * SHELLS, rng)
        return z, kl

    def plain(head: Tensor, kappa: Tensor) -> tuple[Tensor, Tensor]:
        loc = torch.nn.functional.normalize(head.unflatten(1, (SHELLS, M)), dim=-1)
        q = PlainPowerSpherical(loc, kappa)
        return q.rsample(), q.kl_uniform()

    layers: dict[str, Layer] = {
        "the packed op": packed,
        "VonMisesFisher": of(lambda loc, k: VonMisesFisher(loc, k, validate_args=False)),
        "PowerSpherical": of(lambda loc, k: PowerSpherical(loc, k, validate_args=False)),
        # 1 - rho of the same width: the variance across loc is about 1/k.
        "SphericalCauchy": of(
            lambda loc, k: SphericalCauchy(loc, (1 - k.rsqrt()).clamp(min=0), validate_args=False)
        ),
        "Power Spherical, plain torch": plain,
    }
    subjects = [_step(layer, head, kappa, settings) for layer in layers.values()]
    times = interleave(subjects, settings.plan(SECONDS))
    case = Case(NAME, f"{ROWS} x {SHELLS}, m = {M}", "ms", 1e3)
    *ours, unit = (Timed(name, seconds) for name, seconds in zip(layers, times, strict=True))
    return [case.cost(subject, unit) for subject in ours]


def _step(layer: Layer, head: Tensor, kappa: Tensor, settings: Settings) -> Subject:
    inputs = head.clone().requires_grad_(), kappa.clone().requires_grad_()

    def work() -> object:
        z, kl = layer(*inputs)
        return torch.autograd.grad((z.sum(), kl.sum()), inputs)

    return Subject(work, settings.clock)
