"""Checkpoints: all that a run needs to go on from the end of an epoch, in one file.

last/epoch-000012.safetensors holds the tensors "weights/NAME", "best/NAME" and
"optimizer/NAME", and the `State` as its JSON document. The random streams and the order of the data
are functions of the seed, the epoch and the step, so that they need no more than these numbers.
The two newest are kept; one is dropped only when the next has been read back from the disk.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from hvae import files
from hvae.errors import EnvironmentProblem, Refused
from hvae.runs import schema
from hvae.runs.checks import is_count, is_figures, is_number, is_text, is_texts, is_versions
from hvae.runs.metrics import Mark

FOLDER = "last"
KEPT = 2

Tensors = Mapping[str, Mapping[str, Tensor]]


@dataclass(frozen=True)
class State:
    """What a checkpoint says beside its tensors.

    Attributes:
        config: the settings, as in config.json of any schema, with no data_dir.
        data_checksum: of the data set.
        epoch: that ended; steps: updates since the beginning.
        best_epoch: 0 until there is one; best_validation: its figures, or None.
        metrics: where metrics.jsonl ended.
        seconds: of work so far.
        warnings: that the result must carry.
        versions: of the process that wrote it.

    Raises:
        Refused: a value is not of its kind.
    """

    config: dict[str, Any]
    data_checksum: str
    epoch: int
    steps: int
    best_epoch: int
    best_validation: dict[str, Any] | None
    metrics: Mark
    seconds: float
    warnings: list[str]
    versions: dict[str, str]

    def __post_init__(self) -> None:
        for name, accepts in _RULES.items():
            if not accepts(getattr(self, name)):
                raise Refused(f"its {name} is not one")
        object.__setattr__(self, "metrics", Mark(*self.metrics))

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> "State":
        """Raises Refused for an absent or unknown key, or a value that is not of its kind."""
        given = {name: value for name, value in document.items() if name != schema.KEY}
        if set(given) != {field.name for field in fields(cls)}:
            raise Refused("it is not the state of a run")
        return cls(**given)

    def to_json(self) -> dict[str, Any]:
        """The JSON object from which `from_json` makes an equal state."""
        return {schema.KEY: schema.CURRENT, **asdict(self)}


class Checkpoints:
    """The checkpoints of a run, newest first.

    Args:
        run: the run's folder.
    """

    def __init__(self, run: Path) -> None:
        self.folder = run / FOLDER

    def paths(self) -> list[Path]:
        """Those that are there, by the epoch in their names, newest first."""
        found = {path: _epoch(path) for path in self.folder.glob("epoch-*.safetensors")}
        named = {path: epoch for path, epoch in found.items() if epoch is not None}
        return sorted(named, key=named.__getitem__, reverse=True)

    def path(self, epoch: int) -> Path:
        """Where that of an epoch is."""
        return self.folder / f"epoch-{epoch:06d}.safetensors"

    def write(self, state: State, tensors: Tensors) -> Path:
        """Put a checkpoint on the disk, read it back, and drop all but it and the one before.

        Raises:
            EnvironmentProblem: the disk fails, or what it gives back is not what it was given; the
                checkpoints before are still there.
        """
        path = self.path(state.epoch)
        with files.writing(self.folder):
            self.folder.mkdir(exist_ok=True)
        files.write_tensors(path, _flat(tensors), state.to_json())
        self._read_back(path)
        older = [other for other in self.paths() if (_epoch(other) or 0) < state.epoch]
        for other in set(self.paths()) - {path, *older[: KEPT - 1]}:
            with files.writing(other):
                other.unlink(missing_ok=True)
        return path

    def read(self, path: Path, like: Tensors) -> tuple[State, Tensors]:
        """A checkpoint, its tensors in the groups, names, shapes and dtypes of `like`.

        Raises:
            Refused: it is damaged, or does not fit; the message names it.
        """
        found, document = files.read_packed(path)
        packed = schema.tensors(found, document)
        try:
            state = State.from_json(document)
        except Refused as error:
            raise Refused(f"{path} is damaged: {error}") from error
        expected = _flat(like)
        if set(packed) != set(expected):
            raise Refused(f"{path} is of another network: its tensors have other names")
        for name, tensor in packed.items():
            if (tensor.shape, tensor.dtype) != (expected[name].shape, expected[name].dtype):
                raise Refused(f"{path} is of another network: {name} has another shape or dtype")
            if not torch.isfinite(tensor).all():
                raise Refused(f"{path} is damaged: {name} is not finite")
        groups = {
            name: {key: packed[f"{name}/{key}"] for key in part} for name, part in like.items()
        }
        return state, groups

    def _read_back(self, path: Path) -> None:
        with files.writing(path):
            files.forget_cached(path)
        try:
            files.read_packed(path)
        except Refused as error:
            path.unlink(missing_ok=True)
            raise EnvironmentProblem(f"the disk gives back other bytes: {error}") from error


def _flat(tensors: Tensors) -> dict[str, Tensor]:
    return {f"{name}/{key}": t for name, part in tensors.items() for key, t in part.items()}


def _epoch(path: Path) -> int | None:
    match = re.fullmatch(r"epoch-(\d{6,9})\.safetensors", path.name, re.ASCII)
    return int(match[1]) if match else None


def _is_mark(value: object) -> bool:
    parts = list(value) if isinstance(value, list | tuple) else []
    return len(parts) == 2 and is_count(parts[0]) and is_text(parts[1])


_RULES: dict[str, Callable[[object], bool]] = {
    "config": lambda value: isinstance(value, dict),
    "data_checksum": is_text,
    "epoch": is_count,
    "steps": is_count,
    "best_epoch": is_count,
    "best_validation": lambda value: value is None or is_figures(value),
    "metrics": _is_mark,
    "seconds": lambda value: is_number(value) and value >= 0,  # type: ignore[operator]
    "warnings": is_texts,
    "versions": is_versions,
}
