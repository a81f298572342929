"""What a checkpoint takes, against the training that lies between two at the default interval."""

import itertools
import tempfile
from pathlib import Path
from typing import Any

from hvae.evaluation.elbo import elbo
from hvae.runs import RunFolder, TrainConfig
from hvae.runs.checkpoints import State
from hvae.runs.metrics import START

from ..harness.figures import Case, Figure, Timed
from ..harness.settings import Settings
from ..harness.timing import Subject, interleave, threads, wall
from ..harness.workload import BATCH, PIXELS, images, network, trainer

NAME = "checkpoints"

SHELLS = "10,10,10,11"
TRAIN, VALIDATION = 4100, 2264  # images of Caltech 101 Silhouettes
COST = 0.02
INTERVAL = TrainConfig().checkpoint_every  # seconds
SECONDS = 20.0


def sizes(settings: Settings) -> dict[str, Any]:
    return {
        "images": [TRAIN, VALIDATION],
        "batch": BATCH,
        "pixels": PIXELS,
        "interval": INTERVAL,
        "threads": 1,
    }


def measure(settings: Settings) -> list[Figure]:
    model = network(SHELLS, settings.device)
    training = trainer(model)
    best = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    train, validation = (images(rows, settings.device) for rows in (TRAIN, VALIDATION))
    epochs, saves = itertools.count(1), itertools.count(1)

    def epoch() -> None:
        training.epoch(train, next(epochs))
        elbo(model, validation, seed=0)

    # Where `hvae train` puts its runs: on the disk of the folder that one works in.
    with tempfile.TemporaryDirectory(prefix=".hvae-bench-", dir=".") as folder, threads(1):
        run = RunFolder(Path(folder))

        def save() -> None:
            number = next(saves)
            run.save_best(best, number, model.likelihood.data)
            weights, optimizer = model.state_dict(), training.optimizer_state()
            tensors = {"weights": weights, "best": best, "optimizer": optimizer}
            run.checkpoints.write(_state(number), tensors)

        subjects = [Subject(save, wall), Subject(epoch, wall)]
        saved, trained = interleave(subjects, settings.plan(SECONDS, turn=0.0))
    between = [seconds * max(1, INTERVAL // seconds) for seconds in trained]
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
