"""A real Slurm of one node: the same study, with a job preempted, killed, or left by its leader."""

import json
import os
import signal
import subprocess
import sys

import pytest
import slurm_node
from small import TYPED, Ear, begin, epochs, left, owner, small, wait

from hvae.errors import EnvironmentProblem, Refused
from hvae.studies.engines.local import LocalEngine
from hvae.studies.sweep import sweep

pytest.importorskip("submitit", reason='submitit is not installed: pip install "hvae[slurm]"')

from hvae.studies.engines.slurm import SlurmEngine, _parameters

WHY_NOT = slurm_node.why_not()
needs_slurm = pytest.mark.skipif(WHY_NOT is not None, reason=str(WHY_NOT))
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def slurm(tmp_path_factory):
    folder = tmp_path_factory.mktemp("slurm")
    with slurm_node.running(folder) as environment, pytest.MonkeyPatch.context() as patch:
        patch.setenv("SLURM_CONF", environment["SLURM_CONF"])
        yield


def longer():
    """A run that takes a few seconds, so that it can be preempted."""
    return small(shells=("4",), seeds=(1,), epochs=300, lookahead=300)


NAME = "digits-4-seed1"


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("local") / "study"
    sweep(longer(), folder, LocalEngine(2))
    return left(folder)


class AtFirstEpoch(Ear):
    """Does something once, when the run has an epoch."""

    def __init__(self, folder, do):
        super().__init__()
        self.run, self.do, self.done = folder / "runs" / NAME, do, False

    def standing(self, standing):
        if not self.done and epochs(self.run):
            self.done = True
            self.do()


def attempts(folder):
    """How often its run was begun or gone on with."""
    return (folder / "logs" / f"{NAME}.log").read_text().count("on Slurm job ")


@needs_slurm
def test_four_jobs_give_the_same_to_the_last_digit(slurm, tmp_path):
    sweep(small(), tmp_path / "local", LocalEngine(2))
    found = sweep(small(), tmp_path / "study", SlurmEngine())
    assert (found["completed"], found["failed"]) == (4, {})
    assert left(tmp_path / "study") == left(tmp_path / "local")


@needs_slurm
def test_a_preempted_job_is_requeued_by_slurm_and_goes_on(slurm, whole, tmp_path):
    """Nobody has to tell: the leader sees one job, which Slurm runs twice."""

    def preempt():
        command = ["sbatch", "--partition=urgent", "--cpus-per-task=2", "--wrap=sleep 1"]
        subprocess.run([*command, f"--output={tmp_path}/urgent"], check=True, cwd=tmp_path)

    ear = AtFirstEpoch(tmp_path / "study", preempt)
    found = sweep(longer(), tmp_path / "study", SlurmEngine(), observer=ear)
    assert ear.done and ear.failures == [] and found["completed"] == 1
    log = (tmp_path / "study/logs" / f"{NAME}.log").read_text()
    assert attempts(tmp_path / "study") == 2 and "interrupted; " in log
    assert "continuing after epoch " in log
    assert left(tmp_path / "study") == whole


@needs_slurm
def test_a_requeued_job_goes_on(slurm, whole, tmp_path):
    """scontrol requeue ends it as a node that fails does."""

    def requeue():
        command = ["squeue", "--me", "--noheader", "--format=%A"]
        ran = subprocess.run(command, capture_output=True, text=True, check=True)
        subprocess.run(["scontrol", "requeue", *ran.stdout.split()], check=True)

    ear = AtFirstEpoch(tmp_path / "study", requeue)
    found = sweep(longer(), tmp_path / "study", SlurmEngine(), observer=ear)
    assert ear.done and ear.failures == [] and found["completed"] == 1
    assert attempts(tmp_path / "study") == 2
    assert left(tmp_path / "study") == whole


@needs_slurm
def test_a_killed_job_is_told_of_and_replaced(slurm, whole, tmp_path):
    def kill():
        os.kill(owner(ear.run), signal.SIGKILL)

    ear = AtFirstEpoch(tmp_path / "study", kill)
    found = sweep(longer(), tmp_path / "study", SlurmEngine(), observer=ear)
    ((name, text, again),) = ear.failures
    assert name == NAME and text.endswith("has ended without a result") and again
    assert found["completed"] == 1 and left(tmp_path / "study") == whole


@needs_slurm
def test_jobs_of_a_killed_leader_go_on_and_the_next_one_finds_them(slurm, whole, tmp_path):
    typed = [*TYPED[:10], "--seeds", "1", "--iw-samples", "3", "--shells", "4"]
    typed += ["--epochs", "300", "--lookahead", "300", "--engine", "slurm"]
    process = begin(*typed, "--out", "study", cwd=tmp_path)
    run = tmp_path / "study/runs" / NAME
    wait(lambda: epochs(run) > 1)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    process = begin("--resume", "study", "--engine", "slurm", "--json", cwd=tmp_path)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    assert json.loads(out)["completed"] == 1
    assert attempts(tmp_path / "study") == 1
    assert left(tmp_path / "study") == whole


@needs_slurm
def test_a_job_that_fails_says_why(slurm, tmp_path):
    plan = small(shells=("4",), seeds=(1,), device="cuda:99")
    found = sweep(plan, tmp_path / "study", SlurmEngine())
    assert "--device: cuda:99" in found["failed"][NAME]


@needs_slurm
def test_an_option_that_sbatch_refuses_is_one_line(slurm, tmp_path):
    engine = SlurmEngine(options={"partition": "nowhere"})
    with pytest.raises(EnvironmentProblem, match="--engine: sbatch failed: .*partition"):
        sweep(longer(), tmp_path / "study", engine)


def test_without_slurm_it_is_one_line(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(EnvironmentProblem, match="--engine: there is no Slurm here: squeue is ab"):
        SlurmEngine()


def test_without_submitit_it_is_one_line(monkeypatch):
    monkeypatch.setitem(sys.modules, "submitit", None)
    with pytest.raises(EnvironmentProblem, match=r'pip install "hvae\[slurm\]"'):
        SlurmEngine()


def test_options_of_sbatch():
    found = _parameters(3, 1, {"time": "60", "partition": "long", "mem-per-cpu": "2G"})
    assert (found["time"], found["cpus_per_task"], found["gpus_per_node"]) == (60, 3, 1)
    assert found["additional_parameters"] == {
        **{"requeue": True, "partition": "long", "mem_per_cpu": "2G"},
    }
    for given, said in (
        ({"output": "x"}, "--slurm: output is hvae's own"),
        ({"time": "1:00"}, "--slurm: time=1:00; allowed: an integer, in minutes"),
    ):
        with pytest.raises(Refused, match=said):
            _parameters(1, 0, given)
