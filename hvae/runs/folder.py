"""The folder of a run: what training leaves there, each file whole or not at all.

config.json           every setting (`hvae.runs.config`)
metrics.jsonl         a line an epoch (`hvae.runs.metrics`)
best.safetensors      the weights of the best epoch, and what the data are
last/                 what training goes on from (`hvae.runs.checkpoints`)
result.json           how the run ended; `completed` is false for a run that diverged
eval-SPLIT-SAMPLES-SEED.json, eval-SPLIT-SAMPLES-SEED-refineSTEPS.json
.lock                 which process trains the run (`hvae.runs.lock`)
"""

import contextlib
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from hvae import files
from hvae.description import DataDescription
from hvae.errors import EnvironmentProblem, Refused
from hvae.latent import parse
from hvae.runs import lock, schema
from hvae.runs.checkpoints import Checkpoints
from hvae.runs.config import TrainConfig
from hvae.runs.metrics import Metrics

HOME = Path("runs")

CONFIG = "config.json"
METRICS = "metrics.jsonl"
BEST = "best.safetensors"
RESULT = "result.json"


def default_folder(config: TrainConfig) -> Path:
    """A name under ./runs that tells the run from others: data set, shells, seed, time."""
    shells = config.shells
    if len(shells) > 32:
        parsed = parse(shells)
        shells = f"{len(parsed)}shells-m{sum(component.size for component in parsed)}"
    stamp = time.strftime("%Y%m%d-%H%M%S")
    name = f"{config.dataset}-{shells}-seed{config.seed}-{stamp}"
    path, more = HOME / name, 1
    while path.exists():
        more += 1
        path = HOME / f"{name}-{more}"
    return path


def refuse_taken(path: Path) -> None:
    """Refuse a folder that training would spoil.

    Raises:
        Refused: `path` is a file, or a folder that holds anything but what a run leaves that was
            killed before its config.json was there.
        EnvironmentProblem: another process trains in it, or it cannot be looked at.
    """
    try:
        if path.exists() or path.is_symlink():
            lock.refuse_owned(path)
            _refuse_content(path)
    except OSError as error:
        raise EnvironmentProblem(f"{path} cannot be read: {error.strerror or error}") from error


def _refuse_content(path: Path) -> None:
    if not path.is_dir() or any(not _is_bare(entry.name) for entry in path.iterdir()):
        run = (path / CONFIG).exists()
        what = "holds a run" if run else "is not an empty folder"
        more = ", or --resume to go on with it" if run else ""
        raise Refused(f"--out: {path} {what}; allowed: a new or empty folder{more}")


def _is_bare(name: str) -> bool:
    return name == lock.LOCK or (name.startswith(f".{CONFIG}.") and name.endswith(".tmp"))


class RunFolder:
    """Writes the files of a run.

    Raises EnvironmentProblem wherever the disk fails.

    Args:
        path: the folder.
        owned: the handle of its lock, for a process that trains.

    Attributes:
        metrics, checkpoints: writers and readers of these files.
    """

    def __init__(self, path: Path, owned: int | None = None) -> None:
        self.path = path
        self._owned = owned
        self.metrics = Metrics(path / METRICS)
        self.checkpoints = Checkpoints(path)

    @classmethod
    @contextlib.contextmanager
    def create(cls, path: Path, config: TrainConfig) -> Iterator["RunFolder"]:
        """A new folder with its config.json, owned by this process until the block ends."""
        refuse_taken(path)
        with files.writing(path):
            path.mkdir(parents=True, exist_ok=True)
        with lock.owned(path) as handle:
            _refuse_content(path)
            folder = cls(path, handle)
            folder.begin()
            files.write_json(path / CONFIG, config.to_json())
            yield folder

    @classmethod
    @contextlib.contextmanager
    def reopen(cls, path: Path) -> Iterator["RunFolder"]:
        """The folder of a run that has begun, owned by this process until the block ends.

        Nothing in it changes before `begin`.
        """
        with lock.owned(path) as handle:
            yield cls(path, handle)

    def begin(self) -> None:
        """Sign the lock, and sweep up after a process that was killed."""
        if self._owned is not None:
            with files.writing(self.path / lock.LOCK):
                lock.sign(self._owned)
        files.remove_leftovers(self.path, CONFIG, BEST, RESULT)
        files.remove_leftovers(self.checkpoints.folder, "epoch-*")

    def save_best(self, weights: Mapping[str, Tensor], epoch: int, data: DataDescription) -> None:
        """Replace best.safetensors."""
        document = {schema.KEY: schema.CURRENT, "epoch": epoch, "data": data.to_json()}
        files.write_tensors(self.path / BEST, weights, document)

    def save_result(self, document: Mapping[str, Any]) -> None:
        """Write result.json, after which the run has ended."""
        files.write_json(self.path / RESULT, document)

    def save_evaluation(self, document: Mapping[str, Any]) -> Path:
        """Write eval-SPLIT-SAMPLES-SEED.json; an earlier one of that name is replaced.

        With "refined" in the document -refineSTEPS follows in the name.
        """
        steps = document.get("refined", {}).get("steps")
        end = "" if steps is None else f"-refine{steps}"
        name = "eval-{split}-{iw_samples}-{seed}".format_map(document) + f"{end}.json"
        files.write_json(self.path / name, document)
        return self.path / name
