"""The sections of `hvae bench`, in the order in which they run; a file each."""

from collections.abc import Callable
from typing import Any

from ..harness import suite
from ..harness.figures import Figure
from ..harness.settings import Settings
from . import (
    bandwidth,
    checkpoints,
    draws,
    evaluation,
    learned_prior,
    many_shells,
    special_functions,
    training_step,
)

SECTIONS: tuple[suite.Section, ...] = (
    special_functions,
    draws,
    training_step,
    evaluation,
    learned_prior,
    bandwidth,
    checkpoints,
    many_shells,
)


def run(
    settings: Settings, progress: Callable[[str], None] = lambda name: None
) -> tuple[list[Figure], dict[str, Any]]:
    """All of them: `hvae.benchmarks.harness.suite.run`."""
    return suite.run(SECTIONS, settings, progress)
