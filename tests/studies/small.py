"""Small studies of the embedded digits, and what they leave."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from processes import outcome

from hvae import files
from hvae.studies.folder import StudyFolder
from hvae.studies.leader import StudyObserver
from hvae.studies.plan import plan

SMALL = {"hidden": (8,), "epochs": 4, "warmup": 2, "batch_size": 400, "checkpoint_every": 0.0}
SHELLS, SEEDS = ("4", "2,e2"), (1, 2)
TYPED = [
    *("--hidden", "8", "--epochs", "4", "--warmup", "2", "--batch-size", "400"),
    *("--checkpoint-every", "0", "--seeds", "1,2", "--iw-samples", "3"),
    *("--shells", "4", "--shells", "2,e2", "--jobs", "2"),
]

_BEGUN = []


def small(shells=SHELLS, seeds=SEEDS, samples=3, varied=None, select=None, **settings):
    """A plan of four runs that take a second each."""
    return plan({**SMALL, **settings}, shells, seeds, varied=varied, select=select, samples=samples)


class Ear(StudyObserver):
    """Notes what a study tells."""

    def __init__(self):
        self.ended, self.failures, self.standings, self.choices = {}, [], [], []

    def standing(self, standing):
        self.standings.append(standing)

    def run_ended(self, name, document, standing):
        self.ended[name] = document
        self.standings.append(standing)

    def run_failed(self, name, failure, again):
        self.failures.append((name, failure.text, again))

    def chosen(self, document):
        self.choices.append(document)


def left(folder):
    """Everything that the runs of a study have left, by name, times apart."""
    study, found = StudyFolder(folder), {}
    for run in study.plan().runs:
        evaluation = study.evaluation(run, study.plan().samples)
        gone = {"seconds"}
        kept = None if evaluation is None else {k: evaluation[k] for k in evaluation.keys() - gone}
        found[run.name] = (outcome(study.run(run.name)), kept)
    return found


def begin(*arguments, cwd):
    """`hvae sweep ARGUMENTS` as a process that leads a group of its own, and heeds SIGINT.

    What a shell begins in the background ignores it, tests too.
    """
    heed = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"
    code = f"{heed}; import sys; from hvae.cli import main; sys.exit(main())"
    process = subprocess.Popen(
        [sys.executable, "-c", code, "sweep", *map(str, arguments)],
        cwd=cwd,
        start_new_session=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    _BEGUN.append(process)
    return process


def end_all():
    """End what a test has begun and not waited for: its failure must leave no process behind."""
    while _BEGUN:
        end(_BEGUN.pop())


def end(process):
    """Kill the whole group, and wait until it has gone."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.communicate()


def owner(run: Path):
    """The process that trains a run, by its lock; None before there is one."""
    text = (run / ".lock").read_text().strip() if (run / ".lock").exists() else ""
    return int(text) if text else None


def epochs(run: Path):
    """How many have ended."""
    path = run / "metrics.jsonl"
    return path.read_bytes().count(b"\n") if path.exists() else 0


def wait(true, seconds=200):
    """Wait until `true()`."""
    limit = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < limit, "it did not come about"
        time.sleep(0.005)


def chosen(folder):
    """chosen.json."""
    return files.read_json(Path(folder) / "chosen.json")
