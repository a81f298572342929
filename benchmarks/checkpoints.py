"""What a checkpoint takes, against the training that lies between two at the default interval."""

import itertools
import tempfile
from pathlib import Path
from typing import Any

from hvae import evaluation
from hvae.checkpoints import State
from hvae.metrics import START
from hvae.runs import RunFolder
from hvae.trainer import Trainer
from hvae.training import CHECKPOINT_SECONDS

from .figures import Case, Figure, Timed
from .networks import PIXELS, images, model
from .settings import Settings
from .timing import Subject, interleave, threads, wall

NAME = "checkpoints"

SHELLS = "10,10,10,11"
TRAIN, VALIDATION, BATCH = 4100, 2264, 100  # those of Caltech 101 Silhouettes
COST = 0.02
SECONDS = 20.0


def sizes(settings: Settings) -> dict[str, Any]:
    return {
        "images": [TRAIN, VALIDATION],
        "batch": BATCH,
        "pixels": PIXELS,
        "interval": CHECKPOINT_SECONDS,
        "threads": 1,
    }


def measure(settings: Settings) -> list[Figure]:
    network = model(SHELLS, settings.device)
    trainer = Trainer(network, lr=1e-3, batch_size=BATCH)
    best = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    train, validation = (images(rows, settings.device) for rows in (TRAIN, VALIDATION))
    epochs, saves = itertools.count(1), itertools.count(1)

    def epoch() -> None:
        trainer.epoch(train, next(epochs))
        evaluation.elbo(network, validation, seed=0)

    # Where `hvae train` puts its runs: on the disk of the folder that one works in.
    with tempfile.TemporaryDirectory(prefix=".hvae-bench-", dir=".") as folder, threads(1):
        run = RunFolder(Path(folder))

        def save() -> None:
            number = next(saves)
            run.save_best(best, number)
            weights, optimizer = network.state_dict(), trainer.optimizer_state()
            tensors = {"weights": weights, "best": best, "optimizer": optimizer}
            run.checkpoints.write(_state(number), tensors)

        subjects = [Subject(save, wall), Subject(epoch, wall)]
        saved, trained = interleave(subjects, settings.plan(SECONDS, turn=0.0))
    between = [seconds * max(1, CHECKPOINT_SECONDS // seconds) for seconds in trained]
    case = Case(NAME, f"{SHELLS}, Caltech's size", "ms", 1e3)
    target = settings.target("at_most", COST)
    return [case.cost(Timed("checkpoint", saved), Timed("epochs between two", between), target)]


def _state(epoch: int) -> State:
    return State(
        config={},
        data_checksum="",
        epoch=epoch,
        steps=epoch,
        best_epoch=0,
        best_validation=None,
        metrics=START,
        seconds=0.0,
        warnings=[],
        versions={},
    )
