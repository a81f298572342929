"""A Ray cluster of two nodes on this machine: the same study, whatever is killed on the way."""

import json
import os
import signal

import pytest
from small import TYPED, Ear, begin, epochs, left, owner, small, wait

from hvae.errors import EnvironmentProblem
from hvae.runs import lock
from hvae.studies.engines.local import LocalEngine
from hvae.studies.sweep import sweep
from hvae.studies.work import Job

ray = pytest.importorskip("ray", reason='Ray is not installed: pip install "hvae[ray]"')

from ray.cluster_utils import Cluster  # noqa: E402

from hvae.studies.engines.ray import RayEngine  # noqa: E402

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def cluster():
    """Two nodes of one CPU each; no dashboard."""
    nodes = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    nodes.add_node(num_cpus=1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_ADDRESS", nodes.address)
        yield nodes
    ray.shutdown()
    nodes.shutdown()


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Two longer runs by the local engine, one for each node."""
    folder = tmp_path_factory.mktemp("local") / "study"
    sweep(longer(), folder, LocalEngine(2))
    return left(folder)


def longer():
    return small(shells=("4", "2,e2"), seeds=(1,), epochs=40, lookahead=40)


def places(folder):
    """Where runs were worked on, by their logs."""
    texts = [path.read_text() for path in (folder / "logs").iterdir()]
    return {line for text in texts for line in text.splitlines() if line.startswith("on ")}


def test_two_nodes_give_the_same_to_the_last_digit(cluster, whole, tmp_path):
    found = sweep(longer(), tmp_path / "study", RayEngine())
    assert (found["completed"], found["failed"]) == (2, {})
    assert left(tmp_path / "study") == whole
    nodes = {place.split()[3] for place in places(tmp_path / "study")}
    assert len(nodes) == 2


class Killer(Ear):
    """Does something as soon as both runs have an epoch."""

    def __init__(self, folder, kill):
        super().__init__()
        self.runs = [folder / "runs" / name for name in longer().names]
        self.kill, self.done = kill, False

    def standing(self, standing):
        if not self.done and all(epochs(run) for run in self.runs):
            self.done = True
            self.kill()


def test_a_killed_worker_is_told_of_and_replaced(cluster, whole, tmp_path):
    def kill():
        os.kill(owner(killer.runs[0]), signal.SIGKILL)

    killer = Killer(tmp_path / "study", kill)
    found = sweep(longer(), tmp_path / "study", RayEngine(), observer=killer)
    assert killer.done and found["completed"] == 2
    ((name, text, again),) = killer.failures
    assert name == killer.runs[0].name and again and text.startswith("Ray has lost its worker (")
    assert left(tmp_path / "study") == whole


def test_a_killed_node_is_told_of_and_the_other_does_the_work(cluster, whole, tmp_path):
    node = cluster.add_node(num_cpus=1)

    def kill():
        cluster.remove_node(node, allow_graceful=False)

    killer = Killer(tmp_path / "study", kill)
    head = [one for one in cluster.worker_nodes if one is not node]
    for one in head:
        cluster.remove_node(one)
    found = sweep(longer(), tmp_path / "study", RayEngine(), observer=killer)
    assert killer.done and found["completed"] == 2 and found["failed"] == {}
    assert len(killer.failures) == 1 and killer.failures[0][2] is True
    assert left(tmp_path / "study") == whole


def test_a_killed_leader_loses_nothing(cluster, whole, tmp_path):
    """Ray ends its tasks; the next leader goes on."""
    typed = [*TYPED[:10], "--seeds", "1", "--iw-samples", "3", "--shells", "4", "--shells", "2,e2"]
    typed += ["--epochs", "40", "--lookahead", "40", "--engine", "ray"]
    process = begin(*typed, "--out", "study", cwd=tmp_path)
    runs = [tmp_path / "study/runs" / name for name in longer().names]
    wait(lambda: any(epochs(run) > 1 for run in runs))
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    process = begin("--resume", "study", "--engine", "ray", "--json", cwd=tmp_path)
    out, err = process.communicate(timeout=200)
    assert process.returncode == 0, err
    assert json.loads(out)["completed"] == 2
    assert left(tmp_path / "study") == whole


def test_closing_keeps_the_last_epoch(cluster, tmp_path):
    from hvae.studies.folder import StudyFolder

    study = StudyFolder(tmp_path / "study")
    plan = small(shells=("4",), seeds=(1,), epochs=100_000, lookahead=100_000)
    with study.led():
        study.save_plan(plan)
        engine = RayEngine()
        engine.submit(Job(str(study.path), plan.names[:1]))
        run = study.run(plan.names[0])
        wait(lambda: epochs(run) > 1)
        engine.close()
        wait(lambda: not lock.is_owned(run))
    assert "interrupted; " in study.log(plan.names[0]).read_text()
    assert not (run / "result.json").exists()


def test_without_a_cluster_it_is_one_line(monkeypatch):
    ray.shutdown()
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:9")
    with pytest.raises(EnvironmentProblem, match="--engine: no Ray cluster: .*refused"):
        RayEngine()
