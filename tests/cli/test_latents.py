"""hvae encode, decode, sample, score, runs and info RUN: in this process, and what they print."""

import json

import numpy as np
import pytest
from few import config, digits
from processes import one_line

from hvae import data, files, load_run
from hvae.cli import main
from hvae.training.begin import train


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(data, "load", lambda name, folder=None, **options: digits())
        home = tmp_path_factory.mktemp("made")
        train(config(shells="3,e2", seed=4), home / "run")
        return home


@pytest.fixture(autouse=True)
def here(made, tmp_path, monkeypatch):
    monkeypatch.setattr(data, "load", lambda name, folder=None, **options: digits())
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs").symlink_to(made)
    np.save("rows.npy", digits().test.numpy())
    return tmp_path


def said(capfd, *arguments, status=0):
    """What a command prints: stdout, stderr."""
    assert main([*arguments]) == status
    return capfd.readouterr()


def test_encode(capfd):
    out, err = said(capfd, "encode", "runs/run", "rows.npy", "--out", "x.npz")
    lines = out.splitlines()
    assert lines[0] == "run: 35 rows of rows.npy" and lines[-1] == "wrote x.npz"
    assert "KL (nats)" in lines[2] and err == "images 35/35\n"
    found = np.load("x.npz")
    for shell, number in (("3", 0), ("e2", 1)):
        cells = next(line for line in lines if line.startswith(f"\u2502 {shell} ")).split("\u2502")
        assert cells[2].strip() == f"{found['kl'][:, number].mean(dtype=float):.2f}"
        assert cells[3].strip() == f"{found['concentration'][:, number].mean(dtype=float):.4g}"
    summary = json.loads(said(capfd, "encode", "runs/run", "test", "--json", "--quiet").out)
    assert summary["out"] is None and summary["rows"] == 35


def test_decode_what_was_encoded(capfd):
    said(capfd, "encode", "runs/run", "rows.npy", "--out", "x.csv")
    out, err = said(capfd, "decode", "runs/run", "x.csv", "--out", "y.npz")
    assert out == "run: 35 rows\nwrote y.npz\n" and err == ""
    run = load_run("runs/run")
    expected = run.decode(run.encode(digits().test)).numpy()
    np.testing.assert_array_equal(np.load("y.npz")["mean"], expected)


def test_sample(capfd):
    assert said(capfd, "sample", "runs/run", "--out", "x.npz").out == "run: 64 rows\nwrote x.npz\n"
    said(capfd, "sample", "runs/run", "-n", "3", "--shell", "2", "--around", "7", "--file",
         "validation", "--seed", "5", "--out", "y.npz")  # fmt: skip
    expected = load_run("runs/run").around(digits().validation[7:8], 2, 3, seed=5)
    np.testing.assert_array_equal(np.load("y.npz")["z"], expected)


def test_score(capfd):
    out, _ = said(capfd, "score", "runs/run", "rows.npy", "--iw-samples", "3", "--out", "x.csv")
    elbo, ll = np.loadtxt("x.csv", delimiter=",", skiprows=1).T
    lines = out.splitlines()
    assert lines[0] == "run: 35 rows of rows.npy" and lines[-1] == "wrote x.csv"
    assert lines[1] == f"mean ELBO {elbo.mean():.2f}"
    assert lines[2] == f"mean LL   {ll.mean():.2f}  (3 samples)"
    assert f"{ll.min():.2f}" in out
    result = json.loads(
        said(capfd, "score", "runs/run", "test", "--iw-samples", "3", "--json", "--quiet").out
    )
    assert result["ll"] == pytest.approx(ll.mean(), rel=1e-13)
    assert result["lowest"][0]["row"] == ll.argmin()


REFUSED = {
    "no run": (["encode", "nowhere", "test"], "nowhere is not the folder of a run"),
    "a file that is there": (["score", "runs/run", "test", "--out", "old.csv"], "or --force"),
    "a suffix": (["decode", "runs/run", "x", "--out", "y.txt"], "--out: y.txt is of an unknown"),
    "no out": (["sample", "runs/run"], "Missing option '--out'"),
    "a shell alone": (["sample", "runs/run", "--shell", "1", "--out", "x.npz"], "both or none"),
    "no such row": (
        ["sample", "runs/run", "--shell", "1", "--around", "99", "--out", "x.npz"],
        "--around: 99 is not allowed; allowed: a row of test, an integer from 0 to 34",
    ),
    "no points": (["decode", "runs/run", "old.csv", "--out", "x.npz"], "no latent points"),
    "a device": (["score", "runs/run", "test", "--device", "tpu"], "--device: 'tpu'"),
    "a folder of runs": (["runs", "nowhere"], "nowhere is not a folder"),
    "no run to describe": (["info", "nowhere"], "nowhere is not the folder of a run"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_refusal_is_2_one_line_and_nothing_written(here, capfd, name):
    (here / "old.csv").write_text("a,b\n")
    before = sorted(here.iterdir())
    arguments, message = REFUSED[name]
    out, err = said(capfd, *arguments, status=2)
    assert out == "" and message in one_line(err)
    assert sorted(here.iterdir()) == before and (here / "old.csv").read_text() == "a,b\n"


def test_force_replaces_a_file(capfd, here):
    (here / "x.csv").write_text("old")
    said(capfd, "encode", "runs/run", "test", "--out", "x.csv", "--force")
    assert (here / "x.csv").read_text().startswith("labels,mean_direction_1_1,")


def test_runs(capfd, here):
    out, err = said(capfd, "runs")
    best = files.read_json(here / "runs" / "run" / "result.json")["validation"]["elbo"]
    [line] = [line for line in out.splitlines() if "\u2502 run " in line]
    cells = [cell.strip() for cell in line.split("\u2502")[1:-1]]
    assert cells == ["run", "digits", "3,e2", "3/3", cells[4], f"{best:.2f}", "", "completed"]
    document = json.loads(said(capfd, "runs", "runs", "--json").out)
    assert document["folder"] == "runs" and document["runs"][0]["validation_elbo"] == best


def test_a_damaged_run_is_a_row(capfd, here):
    (here / "more" / "broken").mkdir(parents=True)
    (here / "more" / "broken" / "config.json").write_text("[red]{")
    out, err = said(capfd, "runs", "more")
    assert "broken" in out and "damaged: more/broken/config.json" in out and err == ""
    (here / "none").mkdir()
    assert said(capfd, "runs", "none").out == "no run in none\n"


def test_info_of_a_run(capfd):
    shown = {
        line[:18].strip(): line[19:] for line in said(capfd, "info", "runs/run").out.splitlines()
    }
    assert shown["state"] == "completed" and shown["trained"] == "3 epochs of at most 3"
    assert shown["rows"] == "8 x 8, binary" and shown["data_dir"] == "not given"
    assert shown["hidden"] == "16,12" and shown["seed"] == "4"
    total = sum(p.numel() for p in load_run("runs/run").model.parameters())
    assert shown["parameters"].startswith("encoder 1244, ")
    assert shown["parameters"].endswith(f"total {total}")
    document = json.loads(said(capfd, "info", "runs/run", "--json").out)
    assert document["parameters"]["total"] == total and document["run"] == "run"
