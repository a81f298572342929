"""All sections in one run, and their document."""

import time
from collections.abc import Callable
from datetime import datetime, timezone
from typing import Any

import torch

from . import bandwidth, checkpoints, draws, evaluation, special_functions, training_step
from .figures import Figure
from .machine import machine, versions
from .settings import Settings

SECTIONS = (special_functions, draws, training_step, evaluation, bandwidth, checkpoints)


def run(
    settings: Settings, progress: Callable[[str], None] = lambda name: None
) -> tuple[list[Figure], dict[str, Any]]:
    """Measure everything.

    Args:
        settings: how.
        progress: told the name of every section as it begins.

    Returns:
        the figures, and the document (`hvae.benchmarks` names its keys).
    """
    began = time.perf_counter()
    date = datetime.now(timezone.utc).isoformat(timespec="seconds")
    where = machine(settings.device)
    figures = []
    for section in SECTIONS:
        progress(section.NAME)
        figures += section.measure(settings)
    return figures, {
        "quick": settings.quick,
        "device": str(settings.device),
        "threads": settings.threads,
        "tier": torch.ops.hvae.tier(),
        "date": date,
        "machine": where,
        "versions": versions(),
        "sizes": {section.NAME: section.sizes(settings) for section in SECTIONS},
        "figures": [figure.document() for figure in figures],
        "targets": _targets(figures),
        "seconds": time.perf_counter() - began,
    }


def _targets(figures: list[Figure]) -> dict[str, Any]:
    bound = [figure for figure in figures if figure.target is not None]
    missed = [figure.name for figure in bound if not figure.met]
    met = [figure.name for figure in bound if figure.met]
    return {"count": len(bound), "met": met, "missed": missed}
