"""The kernels that move more than they compute, against the bytes a second of a copy."""

from typing import Any

import torch

from hvae import ops

from ..harness.figures import Case, Figure, Timed
from ..harness.settings import Settings
from ..harness.timing import Subject, interleave
from ..harness.workload import PIXELS, concentrations, images

NAME = "bandwidth"

IMAGES = 100
SAMPLES = {"cpu": 50, "cuda": 1000}
DIMS = (10, 10, 10, 11)
ROWS = {"cpu": 100_000, "cuda": 1 << 22}
SECONDS = 6.0


def sizes(settings: Settings) -> dict[str, Any]:
    return {
        "images": IMAGES,
        "samples": SAMPLES[settings.device.type],
        "pixels": PIXELS,
        "kappa": f"{ROWS[settings.device.type]} rows of {len(DIMS)}",
        "threads": settings.threads,
    }


def measure(settings: Settings) -> list[Figure]:
    device, clock = settings.device, settings.clock
    samples = SAMPLES[device.type]
    x = images(IMAGES, device)
    logits = torch.randn(samples, IMAGES, PIXELS, device=device).requires_grad_()
    target = torch.empty_like(logits)
    log_prob = ops.bernoulli_log_prob(logits, x)
    arriving = torch.ones_like(log_prob)
    kappa = concentrations(ROWS[device.type], device).float()[:, None].repeat(1, len(DIMS))
    large, small = logits.nbytes, log_prob.nbytes
    work = {
        "Bernoulli log-likelihood": (
            lambda: ops.bernoulli_log_prob(logits.detach(), x),
            large + small + x.nbytes,
        ),
        "its backward": (
            lambda: torch.autograd.grad(log_prob, logits, arriving, retain_graph=True),
            2 * large + small + x.nbytes,
        ),
        "KL+dKL": (lambda: ops.vmf(kappa, DIMS, "KL"), 3 * kappa.nbytes),
        "copy": (lambda: target.detach().copy_(logits.detach()), 2 * large),
    }
    times = interleave([Subject(call, clock) for call, _ in work.values()], settings.plan(SECONDS))
    timed = [Timed(name, seconds) for name, seconds in zip(work, times, strict=True)]
    moved = [count for _, count in work.values()]
    case = Case(NAME, "float32", "ms", 1e3)
    return [
        case.share(subject, count, timed[-1], moved[-1])
        for subject, count in zip(timed[:-1], moved[:-1], strict=True)
    ]
