"""Runs of a study that are trained in one stack."""

import os
import signal

import pytest
from small import Ear, begin, epochs, left, owner, small

from hvae import files
from hvae.cli import main
from hvae.errors import Refused
from hvae.studies import together
from hvae.studies.engines.local import LocalEngine
from hvae.studies.sweep import sweep

# The sums of a stack have another order: float32 training of a few steps keeps four digits.
RELATIVE = 1e-4


def names(found):
    return [[run.name.removeprefix("digits-") for run in batch] for batch in found]


def test_what_fits_into_one_stack():
    """Spaces of one size and any seeds; a setting that decides, or another network, stays apart."""
    runs = small(shells=("4", "5", "2,e2"), seeds=(1, 2)).runs
    assert names(together.batches(runs, 9)) == [
        ["4-seed1", "2,e2-seed1", "4-seed2", "2,e2-seed2"],
        ["5-seed1", "5-seed2"],
    ]
    assert names(together.batches(runs, 3)) == [
        ["4-seed1", "2,e2-seed1", "4-seed2"],
        ["5-seed1", "5-seed2"],
        ["2,e2-seed2"],
    ]
    assert names(together.batches(runs, 1)) == [[run.name[7:]] for run in runs]
    assert len(together.largest(runs)) == 4
    rates = small(shells=("4",), seeds=(1, 2), varied={"lr": ("0.001", "0.01")}).runs
    assert [len(batch) for batch in together.batches(rates, 9)] == [2, 2]
    convolutions = small(shells=("4",), seeds=(1, 2), network="conv").runs
    assert [len(batch) for batch in together.batches(convolutions, 9)] == [1, 1]


@pytest.mark.parametrize("text", ["0", "-1", "1025", "two", "1.5", ""])
@pytest.mark.parametrize("here", [True, False])
def test_what_is_no_number_of_replicas(text, here):
    allowed = "auto, or" if here else r"auto \(--engine local\), or"
    with pytest.raises(Refused, match=rf"--replicas: .*; allowed: {allowed} an integer from 1 to"):
        together.replicas(text, small().runs, here)


def test_how_many_by_default_and_by_measurement(monkeypatch):
    measured = []
    monkeypatch.setattr(together, "best_count", lambda configs: measured.append(configs) or 3)
    runs = small().runs
    assert together.replicas(None, runs, True) == 1
    assert together.replicas("7", runs, True) == together.replicas("7", runs, False) == 7
    assert measured == []
    assert together.replicas("auto", runs, True) == 3
    assert measured == [[run.config for run in runs]]
    on_a_card = small(device="cuda").runs
    assert together.replicas(None, on_a_card, True) == 3
    assert together.replicas(None, on_a_card, False) == 1
    with pytest.raises(Refused, match=r"allowed: auto \(--engine local\)"):
        together.replicas("auto", runs, False)


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    folder = tmp_path_factory.mktemp("studies") / "alone"
    sweep(small(), folder, LocalEngine(2))
    return folder


def figures(folder):
    """LL and ELBO of every run."""
    return {name: (kept["ll"], kept["elbo"]) for name, (_, kept) in left(folder).items()}


def same_figures(one, other):
    assert one.keys() == other.keys()
    for name, pair in one.items():
        assert other[name] == pytest.approx(pair, rel=RELATIVE), name


@pytest.mark.slow
def test_a_study_in_one_stack(alone, tmp_path):
    ear = Ear()
    found = sweep(small(), tmp_path / "study", LocalEngine(2), observer=ear, replicas=4)
    assert (found["completed"], found["failed"], ear.failures) == (4, {}, [])
    same_figures(figures(alone), figures(tmp_path / "study"))
    for name in ear.ended:
        result = files.read_json(tmp_path / "study/runs" / name / "result.json")
        assert result["replicas"] == 4
        log = (tmp_path / "study/logs" / f"{name}.log").read_text()
        assert "4 runs in one stack, of which digits-4-seed1 tells of all" in log
        assert "epoch 4/4  validation ELBO" in log


@pytest.mark.slow
def test_those_that_diverge_are_results(tmp_path):
    ear = Ear()
    study = small(shells=("4",), lr=1e30)
    found = sweep(study, tmp_path / "study", LocalEngine(1), observer=ear, replicas=2)
    assert (found["completed"], found["diverged"], found["failed"]) == (0, 2, {})
    for name, document in ear.ended.items():
        assert document["state"] == "diverged"
        assert "warning: diverged: " in (tmp_path / "study/logs" / f"{name}.log").read_text()


class Killer(Ear):
    """Kills the worker of the stack when an epoch of its first run has ended."""

    def __init__(self, folder):
        super().__init__()
        self.run, self.killed = folder / "runs/digits-4-seed1", False

    def standing(self, standing):
        process = owner(self.run)
        if not self.killed and process is not None and epochs(self.run) > 0:
            os.kill(process, signal.SIGKILL)
            self.killed = True


@pytest.mark.slow
def test_a_stack_whose_worker_is_killed_goes_on(alone, tmp_path, monkeypatch):
    monkeypatch.setattr("hvae.studies.leader._LOOK", 0.0)
    monkeypatch.setattr("hvae.studies.leader._POLL", 0.001)
    killer = Killer(tmp_path / "study")
    found = sweep(small(), tmp_path / "study", LocalEngine(1), observer=killer, replicas=4)
    assert killer.killed and found["completed"] == 4 and found["failed"] == {}
    assert {text for _, text, again in killer.failures if again} == {
        "its process was ended by SIGKILL"
    }
    same_figures(figures(alone), figures(tmp_path / "study"))


@pytest.mark.slow
def test_the_command_and_its_refusals(alone, tmp_path, capfd):
    typed = ["--hidden", "8", "--epochs", "4", "--warmup", "2", "--batch-size", "400"]
    typed += ["--checkpoint-every", "0", "--seeds", "1,2", "--iw-samples", "3"]
    typed += ["--shells", "4", "--shells", "2,e2", "--out", str(tmp_path / "study")]
    assert main(["sweep", *typed, "--replicas", "0"]) == 2
    assert "--replicas: '0' is not allowed; allowed: auto, or" in capfd.readouterr().err
    assert not (tmp_path / "study").exists()
    searching = ["sweep", "--search", "--out", str(tmp_path / "found"), "--replicas", "2"]
    assert main(searching) == 2
    assert "--replicas is not allowed with --search." in capfd.readouterr().err
    assert begin(*typed, "--replicas", "2", cwd=tmp_path).wait(120) == 0
    same_figures(figures(alone), figures(tmp_path / "study"))
    assert main(["sweep", "--resume", str(tmp_path / "study"), "--replicas", "4"]) == 0
