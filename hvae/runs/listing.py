"""What the runs of a folder are, and what one run is."""

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from torch import nn

from hvae import files
from hvae.errors import EnvironmentProblem, HvaeError, Refused
from hvae.runs import lock
from hvae.runs.checks import is_count, is_number, is_text
from hvae.runs.config import TrainConfig
from hvae.runs.folder import BEST, CONFIG, HOME, METRICS, RESULT
from hvae.runs.metrics import read_metrics
from hvae.runs.outcome import read_config, read_result
from hvae.runs.trained import load_run

COMPLETED, CUT_SHORT = "completed", "cut short"
TRAINING, DIVERGED, DAMAGED = "training", "diverged", "damaged"

_PARTS = (CONFIG, METRICS, BEST, RESULT)  # a folder with one of them is that of a run
_EVALUATION: dict[str, Callable[[object], bool]] = {
    "split": is_text,
    "ll": is_number,
    "iw_samples": is_count,
    "seed": is_count,
}


@dataclass(frozen=True)
class Progress:
    """How far a run is.

    Attributes:
        state: `COMPLETED`, `CUT_SHORT` (`hvae.resume` goes on with it), `TRAINING` (a process is at
            work) or `DIVERGED`.
        epochs: that have ended.
        best_epoch: None as long as there is none.
        validation_elbo: nats, that of the best epoch.
    """

    state: str
    epochs: int
    best_epoch: int | None
    validation_elbo: float | None


@dataclass(frozen=True)
class Listed:
    """A run in a list; None is what is not there, or not known of a damaged run.

    Attributes:
        name: of its folder.
        data, shells: of its settings.
        most_epochs: `--epochs`.
        state, epochs, best_epoch, validation_elbo: as in `Progress`, or the state `DAMAGED`.
        ll: nats, of the test split with the most importance samples that were taken.
        damage: what is wrong, in one line.
    """

    name: str
    state: str
    data: str | None = None
    shells: str | None = None
    epochs: int | None = None
    most_epochs: int | None = None
    best_epoch: int | None = None
    validation_elbo: float | None = None
    ll: float | None = None
    damage: str | None = None

    def to_json(self) -> dict[str, Any]:
        """As a JSON object."""
        return asdict(self)


def list_runs(home: str | os.PathLike[str] = HOME) -> list[Listed]:
    """The runs in the folders below `home`, by name.

    A run that is damaged is listed with what is wrong; a folder that has nothing of a run is left
    out.

    Raises:
        Refused: `home` is not a folder.
        EnvironmentProblem: it cannot be read.
    """
    place = Path(home)
    if not place.is_dir():
        raise Refused(f"{place} is not a folder; allowed: the folder in which the runs are")
    try:
        folders = sorted(path for path in place.iterdir() if path.is_dir())
        there = [path for path in folders if any((path / part).exists() for part in _PARTS)]
    except OSError as error:
        raise EnvironmentProblem(f"{place} cannot be read: {error.strerror or error}") from error
    return [_listed(path) for path in there]


def describe_run(folder: str | os.PathLike[str]) -> dict[str, Any]:
    """What a run is, as a JSON object.

    Returns:
        "run", "state", "epochs", "best_epoch", "validation_elbo" (`Progress`), "config" (every
        setting), "data" (`hvae.description`) and "parameters" (by part of the model, and "total"),
        both None as long as there is no best epoch, "result" (result.json or None) and
        "evaluations" (the documents of its eval-*.json, or {"file", "damage"}).

    Raises:
        Refused: not the folder of a run, or damaged files.
        EnvironmentProblem: a file cannot be read.
    """
    path = Path(folder)
    config = read_config(path)
    progress = _progress(path)
    model = load_run(path).model if (path / BEST).exists() else None
    return {
        "run": path.resolve().name,
        **asdict(progress),
        "config": config.to_json(),
        "data": None if model is None else model.likelihood.data.to_json(),
        "parameters": None if model is None else _parameters(model),
        "result": read_result(path) if (path / RESULT).exists() else None,
        "evaluations": list(_evaluations(path)),
    }


def _listed(path: Path) -> Listed:
    try:
        config = read_config(path)
    except HvaeError as error:
        return Listed(path.name, DAMAGED, damage=str(error))
    run = Listed(path.name, DAMAGED, _data(config), config.shells, most_epochs=config.epochs)
    try:
        progress = _progress(path)
    except HvaeError as error:
        return replace(run, damage=str(error))
    evaluations = list(_evaluations(path))
    damage = next((found["damage"] for found in evaluations if "damage" in found), None)
    return replace(run, **asdict(progress), ll=_log_likelihood(evaluations), damage=damage)


def _data(config: TrainConfig) -> str:
    return config.dataset


def _progress(path: Path) -> Progress:
    if (path / RESULT).exists():
        result = read_result(path)
        best, validation = result.get("best_epoch"), result.get("validation")
        elbo = validation.get("elbo") if isinstance(validation, dict) else None
        state = COMPLETED if result["completed"] else DIVERGED
        epochs = result.get("epochs")
    else:
        state = TRAINING if lock.is_owned(path) else CUT_SHORT
        lines = read_metrics(path / METRICS)
        best = files.read_packed(path / BEST)[1].get("epoch") if (path / BEST).exists() else None
        elbo, epochs = None, len(lines)
        if is_count(best) and 0 < best <= epochs:
            elbo = lines[best - 1]["validation"]["elbo"]
    return Progress(
        state,
        epochs if is_count(epochs) else 0,
        best if is_count(best) and best else None,
        elbo if is_number(elbo) else None,
    )


def _evaluations(path: Path) -> Iterator[dict[str, Any]]:
    """The documents of the evaluations of a run, or what is wrong with one."""
    for file in sorted(path.glob("eval-*.json")):
        try:
            document = files.read_json(file)
        except HvaeError as error:
            yield {"file": file.name, "damage": str(error)}
            continue
        if all(accepts(document.get(name)) for name, accepts in _EVALUATION.items()):
            yield document
        else:
            yield {"file": file.name, "damage": f"{file} is damaged: it is not an evaluation"}


def _log_likelihood(evaluations: Sequence[dict[str, Any]]) -> float | None:
    """Of the test split with the most samples; of several as many, the first."""
    found = {
        document["iw_samples"]: document
        for document in reversed(evaluations)
        if document.get("split") == "test"
    }
    return found[max(found)]["ll"] if found else None


def _parameters(model: nn.Module) -> dict[str, int]:
    """How many trained numbers every part of a model has."""
    counts = {
        name: sum(parameter.numel() for parameter in part.parameters())
        for name, part in model.named_children()
    }
    return {
        **{name: count for name, count in counts.items() if count},
        "total": sum(counts.values()),
    }
