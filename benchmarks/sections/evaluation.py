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
        "images": images_of(settings),
        "samples": SAMPLES,
        "pixels": PIXELS,
        "decoder_chunk": CHUNK[settings.device.type],
        "threads": settings.threads,
    }


def measure(settings: Settings) -> list[Figure]:
    return [against_decoder(NAME, settings, shells, bound) for shells, bound in COST.items()]


@torch.inference_mode()
def against_decoder(
    section: str, settings: Settings, shells: str, bound: float, prior: str = "uniform"
) -> Figure:
    """The importance-weighted evaluation, at most `bound` of the decoder's time."""
    model = network(shells, settings.device, prior)
    rows = images(images_of(settings), settings.device)
    count = len(rows) * SAMPLES
    chunks = latent_points(model, count).split(CHUNK[settings.device.type])

    def decode() -> None:
        for z in chunks:
            model.decoder(z)

    whole = Subject(lambda: evaluate(model, rows, SAMPLES, seed=0), settings.clock)
    decoder = Subject(decode, settings.clock)
    times = interleave([whole, decoder], settings.plan(SECONDS))
    case = Case(section, f"{shells}, {SAMPLES} samples", "us/point", 1e6 / count)
    target = settings.target("at_most", bound)
    return case.cost(Timed("evaluate", times[0]), Timed("decoder alone", times[1]), target)


def images_of(settings: Settings) -> int:
    """How many are evaluated."""
    return 50 if settings.quick else 200
