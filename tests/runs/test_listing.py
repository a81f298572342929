"""hvae.runs.listing: what the runs of a folder are, damaged ones among them."""

import shutil

import pytest
from few import config, digits

from hvae import data, evaluate_run, files, load_run
from hvae.errors import Diverged, Refused
from hvae.runs import lock
from hvae.runs.listing import Listed, describe_run, list_runs
from hvae.training.begin import train


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """One completed run of three epochs, with evaluations of 2 and 5 samples, and one diverged."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(data, "load", lambda name, folder=None, **options: digits())
        home = tmp_path_factory.mktemp("made")
        train(config(), home / "done", checkpoint_every=0)
        for samples in (5, 2):
            evaluate_run(home / "done", samples=samples)
        evaluate_run(home / "done", samples=9, split="validation")
        with pytest.raises(Diverged):
            train(config(lr=1e25), home / "lost")
    return home


@pytest.fixture
def home(made, tmp_path):
    return shutil.copytree(made, tmp_path / "home")


def only(home, name):
    [run] = [run for run in list_runs(home) if run.name == name]
    return run


def test_a_completed_run(home):
    result = files.read_json(home / "done" / "result.json")
    assert only(home, "done") == Listed(
        name="done",
        state="completed",
        data="digits",
        shells="3,e2",
        epochs=3,
        most_epochs=3,
        best_epoch=result["best_epoch"],
        validation_elbo=result["validation"]["elbo"],
        ll=files.read_json(home / "done" / "eval-test-5-0.json")["ll"],
    )


def test_a_diverged_run(home):
    run = only(home, "lost")
    assert (run.state, run.best_epoch, run.validation_elbo, run.ll) == (
        "diverged",
        None,
        None,
        None,
    )


def test_a_run_that_was_cut_short_or_is_trained(home):
    """Its figures are those of its best weights, from the lines of its epochs."""
    done = only(home, "done")
    (home / "done" / "result.json").unlink()
    for end in (b"", b'{"epoch": 4, "tr'):  # a line that is being written
        with open(home / "done" / "metrics.jsonl", "ab") as metrics:
            metrics.write(end)
        run = only(home, "done")
        assert run.state == "cut short"
        assert (run.best_epoch, run.validation_elbo) == (done.best_epoch, done.validation_elbo)
        assert run.epochs == 3
    with lock.owned(home / "done"):
        assert only(home, "done").state == "training"


def test_a_run_before_its_first_best_epoch(home):
    for name in ("result.json", "best.safetensors", "metrics.jsonl"):
        (home / "done" / name).unlink()
    run = only(home, "done")
    assert (run.state, run.epochs, run.best_epoch) == ("cut short", 0, None)


@pytest.mark.parametrize(
    "name", ["config.json", "result.json", "best.safetensors", "metrics.jsonl"]
)
def test_a_damaged_run_is_listed_with_what_is_wrong(home, name):
    if name in ("best.safetensors", "metrics.jsonl"):
        (home / "done" / "result.json").unlink()
    (home / "done" / name).write_text("{\n")
    run = only(home, "done")
    assert run.state == "damaged" and name in run.damage and "\n" not in run.damage
    assert (run.shells is None) == (name == "config.json")
    assert len(list_runs(home)) == 2


@pytest.mark.parametrize("content", ["{", '{"split": "test"}'])
def test_a_damaged_evaluation_is_said_of_a_run_that_is_whole(home, content):
    path = home / "done" / "eval-test-5-0.json"
    if content == "{":
        path.write_text(content)
    else:
        files.write_json(path, {"split": "test", "ll": "high", "iw_samples": 5, "seed": 0})
    run = only(home, "done")
    assert run.state == "completed" and "eval-test-5-0.json" in run.damage
    assert run.ll == files.read_json(home / "done" / "eval-test-2-0.json")["ll"]


def test_what_has_nothing_of_a_run_is_left_out(home):
    (home / "empty").mkdir()
    (home / "file").write_text("")
    assert [run.name for run in list_runs(home)] == ["done", "lost"]
    for name in ("gone", "file"):
        with pytest.raises(Refused, match="is not a folder; allowed: the folder in which"):
            list_runs(home / name)


class TestDescribe:
    def test_a_completed_run(self, home):
        document, model = describe_run(home / "done"), load_run(home / "done").model
        assert (document["run"], document["state"], document["epochs"]) == ("done", "completed", 3)
        assert document["config"] == config(checkpoint_every=0).to_json()
        assert document["data"] == {"shape": [8, 8], "kind": "binary"}
        parts = document["parameters"]
        assert parts["total"] == sum(p.numel() for p in model.parameters())
        assert parts["encoder"] == 64 * 16 + 16 + 16 * 12 + 12
        assert sum(parts.values()) == 2 * parts["total"]
        assert [found["iw_samples"] for found in document["evaluations"]] == [2, 5, 9]
        assert document["result"] == files.read_json(home / "done" / "result.json")

    def test_a_run_without_a_best_epoch(self, home):
        document = describe_run(home / "lost")
        assert document["data"] is None and document["parameters"] is None
        assert document["state"] == "diverged" and document["evaluations"] == []

    def test_damage_is_refused_but_that_of_an_evaluation(self, home):
        (home / "done" / "eval-test-5-0.json").write_text("{")
        damaged = describe_run(home / "done")["evaluations"][1]
        assert damaged["file"] == "eval-test-5-0.json" and "is damaged" in damaged["damage"]
        (home / "done" / "best.safetensors").write_text("{")
        with pytest.raises(Refused, match="best.safetensors is damaged"):
            describe_run(home / "done")
        with pytest.raises(Refused, match="is not the folder of a run"):
            describe_run(home)
