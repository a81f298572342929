"""The reports as commands: on trained runs, and on input that is wrong."""

import gzip
import json
import math
import os
import subprocess
import sys

import pytest
import torch
from few import config, digits

from hvae import data, runs, train
from hvae.benchmarks.reports import (
    accuracy,
    clustering,
    commits,
    failures,
    gradients,
    likelihoods,
    many_draws,
    replicas,
)
from hvae.errors import Refused
from hvae.runs.assembly import assemble


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two short runs on a few digits."""
    home = tmp_path_factory.mktemp("runs")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(data, "load", lambda name, folder=None, **options: digits())
        for seed in (1, 2):
            settings = {"shells": "2,3", "parameterization": "paper", "kl_weights": "equal"}
            train(config(seed=seed, epochs=20, **settings), home / f"seed{seed}")
    return home


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
    description = run.model.likelihood.data
    object.__setattr__(run, "model", assemble(config(shells="3,e2"), description))
    with pytest.raises(Refused, match="allowed: shells only"):
        gradients.measure(run, images=2, draws=8)


def test_gradients_as_a_command(folder, monkeypatch, capsys):
    monkeypatch.setattr(data, "load", lambda name, folder=None, **options: digits())
    folders = [str(folder / "seed1"), str(folder / "seed2")]
    assert gradients.main([*folders, "--images", "3", "--draws", "32"]) == 0
    *_, last = capsys.readouterr().out.splitlines()
    assert [document["run"] for document in json.loads(last)] == ["seed1", "seed2"]


def test_many_draws(capsys):
    assert many_draws.main(["--draws", "1"]) == 0
    *lines, last = capsys.readouterr().out.splitlines()
    document = json.loads(last)
    assert len(lines) == len(document) == 2 * len(many_draws.DIMS)
    for row in document:
        # At least one round of either dtype, so that no m is passed over.
        assert row["draws"] == many_draws.ROWS * many_draws.SAMPLES
        assert row["not_finite"] == 0 and row["ulp"] < 3


def test_replicas(capsys, monkeypatch):
    monkeypatch.setattr(data, "load", lambda name, folder=None, **options: digits())
    monkeypatch.setattr(replicas, "COUNTS", (1, 3))
    assert replicas.main(["--seconds", "0.05", "--shells", "3,e2"]) == 0
    one, three, last = capsys.readouterr().out.splitlines()
    document = json.loads(last)
    rate = document["replicas_steps_per_second"]
    assert list(rate) == ["1", "3"] and document["gain"]["3"] == rate["3"] / rate["1"]
    assert one == f" 1 replicas: {rate['1']:7.1f} replicas x steps/s, one at a time"
    assert three.endswith(f"/s, {document['gain']['3']:.2f} times one at a time")


# ---- input that is wrong -------------------------------------------------------------------------


def test_clustering(capsys):
    """With few rows: ratios that are numbers, and the digits of every way."""
    pytest.importorskip("faiss")
    assert clustering.main(["--rows", "200", "--threads", "1"]) == 0
    document = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert set(document["ratios"]) == {"faiss", "hard", "soft"}
    assert all(0.3 < mean < 0.9 for mean, _ in document["digits"].values())


REPORTS = [accuracy, clustering, commits, failures, gradients, many_draws, replicas]


@pytest.mark.parametrize("report", REPORTS)
def test_an_unknown_option_is_refused_in_one_line(report, capsys):
    assert report.main(["--colour"]) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.count("\n") == 1 and err.startswith("hvae: error: ")
    assert f"allowed: python -m {report.__name__}" in err


@pytest.mark.parametrize(
    "report, arguments, option",
    [
        (clustering, ["--rows", "9"], "--rows"),
        (clustering, ["--threads", "0"], "--threads"),
        (many_draws, ["--draws", "nan"], "--draws"),
        (many_draws, ["--draws", "0"], "--draws"),
        (many_draws, ["--draws", "few"], "--draws"),
        (many_draws, ["--device", "abacus"], "--device"),
        (many_draws, ["--device", "cuda:99"], "--device"),
        (replicas, ["--seconds", "0"], "--seconds"),
        (replicas, ["--seconds", "nan"], "--seconds"),
        (replicas, ["--shells", "1"], "--shells"),
        (replicas, ["--dataset", "abacus"], "--dataset"),
        (gradients, ["nowhere", "--draws", "8"], "--draws"),
        (gradients, ["nowhere", "--images", "0"], "--images"),
        (gradients, ["nowhere"], "nowhere"),
        (accuracy, ["--tables", "nowhere"], "--tables"),
    ],
)
def test_wrong_arguments_are_refused_in_one_line(report, arguments, option, capsys):
    assert report.main(arguments) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.count("\n") == 1 and err.startswith("hvae: error: ") and option in err


def _packed(content):
    """A .gz file; the same bytes at any time."""
    return gzip.compress(content, mtime=0)


@pytest.mark.parametrize(
    "content, said",
    [
        (b"nu,kappa\n1,2\n", "is not a table"),
        (_packed(b"nu,kappa\n1,2\n")[:-9], "is not a table"),
        (_packed(b"nu,kappa\n1\n"), "is not a table"),
        (_packed(b"nu,kappa\n1,two\n"), "is not a table"),
        (_packed(b"\xff\xfe"), "is not a table"),
        (_packed(b""), "is not a table"),
        (_packed(b"nu,kappa\n1,2\n"), "has no column A, KL"),
    ],
)
def test_a_damaged_table_is_refused_in_one_line(content, said, tmp_path, capsys):
    path = tmp_path / "special.csv.gz"
    path.write_bytes(content)
    assert accuracy.main(["--tables", str(tmp_path)]) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.count("\n") == 1
    assert err.startswith(f"hvae: error: --tables: {path} {said}") and "allowed: a folder" in err


def test_likelihoods(monkeypatch, capsys):
    """A line a likelihood; two have a target, which their median met or missed."""
    monkeypatch.setattr(likelihoods, "SECONDS", 0.1)
    monkeypatch.setattr(likelihoods, "TURN", 0.001)
    threads = torch.get_num_threads()
    try:
        assert likelihoods.main(["--quick"]) == 0
    finally:
        torch.set_num_threads(threads)
    *lines, last = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == list(likelihoods.KINDS)
    figures = {figure["subject"]: figure for figure in json.loads(last)["figures"]}
    for name, figure in figures.items():
        bound = likelihoods.COST.get(name)
        assert figure["target"] == (bound and {"at_most": bound})
        assert figure["met"] in ((True, False) if bound else (None,))
        assert figure["baseline"] == "bernoulli" and figure["measure"] == "cost"


def test_likelihoods_that_diverge_are_not_timed(monkeypatch, capsys):
    monkeypatch.setattr(likelihoods, "SECONDS", 0.1)
    rows = likelihoods.rows
    monkeypatch.setattr(likelihoods, "rows", lambda *given: rows(*given) * math.nan)
    assert likelihoods.main(["--quick"]) == 3
    assert "the training step with bernoulli" in capsys.readouterr().err


def test_a_reader_that_has_gone_is_said_in_one_line():
    """As `... | head -0`: no traceback, and none at the interpreter's end."""
    script = (
        "from hvae.benchmarks.reports import command\n"
        "options = command.Options('x', 'x')\n"
        "raise SystemExit(command.run(options, lambda given: print('x' * 100_000), []))\n"
    )
    reader, writer = os.pipe()
    os.close(reader)
    try:
        ran = subprocess.run(
            [sys.executable, "-c", script], stdout=writer, stderr=subprocess.PIPE, timeout=100
        )
    finally:
        os.close(writer)
    assert ran.returncode == 4
    assert ran.stderr == b"hvae: error: the reader of the output has gone\n"
