"""The command line in processes of their own, and what a run has left behind."""

import itertools
import json
import multiprocessing
import os
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from hvae import files
from hvae.runs.checkpoints import Checkpoints
from hvae.runs.folder import BEST, CONFIG, METRICS, RESULT

# Forked from a process that has imported all of it: a tenth of a second each, and not two.
_FORKS = multiprocessing.get_context("forkserver")
_FORKS.set_forkserver_preload(
    ["hvae.cli.train", "hvae.cli.eval", "sklearn.datasets", "torch._dynamo"]
)

LIMIT = 60  # seconds; a command of these tests takes a few at most

_NUMBERS = itertools.count()
_STARTED = []


class Command:
    """`hvae ARGUMENTS` as a process that has been started in the folder `cwd`.

    It has the environment of the caller, or another. What it says goes to files in `said`, else in
    `cwd`. With `die`, the name of a function of `os` and a number, SIGKILL ends it in place of that
    call.
    """

    def __init__(self, *arguments, cwd, said=None, die=None, env=None):
        number = next(_NUMBERS)
        self.paths = [(said or cwd) / f"{number}.{stream}" for stream in ("stdout", "stderr")]
        self.process = _FORKS.Process(
            target=_run,
            args=([str(word) for word in arguments], cwd, self.paths, dict(env or os.environ), die),
            daemon=True,
        )
        self.process.start()
        _STARTED.append(self)

    def wait(self, seconds=LIMIT):
        """The exit status, negative for a signal that killed it; None if it still runs."""
        self.process.join(seconds)
        return self.process.exitcode

    def signal(self, number):
        os.kill(self.process.pid, number)

    def end(self):
        """Kill it, if it still runs."""
        self.process.kill()
        self.process.join()

    @property
    def stdout(self):
        return self.paths[0].read_text()

    @property
    def stderr(self):
        return self.paths[1].read_text() if self.paths[1].exists() else ""


def end_all():
    """End every command that still runs."""
    while _STARTED:
        _STARTED.pop().end()


def _run(arguments, cwd, paths, environment, die):
    from hvae.cli import main

    os.environ.clear()
    os.environ.update(environment)
    os.chdir(cwd)
    for handle, path in enumerate(paths, start=1):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), handle)
    sys.stdout, sys.stderr = (open(handle, "w", closefd=False) for handle in (1, 2))  # noqa: SIM115
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if die is not None:
        _die_at(*die)
    status = main(arguments)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def _die_at(name, number):
    original, calls = getattr(os, name), itertools.count(1)

    def call(*arguments, **options):
        if next(calls) == number:
            os.kill(os.getpid(), signal.SIGKILL)
        return original(*arguments, **options)

    setattr(os, name, call)


SHORT = ["--epochs", "2", "--warmup", "1", "--hidden", "24,16", "--shells", "3,e2"]
WHOLE = [sys.executable, "-c", "import sys; from hvae.cli import main; sys.exit(main())"]


def hvae(*arguments, cwd, env=None):
    """`hvae ARGUMENTS` as a process, to its end; what it says as text."""
    if arguments and arguments[0] in ("train", "eval"):
        arguments = (*arguments, "--threads", "1")
    with tempfile.TemporaryDirectory() as said:
        command = Command(*arguments, cwd=cwd, said=Path(said), env=env)
        status = command.wait(150)
        return subprocess.CompletedProcess(arguments, status, command.stdout, command.stderr)


def shell(script, cwd):
    """A shell that runs a script in which `hvae` is that command."""
    function = f'hvae() {{ {shlex.join(WHOLE)} "$@"; }}'
    return subprocess.run(
        ["sh", "-c", f"{function}\n{script}"],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=150,
    )


def until(true, seconds=LIMIT):
    """Wait until `true()`."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it did not come about"
        time.sleep(0.002)


def timeless(document):
    """A document without its times and what depends on them."""
    gone = ("seconds", "finished", "metrics")
    return {key: value for key, value in document.items() if key not in gone}


def lines(run):
    """The lines of metrics.jsonl, without their times."""
    return [timeless(json.loads(line)) for line in (run / METRICS).read_text().splitlines()]


def tree(folder):
    """Everything below a folder: the bytes of every file by its path, None of a folder."""
    return {
        path: path.read_bytes() if path.is_file() else None for path in sorted(folder.rglob("*"))
    }


def outcome(run, **settings):
    """Everything that a run has left, as bytes by name, times apart.

    settings: values of the configuration in place of the run's own.
    """
    checkpoint = Checkpoints(run).paths()[0]
    tensors, state = files.read_packed(checkpoint)
    state["config"] |= settings
    documents = {
        CONFIG: {**files.read_json(run / CONFIG), **settings},
        "metrics": lines(run),
        "result": timeless(files.read_json(run / RESULT)),
        "checkpoint": [checkpoint.name, timeless(state)],
    }
    return {
        **{name: json.dumps(document).encode() for name, document in documents.items()},
        **{name: tensor.numpy().tobytes() for name, tensor in tensors.items()},
        BEST: (run / BEST).read_bytes(),
    }


def one_line(stderr):
    """The message of an error that is one line on stderr, as it must be."""
    assert stderr.startswith("hvae: error: ") and stderr.endswith("\n") and stderr.count("\n") == 1
    return stderr[len("hvae: error: ") :]
