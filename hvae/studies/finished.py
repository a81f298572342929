"""Runs that have ended, found below folders and read with their evaluations."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hvae import files, runs
from hvae.errors import Refused
from hvae.runs import TrainConfig
from hvae.runs.folder import CONFIG, RESULT

FIGURES = ("ll", "elbo", "re", "kl")
ALLOWED = (
    "allowed: folders that hold runs which have ended (config.json, result.json), at any depth"
)


@dataclass(frozen=True)
class FinishedRun:
    """A run that completed or diverged.

    Attributes:
        path: its folder.
        config: its settings.
        result: its result.json.
        evaluations: of the test split, by their number of importance samples; of several with one
            number that of the run's own seed, else that of the smallest seed.
    """

    path: Path
    config: TrainConfig
    result: dict[str, Any]
    evaluations: dict[int, dict[str, Any]]

    @property
    def completed(self) -> bool:
        return self.result["completed"] is True


def find(folders: Iterable[Path], beside: Iterable[Path] = ()) -> list[FinishedRun]:
    """The runs below the folders, each once, by path; runs that have not ended are passed over.

    Args:
        folders: where to look.
        beside: folders of which nothing is taken; where there is one, there need be no run.

    Raises:
        Refused: a folder is missing or no run in it has ended, or a file is damaged.
        EnvironmentProblem: a file cannot be read.
    """
    found: dict[Path, FinishedRun] = {}
    without = [path.resolve() for path in beside]
    for folder in folders:
        for path in _below(folder, without):
            if path.resolve() not in found:
                found[path.resolve()] = read(path)
    return sorted(found.values(), key=lambda run: run.path)


def read(path: Path) -> FinishedRun:
    """The run of a folder.

    Raises:
        Refused: it is not the folder of a run, the run has not ended, or a file is damaged.
        EnvironmentProblem: a file cannot be read.
    """
    config, result = runs.read_config(path), runs.read_result(path)
    evaluations = [evaluation_of(file) for file in path.glob("eval-test-*.json")]
    evaluations.sort(key=lambda one: (one["seed"] != config.seed, one["seed"]), reverse=True)
    return FinishedRun(path, config, result, {one["iw_samples"]: one for one in evaluations})


def _below(folder: Path, without: list[Path]) -> list[Path]:
    if not folder.is_dir():
        raise Refused(f"{folder} is not a folder; {ALLOWED}")
    paths = [config.parent for config in folder.rglob(CONFIG)]
    ended = [path for path in paths if (path / RESULT).exists() and not _is_in(path, without)]
    if not ended and not any(_is_in(path, [folder.resolve()]) for path in without):
        what = "no run in it has ended" if paths else "it holds no run"
        raise Refused(f"{folder}: {what}; {ALLOWED}")
    return ended


def _is_in(path: Path, folders: Iterable[Path]) -> bool:
    place = path.resolve()
    return any(folder == place or folder in place.parents for folder in folders)


def evaluation_of(path: Path) -> dict[str, Any]:
    """The document of an eval-*.json.

    Raises:
        Refused: it is damaged, or none of an evaluation.
        EnvironmentProblem: it cannot be read.
    """
    document = files.read_json(path)
    counts, numbers = ("iw_samples", "seed"), FIGURES
    spread, parts = document.get("ll_stderr"), document.get("kl_per_shell")
    if not (
        all(type(document.get(name)) is int for name in counts)
        and all(_is_number(document.get(name)) for name in numbers)
        and (spread is None or _is_number(spread))
        and isinstance(parts, list)
        and all(map(_is_number, parts))
    ):
        raise Refused(f"{path} is damaged: it is not an evaluation")
    return document


def _is_number(value: object) -> bool:
    return type(value) in (int, float)
