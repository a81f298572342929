"""The sections of `hvae bench`, in the order in which they run; a file each."""

from collections.abc import Callable
from typing import Any

import torch

from ..harness import suite
from ..harness.figures import Figure
from ..harness.settings import Settings
from . import (
    bandwidth,
    checkpoints,
    draws,
    evaluation,
    instruction_floors,
    learned_prior,
    many_shells,
    recorded_step,
    special_functions,
    torch_special,
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
ON_A_GPU: tuple[suite.Section, ...] = (torch_special, instruction_floors, recorded_step)


def sections_on(device: torch.device) -> tuple[suite.Section, ...]:
    """Those that a run on the device measures."""
    return (*SECTIONS, *ON_A_GPU) if device.type == "cuda" else SECTIONS


def run(
    settings: Settings, progress: Callable[[str], None] = lambda name: None
) -> tuple[list[Figure], dict[str, Any]]:
    """All of them: `hvae.benchmarks.harness.suite.run`."""
    return suite.run(sections_on(settings.device), settings, progress)
