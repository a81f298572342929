"""Sections measured in one run, and their document."""

import time
from collections.abc import Callable, Sequence
from datetime import datetime, timezone
from typing import Any, Protocol

import torch

from .figures import Figure
from .machine import machine, versions
from .settings import Settings


class Section(Protocol):
    """One subject of `hvae bench`: a module with these names.

    Attributes:
        NAME: unique; it is the `section` of every figure.
        sizes: of what it measures, JSON.
        measure: its figures.
    """

    NAME: str

    def sizes(self, settings: Settings) -> dict[str, Any]: ...

    def measure(self, settings: Settings) -> list[Figure]: ...


def run(
    sections: Sequence[Section], settings: Settings, progress: Callable[[str], None]
) -> tuple[list[Figure], dict[str, Any]]:
    """Measure one section after the other.

    Args:
        sections: which.
        settings: how.
        progress: told the name of every section as it begins.

    Returns:
        the figures, and the document (`hvae.benchmarks` names its keys).
    """
    began = time.perf_counter()
    date = datetime.now(timezone.utc).isoformat(timespec="seconds")
    where = machine(settings.device)
    figures = []
    for section in sections:
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
        "sizes": {section.NAME: section.sizes(settings) for section in sections},
        "figures": [figure.document() for figure in figures],
        "targets": _targets(figures),
        "seconds": time.perf_counter() - began,
    }


def _targets(figures: Sequence[Figure]) -> dict[str, Any]:
    bound = [figure for figure in figures if figure.target is not None]
    missed = [figure.name for figure in bound if not figure.met]
    met = [figure.name for figure in bound if figure.met]
    return {"count": len(bound), "met": met, "missed": missed}
