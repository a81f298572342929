"""The reports on trained runs: tables, and the bias and spread of gradients."""

import json
import math
import subprocess
import sys

import pytest
from few import config, digits
from hvae.benchmarks import gradients, table

from hvae import data, runs
from hvae.errors import Diverged, Refused
from hvae.evaluation import evaluate_run
from hvae.training import train


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Three short runs on a few digits: two seeds of one setting, and one that diverged."""
    home = tmp_path_factory.mktemp("runs")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(data, "load", lambda name, folder=None, **options: digits())
        for seed in (1, 2):
            settings = {"shells": "2,3", "parameterization": "paper", "kl_weights": "equal"}
            train(config(seed=seed, epochs=20, **settings), home / f"seed{seed}")
            for samples in (2, 3):
                evaluate_run(home / f"seed{seed}", samples=samples)
        with pytest.raises(Diverged):
            train(config(lr=1e30), home / "diverged")
    return home


def cells(line):
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_table(folder):
    """A line a setting, mean and standard deviation of the evaluation with the most samples."""
    found = table.rows([folder])
    lls = [json.loads((folder / f"seed{s}/eval-test-3-{s}.json").read_text())["ll"] for s in (1, 2)]
    mean, deviation = sum(lls) / 2, abs(lls[0] - lls[1]) / math.sqrt(2)
    head, _, lost, ended = (cells(line) for line in table.summary(found))
    assert len(head) == len(ended)
    assert ended[:6] == ["digits", "2,3", "paper", "implicit", "equal", "2"]
    assert ended[6] == f"{mean:.2f} ± {deviation:.2f}"
    assert lost[5:] == ["1, 1 diverged", "-", "-", "-", "-"]


def test_table_of_every_run(folder):
    head, _, lost, *ended = (cells(line) for line in table.details(table.rows([folder])))
    assert lost[6] == "diverged in epoch 1"
    for line, seed in zip(ended, (1, 2), strict=True):
        document = json.loads((folder / f"seed{seed}/eval-test-3-{seed}.json").read_text())
        assert len(line) == len(head)
        assert line[5] == str(seed) and line[7] == f"{document['elbo']:.2f}"
        assert line[8] == ", ".join(f"{kl:.2f}" for kl in document["kl_per_shell"])


def test_table_as_json(folder):
    command = [sys.executable, "-m", "hvae.benchmarks.table", str(folder), "--json"]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=100, check=True)
    document = json.loads(ran.stdout)
    assert [row["result"]["completed"] for row in document] == [False, True, True]
    assert document[1]["config"]["kl_weights"] == "equal"
    assert document[1]["evaluation"]["iw_samples"] == 3


def test_many_equal_shells_are_counted():
    assert table.setting(config(shells="2," * 19 + "2", kl_weights="equal"))[1] == "20 x 2"
    assert table.setting(config(shells="5,5,5,5"))[1] == "5,5,5,5"


def test_gradients_of_a_trained_run(folder, monkeypatch, capsys):
    """`naive` recovers too little on a circle; `reinforce` all of it, within five standard errors,
    at a larger spread that the baseline brings down.
    """
    monkeypatch.setattr(data, "load", lambda name, folder=None, **options: digits())
    document = gradients.measure(runs.load_run(folder / "seed1"), images=10, draws=4000)
    assert len(document["kappa"]) == 2 and document["images"] == 10
    rows = {(row["shell"], row["estimator"]): row for row in document["figures"]}
    assert set(rows) == {(shell, name) for shell in (1, 2) for name in gradients.ESTIMATORS}
    for shell in (1, 2):
        implicit, naive, single, group = (rows[shell, name] for name in gradients.ESTIMATORS)
        assert implicit["bias"] == 0 and implicit["share"] == 1
        for row in (single, group):
            assert abs(row["bias"]) < 5 * row["stderr"]
        assert implicit["spread"] < group["spread"] < single["spread"]
    circle = rows[1, "naive"]
    assert abs(circle["bias"]) > 5 * circle["stderr"]
    assert circle["share"] < 0.9
    gradients._print(document)
    assert len(capsys.readouterr().out.splitlines()) == 3 + 8


def test_gradients_need_shells(folder, monkeypatch):
    monkeypatch.setattr(data, "load", lambda name, folder=None, **options: digits())
    run = runs.load_run(folder / "seed1")
    object.__setattr__(run, "model", type(run.model).like(config(shells="3,e2"), 64))
    with pytest.raises(Refused, match="allowed: shells only"):
        gradients.measure(run, images=2, draws=8)
