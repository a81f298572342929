"""Makes the run folders beside this file, by the code of the time that they are of.

    PYTHONPATH=CHECKOUT python make.py SCHEMA

CHECKOUT is a built checkout of the commit in `SCHEMAS`. README.md says what is made.
"""

import dataclasses
import hashlib
import json
import multiprocessing
import os
import shutil
import signal
import sys
import tempfile
from pathlib import Path

from hvae import build, files
from hvae.config import TrainConfig
from hvae.evaluation import evaluate_run
from hvae.observer import Observer
from hvae.training import resume, train

HOME = Path(__file__).parent

SHORT = {"shells": "2,3,e2", "hidden": (8,), "warmup": 2}
UNSTEADY = {**SHORT, "lr": 0.1, "batch_size": 20}

# By schema: the last commit that wrote it, the settings of the complete run, those of the run that
# is cut short, and the epoch that its last checkpoint is of.
SCHEMAS = {
    1: (
        "67a9f81",
        {**SHORT, "epochs": 4, "lr": 0.01, "seed": 1},
        {**UNSTEADY, "epochs": 6, "lookahead": 3, "kappa_grad": "naive", "seed": 11},
        5,
    ),
    2: (
        "091ac9b",
        {**SHORT, "epochs": 4, "lr": 0.01, "seed": 1},
        {
            **UNSTEADY,
            "epochs": 9,
            "lookahead": 2,
            "parameterization": "scaled",
            "kl_weights": "1,1.5,0.5",
            "samples": 2,
            "seed": 8,
        },
        5,
    ),
}
IW_SAMPLES = 10


class Killer(Observer):
    """Ends the process when an epoch has its line in metrics.jsonl, but no checkpoint yet."""

    def __init__(self, epoch):
        self.epoch_to_die_in = epoch

    def epoch(self, line, epochs):
        if line["epoch"] == self.epoch_to_die_in:
            os.kill(os.getpid(), signal.SIGKILL)


def complete(folder, settings):
    """A run that has ended, and an evaluation of it."""
    train(TrainConfig(**settings), folder, checkpoint_every=0)
    evaluate_run(folder, samples=IW_SAMPLES)


def cut_short(folder, settings, last):
    """A run that was killed in the epoch after `last`."""
    process = multiprocessing.get_context("spawn").Process(
        target=train,
        args=(TrainConfig(**settings), folder),
        kwargs={"checkpoint_every": 0, "observer": Killer(last + 1)},
    )
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    elbos = [line["validation"]["elbo"] for line in lines]
    assert len(elbos) == last + 1 and elbos[last - 1] < max(elbos)


def expected(folder, commit):
    """What the run is when the code of its time has gone on with it to the end."""
    with tempfile.TemporaryDirectory() as place:
        run = Path(shutil.copytree(folder, Path(place) / "run"))
        resume(run, checkpoint_every=0)
        result = files.read_json(run / "result.json")
        lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
        weights = files.read_tensors(run / "best.safetensors")
    for line in lines:
        del line["seconds"]
    return {
        "commit": commit,
        "instruction_set": build.describe()["instruction_set"],
        "result": {k: v for k, v in result.items() if k not in ("seconds", "finished")},
        "metrics": lines,
        "metrics_sha256": metrics_sha256(lines),
        "weights_sha256": weights_sha256(weights),
    }


def metrics_sha256(lines):
    """SHA-256 of the lines of metrics.jsonl without `seconds`, each ended by a line feed."""
    return hashlib.sha256("".join(json.dumps(x) + "\n" for x in lines).encode()).hexdigest()


def weights_sha256(weights):
    """SHA-256 of tensors by name: name, dtype, shape and bytes of each."""
    digest = hashlib.sha256()
    for name in sorted(weights):
        tensor = weights[name].contiguous()
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.numpy().tobytes())
    return digest.hexdigest()


def main(schema):
    commit, ended, killed, last = SCHEMAS[schema]
    keys = {field.name for field in dataclasses.fields(TrainConfig)}
    assert ("kl_weights" in keys) == (schema == 2), f"this is not the code of schema {schema}"
    home = HOME / f"schema-{schema}"
    shutil.rmtree(home, ignore_errors=True)
    home.mkdir()
    complete(home / "complete", ended)
    cut_short(home / "cut-short", killed, last)
    for lock in home.rglob(".lock"):
        lock.unlink()
    text = json.dumps(expected(home / "cut-short", commit), indent=1)
    (home / "expected.json").write_text(text + "\n")


if __name__ == "__main__":
    main(int(sys.argv[1]))
