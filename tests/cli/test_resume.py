"""hvae train --resume: runs that are killed, interrupted and shared, as processes."""

import random
import signal
import time
from pathlib import Path

import pytest
import thorough
from processes import Command, outcome, until

from hvae import files
from hvae.runs.checkpoints import Checkpoints
from hvae.runs.folder import BEST, CONFIG

SHORT = ["--epochs", 16, "--warmup", 3, "--hidden", "24,16", "--shells", "3,e2", "--seed", 5]
EACH = ["--checkpoint-every", 0]
ENDLESS = ["--epochs", 100_000, "--warmup", 100_000, "--hidden", "24,16", "--shells", "3,e2"]
KILLS = thorough.count(8, 20)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """An uninterrupted run, and the seconds that it took."""
    home = tmp_path_factory.mktemp("whole")
    assert Command("info", cwd=home).wait() == 0  # what starts the first process does not count
    began = time.monotonic()
    command = Command("train", *SHORT, *EACH, "--out", "run", cwd=home)
    assert command.wait() == 0, command.stderr
    return home / "run", time.monotonic() - began


def go_on(run):
    """Begin the run or go on with it, whatever has happened to it."""
    begun = (run / CONFIG).exists()
    arguments = ["--resume", run.name] if begun else [*SHORT, "--out", run.name]
    return Command("train", *arguments, *EACH, cwd=run.parent)


@pytest.mark.slow
def test_a_run_that_is_killed_at_random_moments_ends_as_one_that_is_not(whole, tmp_path):
    """SIGKILL at moments spread evenly over the time of a whole run, imports and all, or over the
    first half of it from the first epoch on, in turns.

    A run that reaches its end before the last kill is compared, and another takes its place.
    """
    expected, seconds = whole
    moments, kills, resumed = random.Random(4), 0, 0
    run = tmp_path / "run-0"
    while kills < KILLS:
        command = go_on(run)
        if kills % 2:
            until(lambda it=command: "epoch " in it.stderr or not it.process.is_alive())
        status = command.wait(moments.uniform(0, seconds / (1 + kills % 2)))
        if status is None:
            command.process.kill()
            status = command.wait()
        if status == -signal.SIGKILL:
            kills += 1
            resumed += bool(Checkpoints(run).paths())
            continue
        assert status == 0, command.stderr
        assert outcome(run) == outcome(expected)
        run = tmp_path / f"run-{kills}"
    command = go_on(run)
    assert command.wait() == 0, command.stderr
    assert outcome(run) == outcome(expected)
    assert resumed > 0 and not list(run.rglob("*.tmp"))


CALLS = [("replace", n) for n in (1, 2, 4, 5)] + [("fsync", n) for n in (1, 3, 9, 10, 11, 12)]
CALLS += [("unlink", 1)]


@pytest.mark.parametrize("call", CALLS, ids=str)
def test_a_process_that_dies_in_place_of_a_call_of_the_system_goes_on(whole, tmp_path, call):
    """At config.json, the first best weights and checkpoints, and the first that is dropped."""
    run = tmp_path / "run"
    command = Command("train", *SHORT, *EACH, "--out", "run", cwd=tmp_path, die=call)
    assert command.wait() == -signal.SIGKILL
    command = go_on(run)
    assert command.wait() == 0, command.stderr
    assert outcome(run) == outcome(whole[0])
    assert not list(run.rglob("*.tmp"))


class TestSignals:
    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
    def test_the_first_keeps_the_last_epoch_and_says_how_to_go_on(self, whole, tmp_path, number):
        arguments = [*SHORT, "--out", "a run", "--checkpoint-every", 3600]
        command = Command("train", *arguments, cwd=tmp_path)
        until(lambda: command.stderr.count("\n") >= 2)
        command.signal(number)
        assert command.wait() == 128 + number, command.stderr
        *epochs, last = command.stderr.splitlines()
        kept = f"a run/last/epoch-{len(epochs):06d}.safetensors"
        assert last == (
            f"hvae: error: interrupted; {kept} is kept; to go on: hvae train --resume 'a run'"
        )
        assert [path.name for path in Checkpoints(tmp_path / "a run").paths()] == [Path(kept).name]
        again = Command("train", "--resume", "a run", cwd=tmp_path)
        assert again.wait() == 0 and again.stderr.startswith(
            f"continuing after epoch {len(epochs)}"
        )
        assert outcome(tmp_path / "a run", checkpoint_every=0.0) == outcome(whole[0])

    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
    def test_a_second_one_leaves_a_run_that_goes_on(self, whole, tmp_path, number):
        command = Command("train", *SHORT, *EACH, "--out", "run", cwd=tmp_path)
        until(lambda: "epoch 2/" in command.stderr)
        command.signal(number)
        command.signal(number)
        assert command.wait() == 128 + number, command.stderr
        assert command.stderr.splitlines()[-1].endswith("to go on: hvae train --resume run")
        assert Command("train", "--resume", "run", cwd=tmp_path).wait() == 0
        assert outcome(tmp_path / "run") == outcome(whole[0])


class TestEnd:
    def test_a_complete_run_says_so_and_nothing_changes(self, whole, tmp_path):
        run = whole[0]
        before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
        command = Command("train", "--resume", run, cwd=tmp_path)
        assert command.wait() == 0
        assert command.stderr == f"{run} is complete: there is nothing left to train\n"
        assert "best epoch" in command.stdout
        after = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
        assert after == before

    def test_a_diverged_run_says_what_to_change(self, tmp_path):
        command = Command("train", *SHORT, "--lr", "1e25", "--out", "run", cwd=tmp_path)
        assert command.wait() == 3
        again = Command("train", "--resume", "run", cwd=tmp_path)
        assert again.wait() == 3
        [line] = again.stderr.splitlines()
        assert line.startswith("hvae: error: run diverged in epoch 1, step 1, shell ")
        assert "would again" in line and "a smaller --lr than 1e+25" in line


class TestLock:
    @pytest.fixture
    def owner(self, tmp_path):
        """A process that trains tmp_path / "run" until the end of the test."""
        command = Command("train", *ENDLESS, "--out", "run", *EACH, cwd=tmp_path)
        until(lambda: len(Checkpoints(tmp_path / "run").paths()) == 2)
        yield command
        command.end()

    @pytest.mark.parametrize("arguments", [["--resume", "run"], ["--out", "run"]])
    def test_a_second_process_is_told_so(self, owner, tmp_path, arguments):
        (tmp_path / "b").mkdir()
        arguments[1] = tmp_path / arguments[1]
        second = Command("train", *arguments, cwd=tmp_path / "b")
        assert second.wait(20) == 4  # without a lock it would train for ever
        [line] = second.stderr.splitlines()
        assert f"run belongs to process {owner.process.pid}, which is training it" in line

    def test_the_lock_dies_with_its_owner(self, owner, tmp_path):
        owner.signal(signal.SIGKILL)
        owner.wait()
        heir = Command("train", "--resume", "run", cwd=tmp_path)
        until(lambda: "epoch " in heir.stderr.partition("\n")[2])
        heir.signal(signal.SIGTERM)
        assert heir.wait() == 143

    def test_a_run_under_training_can_be_evaluated(self, tmp_path):
        settings = ["--epochs", 100_000, "--warmup", 1, "--lookahead", 100_000, *SHORT[4:]]
        owner = Command("train", *settings, "--out", "run", *EACH, cwd=tmp_path)
        until((tmp_path / "run" / BEST).exists)
        (tmp_path / "b").mkdir()
        arguments = [tmp_path / "run", "--iw-samples", 2, "--threads", 1]
        command = Command("eval", *arguments, cwd=tmp_path / "b")
        assert command.wait() == 0, command.stderr
        assert owner.process.is_alive()
        found = files.read_json(tmp_path / "run" / "eval-test-2-5.json")
        assert found["images"] > 0
