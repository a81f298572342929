"""A draw a row in float32 on one thread, and its gradient, against what else one can draw with."""

from typing import Any

import torch
from torch import Tensor

from hvae import ops, random, reference

from ..baselines.power_spherical import PowerSpherical
from ..baselines.von_mises_fisher import VonMisesFisher
from ..harness.figures import Case, Figure, Timed
from ..harness.settings import Settings
from ..harness.timing import Subject, interleave, threads
from ..harness.workload import LEAST, MOST, concentrations

NAME = "draws"

DIMS = (2, 11, 41)
ROWS = {"cpu": 20_000, "cuda": 200_000}
SECONDS, SLOW_SECONDS, BACKWARD_SECONDS = 6.0, 4.0, 4.0
COST = {2: 0.6, 11: 0.5, 41: 0.75}


def sizes(settings: Settings) -> dict[str, Any]:
    return {
        "rows": ROWS[settings.device.type],
        "dtype": "float32",
        "kappa": f"log-uniform in {LEAST:g} .. {MOST:g}, one a row",
        "threads": 1,
    }


def measure(settings: Settings) -> list[Figure]:
    with threads(1):
        return [figure for m in DIMS for figure in _dimension(settings, m)]


def _dimension(settings: Settings, m: int) -> list[Figure]:
    rows = ROWS[settings.device.type]
    rng = random.stream(1, "user", device=settings.device)
    head = ops.normal(rng, 1, rows, m)[0]
    kappa = concentrations(rows, settings.device).float()[:, None]
    case = Case(NAME, f"m = {m}", "ns/row", 1e9 / rows)
    return [
        *_forward(settings, case, m, head, kappa, rng),
        *_backward(settings, case, m, head, kappa, rng),
    ]


@torch.no_grad()
def _forward(
    settings: Settings, case: Case, m: int, head: Tensor, kappa: Tensor, rng: Tensor
) -> list[Figure]:
    loc = torch.nn.functional.normalize(head, dim=-1)
    clock = settings.clock
    ours = Subject(lambda: ops.sample(head, kappa, [m], rng), clock)
    power = Subject(lambda: PowerSpherical(loc, kappa[:, 0]).rsample(), clock)
    normal = Subject(lambda: torch.randn(head.shape, device=head.device), clock)
    usual = Subject(lambda: VonMisesFisher(loc, kappa).rsample(), clock)
    plain = Subject(lambda: reference.sample(head, kappa, [m], rng), clock)
    # The slow ones have rounds of their own, so that they do not use up those of the others.
    fast = interleave([ours, power, normal], settings.plan(SECONDS))
    slow = interleave([ours, usual, plain], settings.plan(SLOW_SECONDS))
    draw, again = Timed("draw", fast[0]), Timed("draw", slow[0])
    target = settings.target("at_most", COST[m])
    return [
        case.cost(draw, Timed("Power Spherical", fast[1]), target),
        case.cost(draw, Timed("torch.randn", fast[2])),
        case.speedup(again, Timed("usual vMF", slow[1])),
        case.speedup(again, Timed("plain reference", slow[2])),
    ]


def _backward(
    settings: Settings, case: Case, m: int, head: Tensor, kappa: Tensor, rng: Tensor
) -> list[Figure]:
    head, kappa = head.clone().requires_grad_(), kappa.clone().requires_grad_()
    loc = torch.nn.functional.normalize(head.detach(), dim=-1).requires_grad_()
    scale = kappa.detach()[:, 0].requires_grad_()
    arriving = torch.ones_like(loc)
    implicit, naive = (
        ops.sample(head, kappa, [m], rng, kappa_grad=kind)[0][0] for kind in ops.KAPPA_GRADIENTS
    )
    power = PowerSpherical(loc, scale).rsample()

    def backward(z: Tensor, inputs: tuple[Tensor, Tensor]) -> Subject:
        return Subject(
            lambda: torch.autograd.grad(z, inputs, arriving, retain_graph=True), settings.clock
        )

    work = {
        "backward, implicit": backward(implicit, (head, kappa)),
        "backward, naive": backward(naive, (head, kappa)),
        "Power Spherical backward": backward(power, (loc, scale)),
    }
    times = interleave(list(work.values()), settings.plan(BACKWARD_SECONDS))
    *ours, unit = (Timed(name, seconds) for name, seconds in zip(work, times, strict=True))
    return [case.cost(subject, unit) for subject in ours]
