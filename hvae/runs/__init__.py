"""Runs: their settings, their folders, and the trained models in them."""

from hvae.runs.config import TrainConfig
from hvae.runs.folder import RunFolder, default_folder, refuse_taken
from hvae.runs.outcome import newest_completed, read_config, read_result
from hvae.runs.trained import Run, load_run

__all__ = [
    "Run",
    "RunFolder",
    "TrainConfig",
    "default_folder",
    "load_run",
    "newest_completed",
    "read_config",
    "read_result",
    "refuse_taken",
]
