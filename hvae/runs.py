"""The folder of a run: what training leaves there, and how it is read back.

config.json           every setting (`hvae.config.TrainConfig`)
metrics.jsonl         a line an epoch (`hvae.metrics`)
best.safetensors      the weights of the best epoch
last/                 what training goes on from (`hvae.checkpoints`)
result.json           how the run ended; `completed` is false for a run that diverged
eval-SPLIT-SAMPLES-SEED.json
.lock                 which process trains the run (`hvae.lock`)
"""

import contextlib
import os
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from hvae import files, lock, random
from hvae.checkpoints import Checkpoints, is_count, is_figures, is_number
from hvae.config import TrainConfig, available_device
from hvae.errors import EnvironmentProblem, Refused
from hvae.metrics import Metrics
from hvae.model import VAE
from hvae.shells import parse

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
        shells = f"{len(parsed)}shells-m{sum(shell.size for shell in parsed)}"
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
    """Writes the files of a run, each of them whole or not at all.

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
        with files.writing(self.path / lock.LOCK):
            lock.sign(self._owned)
        files.remove_leftovers(self.path, CONFIG, BEST, RESULT)
        files.remove_leftovers(self.checkpoints.folder, "epoch-*")

    def save_best(self, weights: Mapping[str, Tensor], epoch: int) -> None:
        """Replace best.safetensors."""
        files.write_tensors(self.path / BEST, weights, {"epoch": epoch})

    def save_result(self, document: Mapping[str, Any]) -> None:
        """Write result.json, after which the run has ended."""
        files.write_json(self.path / RESULT, document)

    def save_evaluation(self, document: Mapping[str, Any]) -> Path:
        """Write eval-SPLIT-SAMPLES-SEED.json; an earlier one of that name is replaced."""
        name = "eval-{split}-{iw_samples}-{seed}.json".format_map(document)
        files.write_json(self.path / name, document)
        return self.path / name


@dataclass(frozen=True)
class Run:
    """A trained model with the settings and the outcome of its run.

    Attributes:
        path: the folder.
        config: the settings.
        model: the network with the best weights, in evaluation mode.
        result: result.json, or None for a run that has not ended.
    """

    path: Path
    config: TrainConfig
    model: VAE
    result: dict[str, Any] | None

    @torch.inference_mode()
    def encode(self, images: Tensor, samples: int | None = None, seed: int = 0) -> Tensor:
        """Latent points of images.

        Args:
            images: [N, D], pixels 0/1 or probabilities, uint8 or floating point.
            samples: None for the posterior's mode, else how many draws an image.
            seed: of the draws (stream "user").

        Returns:
            [N, m], or [samples, N, m]; the coordinates of a shell are a unit vector.
        """
        head = self.model.encode(images.to(self._device))
        if samples is None:
            return self.model.latent.location(head)
        rng = random.stream(seed, "user", device=head.device)
        return self.model.latent.draw(head, rng, samples).z

    @torch.inference_mode()
    def concentration(self, images: Tensor) -> Tensor:
        """[N, n]: for every image the kappa of a shell, the mean precision of a Gaussian."""
        return self.model.latent.concentration(self.model.encode(images.to(self._device)))

    @torch.inference_mode()
    def decode(self, z: Tensor) -> Tensor:
        """Probabilities [..., D] that a pixel is 1, for latent points [..., m]."""
        return self.model.decode(z.to(self._device)).sigmoid()

    @torch.inference_mode()
    def prior(self, samples: int, seed: int = 0) -> Tensor:
        """Latent points [samples, m] from the prior (stream "prior"); `decode` makes images."""
        rng = random.stream(seed, "prior", device=self._device)
        dtype = self.model.head.weight.dtype
        return self.model.latent.prior(rng, 1, samples, dtype)[0]

    @property
    def _device(self) -> torch.device:
        return self.model.head.weight.device


def load_run(path: str | os.PathLike, device: str = "cpu") -> Run:
    """The best model of a run.

    Args:
        path: the run's folder.
        device: where the model shall be: "cpu", "cuda", "cuda:N".

    Raises:
        Refused: not the folder of a run, one without a best model yet, damaged files, weights of
            another shape, or a device that is not there.
        EnvironmentProblem: a file cannot be read.
    """
    folder = Path(path)
    config = read_config(folder)
    place = available_device(device)
    weights = files.read_tensors(folder / BEST)
    model = _model(config, weights, folder / BEST).to(place)
    ended = (folder / RESULT).exists()
    return Run(folder, config, model.eval(), read_result(folder) if ended else None)


def read_config(folder: Path) -> TrainConfig:
    """The settings of a run.

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
    "data_checksum": lambda value: isinstance(value, str),
}
_DIVERGED: dict[str, Callable[[object], bool]] = {
    "completed": lambda value: value is False,
    "diverged": lambda value: isinstance(value, dict),
    "data_checksum": lambda value: isinstance(value, str),
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


def _model(config: TrainConfig, weights: Mapping[str, Tensor], path: Path) -> VAE:
    """The network of a configuration with these weights; its pixel count is that of the weights."""
    first = weights.get("encoder.0.weight")
    pixels = first.shape[1] if first is not None and first.dim() == 2 else 0
    with torch.device("meta"):
        expected = _shapes(VAE.like(config, pixels).state_dict())
    found = _shapes(weights)
    wrong = sorted(key for key in expected | found if expected.get(key) != found.get(key))
    if wrong:
        key = wrong[0]
        what = f"{key} is {found.get(key, 'absent')}, not {expected.get(key, 'expected')}"
        raise Refused(f"{path} is of another shape: {what}; allowed: weights for {config.shells}")
    if not all(bool(tensor.isfinite().all()) for tensor in weights.values()):
        raise Refused(f"{path} is damaged: a weight is not finite")
    model = VAE.like(config, pixels)
    model.load_state_dict(dict(weights))
    return model


def _shapes(state: Mapping[str, Tensor]) -> dict[str, str]:
    return {
        name: f"{'x'.join(map(str, tensor.shape))} {tensor.dtype}".replace("torch.", "")
        for name, tensor in state.items()
    }
