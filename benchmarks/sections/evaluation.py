"""Importance-weighted evaluation against the decoder alone on as many latent points."""

from typing import Any

import torch

from hvae.evaluation.importance import evaluate

from ..harness.figures import Case, Figure, Timed
from ..harness.settings import Settings
from ..harness.timing import Subject, interleave
from ..harness.workload import PIXELS, images, latent_points, network

NAME = "evaluation"

COST = {"10,10,10,11": 1.4, "s41": 1.5}
SAMPLES = 500
SECONDS = 30.0
# Points that the decoder takes at once, where it is fastest: what a cache holds, what fills a GPU.
CHUNK = {"cpu": 2048, "cuda": 1 << 16}


def sizes(settings: Settings) -> dict[str, Any]:
    return {
        "images": _images(settings),
        "samples": SAMPLES,
        "pixels": PIXELS,
        "decoder_chunk": CHUNK[settings.device.type],
        "threads": settings.threads,
    }


def measure(settings: Settings) -> list[Figure]:
    return [_shells(settings, shells) for shells in COST]


@torch.inference_mode()
def _shells(settings: Settings, shells: str) -> Figure:
    model = network(shells, settings.device)
    rows = images(_images(settings), settings.device)
    count = len(rows) * SAMPLES
    chunks = latent_points(model, count).split(CHUNK[settings.device.type])

    def decode() -> None:
        for z in chunks:
            model.decoder(z)

    whole = Subject(lambda: evaluate(model, rows, SAMPLES, seed=0), settings.clock)
    decoder = Subject(decode, settings.clock)
    times = interleave([whole, decoder], settings.plan(SECONDS))
    case = Case(NAME, f"{shells}, {SAMPLES} samples", "us/point", 1e6 / count)
    target = settings.target("at_most", COST[shells])
    return case.cost(Timed("evaluate", times[0]), Timed("decoder alone", times[1]), target)


def _images(settings: Settings) -> int:
    return 50 if settings.quick else 200
