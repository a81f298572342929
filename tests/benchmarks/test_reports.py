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

from hvae import data, evaluate_run, runs, train
from hvae.benchmarks.reports import (
    accuracy,
    clustering,
    commits,
    failures,
    finished,
    gradients,
    groups,
    likelihoods,
    many_draws,
    table,
)
from hvae.errors import Diverged, Refused
from hvae.runs.assembly import assemble


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
    found = groups.grouped(finished.find([folder]))
    lls = [json.loads((folder / f"seed{s}/eval-test-3-{s}.json").read_text())["ll"] for s in (1, 2)]
    mean, deviation = sum(lls) / 2, abs(lls[0] - lls[1]) / math.sqrt(2)
    head, _, lost, ended = (cells(line) for line in table.summary(found))
    assert len(head) == len(lost) == len(ended)
    assert ended[:5] == ["digits", "2,3", "paper", "implicit", "equal"]
    assert ended[5] == "epochs 20, lr 0.001" and lost[5] == "epochs 3, lr 1e+30"
    assert ended[6:8] == ["2", f"{mean:.2f} ± {deviation:.2f}"]
    assert lost[6:] == ["1, 1 diverged", "-", "-", "-", "-"]


def test_table_of_every_run(folder):
    found = groups.grouped(finished.find([folder]))
    head, _, lost, *ended = (cells(line) for line in table.details(found))
    assert lost[7] == "diverged in epoch 1"
    for line, seed in zip(ended, (1, 2), strict=True):
        document = json.loads((folder / f"seed{seed}/eval-test-3-{seed}.json").read_text())
        assert len(line) == len(head)
        assert line[6] == str(seed) and line[8] == f"{document['elbo']:.2f}"
        assert line[9] == ", ".join(f"{kl:.2f}" for kl in document["kl_per_shell"])


def test_table_as_json(folder):
    command = [sys.executable, "-m", "hvae.benchmarks.reports.table", str(folder), "--json"]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=100, check=True)
    document = json.loads(ran.stdout)
    assert [row["result"]["completed"] for row in document] == [False, True, True]
    assert document[1]["config"]["kl_weights"] == "equal"
    assert document[1]["evaluation"]["iw_samples"] == 3
    assert document[1]["run"] == str(folder / "seed1") and document[1]["left_out_for"] is None


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


# ---- input that is wrong -------------------------------------------------------------------------


def test_clustering(capsys):
    """With few rows: ratios that are numbers, and the digits of every way."""
    pytest.importorskip("faiss")
    assert clustering.main(["--rows", "200", "--threads", "1"]) == 0
    document = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert set(document["ratios"]) == {"faiss", "hard", "soft"}
    assert all(0.3 < mean < 0.9 for mean, _ in document["digits"].values())


REPORTS = [accuracy, clustering, commits, failures, gradients, many_draws, table]


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


def test_a_file_that_cannot_be_read_is_said_in_one_line(tmp_path, monkeypatch, capsys):
    def fail(folders):
        raise PermissionError(13, "Permission denied", str(tmp_path))

    monkeypatch.setattr(table, "find", fail)
    assert table.main([str(tmp_path)]) == 4
    assert capsys.readouterr().err == f"hvae: error: [Errno 13] Permission denied: '{tmp_path}'\n"


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
