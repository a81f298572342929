"""What a run's folder says of its settings and of how it ended, read back and checked."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from hvae import files
from hvae.errors import Refused
from hvae.runs.checks import is_count, is_figures, is_number, is_text
from hvae.runs.config import TrainConfig
from hvae.runs.folder import CONFIG, HOME, RESULT


def read_config(folder: Path) -> TrainConfig:
    """The settings of a run, of this version of hvae or an earlier one.

    Raises:
        Refused: not the folder of a run; or config.json is damaged, has an absent or unknown key,
            or a value that is not allowed.
    """
    if not (folder / CONFIG).exists():
        raise Refused(f"{folder} is not the folder of a run: it has no {CONFIG}")
    try:
        return TrainConfig.from_json(files.read_json(folder / CONFIG))
    except Refused as error:
        raise Refused(f"{folder / CONFIG}: {error}") from error


def read_result(folder: Path) -> dict[str, Any]:
    """How a run ended.

    Raises:
        Refused: result.json is missing or damaged, or lacks what it must say.
    """
    document = files.read_json(folder / RESULT)
    rules = _COMPLETED if document.get("completed") is True else _DIVERGED
    if not all(accepts(document.get(name)) for name, accepts in rules.items()):
        raise Refused(f"{folder / RESULT} is damaged: it is not the result of a run")
    return document


_COMPLETED: dict[str, Callable[[object], bool]] = {
    "best_epoch": is_count,
    "epochs": is_count,
    "validation": is_figures,
    "seconds": is_number,
    "data_checksum": is_text,
}
_DIVERGED: dict[str, Callable[[object], bool]] = {
    "completed": lambda value: value is False,
    "diverged": lambda value: isinstance(value, dict),
    "data_checksum": is_text,
}


def newest_completed(home: Path = HOME) -> Path:
    """The run under `home` that completed last, by the time in its result.json.

    Raises:
        Refused: there is none.
    """
    ended = {}
    for path in home.glob(f"*/{RESULT}"):
        try:
            result = read_result(path.parent)
        except Refused:
            continue
        if result.get("completed") is True:
            ended[path.parent] = (str(result.get("finished")), path.parent.name)
    if not ended:
        raise Refused(f"RUN: no completed run under {home}; allowed: the folder of a run")
    return max(ended, key=ended.__getitem__)
