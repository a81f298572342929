"""From a file of one's own to figures, by the command line; and `hvae data`."""

import json

import made_files
import numpy as np
import pytest
from few import CALTECH_FILE, few_silhouettes
from processes import one_line

from hvae import files, load_run
from hvae.cli import main
from hvae.data import NAMES
from hvae.runs.data_of import rows_of

SHORT = ["--shells", "3,e2", "--hidden", "16", "--epochs", "2", "--batch-size", "20"]


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def cells(path):
    made_files.cells(path)
    return ["--labels", "type", "--covariate", "donor"]


def cancer(path):
    made_files.cancer(path, rows=100)
    return ["--labels", "target"]


def digits(path):
    made_files.digits(path)
    return ["--likelihood", "binomial", "--network", "conv", "--hidden", "4,4,8"]


def pets(path):
    made_files.pictures(path)
    return []


def table(path):
    made_files.table(path)
    return ["--labels", "kind"]


@pytest.mark.parametrize(
    ("name", "write", "found", "rows"),
    [
        ("cells.h5ad", cells, "60 rows x 12 counts", 6),
        ("cancer.csv", cancer, "100 rows x 30 numbers, real", 10),
        ("digits.npy", digits, "300 rows x 8x8 counts (0 to 16)", 30),
        ("pets", pets, "24 rows x 6x5 numbers, of the unit interval (0 to 255, divided by 255)", 2),
        ("t.parquet", table, "40 rows x 2 numbers, real", 4),
    ],
)
def test_train_and_eval(tmp_path, capfd, name, write, found, rows):
    typed = write(tmp_path / name)
    assert main(["train", "--data", name, *SHORT, *typed, "--out", "run"]) == 0
    out, err = capfd.readouterr()
    assert err.startswith(f"{name}: {found}") and "next  hvae eval run" in out
    config = files.read_json(tmp_path / "run" / "config.json")
    assert config["data"] == str(tmp_path / name) and config["dataset"] == name.split(".")[0]
    assert main(["eval", "run", "--iw-samples", "3", "--json", "--quiet"]) == 0
    document = json.loads(capfd.readouterr().out)
    assert document["dataset"] == name.split(".")[0] and document["warnings"] == []
    assert document["images"] == rows
    assert document["elbo"] == pytest.approx(-document["re"] - document["kl"], rel=1e-12)

    everything = len(load(name))
    assert main(["encode", "run", name, "--out", "encoded.npz", "--quiet"]) == 0
    encoded = np.load("encoded.npz")
    assert encoded["mean_direction"].shape == (everything, 5)
    assert encoded["concentration"].shape == encoded["kl"].shape == (everything, 2)
    assert main(["score", "run", name, "--iw-samples", "3", "--out", "scores.csv", "--quiet"]) == 0
    assert len((tmp_path / "scores.csv").read_text().splitlines()) == everything + 1
    told = ["--covariate", "donor=d1"] if "--covariate" in typed else []
    assert main(["sample", "run", "-n", "4", *told, "--out", "samples.npz", "--quiet"]) == 0
    assert np.load("samples.npz")["mean"].shape == (4, load_run("run").description.size)
    around = ["--shell", "1", "--around", "0", "--file", name, "--out", "around.npz"]
    assert main(["sample", "run", "-n", "4", *around, "--quiet"]) == 0
    others = np.load("around.npz")["z"][:, 3:] - encoded["mean_direction"][0, 3:]
    assert np.abs(others).max() < 1e-5  # a row alone and in a batch, float32


def test_pictures_have_the_names_of_the_labels(tmp_path, capfd):
    typed = cells(tmp_path / "cells.h5ad")
    assert main(["train", "--data", "cells.h5ad", *SHORT, *typed, "--out", "run", "--quiet"]) == 0
    assert main(["plot", "run", "--only", "spheres", "--split", "train", "--quiet"]) == 0
    assert capfd.readouterr().out.split()[-2:] == ["run/plots/spheres.png", "run/plots/spheres.svg"]
    shown = (tmp_path / "run" / "plots" / "spheres.svg").read_text()
    assert all(f">{name}</text>" in shown for name in ("B", "NK", "T"))


def load(name):
    """All rows of a file, as `hvae.data` reads them for the run."""
    run = load_run("run")
    return rows_of(run.config, run.description, name).rows


def test_without_a_name_the_run_is_called_after_the_file(tmp_path):
    cancer(tmp_path / "my cancer!.csv")
    typed = ["--data", "my cancer!.csv", "--labels", "target", *SHORT, "--quiet"]
    assert main(["train", *typed]) == 0
    assert [path.name.startswith("my-cancer-3,e2-seed0-") for path in (tmp_path / "runs").iterdir()]


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        (["--data", "nowhere.csv"], "--data: 'nowhere.csv' is not there"),
        (["--data", "a.csv"], "line 2, column 31 ('target'): 'malignant'"),
        (["--data", "a.csv", "--labels", "kind"], "(there is no column 'kind')"),
        (["--data", "a.csv", "--dataset", "caltech"], "--dataset is not allowed beside --data"),
        (["--labels", "target"], "--labels: 'target' is not allowed; allowed: only with --data"),
        (["--split", "0.5,0.25,0.25"], "only with --data"),
        (["--data", "a.csv", "--split", "1,1,1"], "--split: '1,1,1' is not allowed"),
        (
            ["--data", "a.csv", "--labels", "target", "--likelihood", "poisson"],
            "poisson does not take real data; allowed: binary, counts",
        ),
    ],
)
def test_what_is_refused_leaves_nothing(tmp_path, capfd, typed, words):
    made_files.cancer(tmp_path / "a.csv", rows=30)
    assert main(["train", *typed, *SHORT]) == 2
    line = [text for text in capfd.readouterr().err.splitlines() if "error" in text]
    assert len(line) == 1 and words in line[0].replace(f"{tmp_path}/", "")
    assert [path.name for path in tmp_path.iterdir()] == ["a.csv"]


class TestData:
    def test_list_tells_where_the_sets_are(self, tmp_path, capfd, monkeypatch):
        content = few_silhouettes(monkeypatch)
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
        monkeypatch.setenv("HVAE_DATA_DIR", str(tmp_path))
        (tmp_path / CALTECH_FILE).write_bytes(content)
        assert main(["data", "list", "--json"]) == 0
        sets = json.loads(capfd.readouterr().out)["sets"]
        assert tuple(one["name"] for one in sets) == tuple(NAMES)
        assert {one["name"] for one in sets if one["here"]} == {"caltech", "digits"}
        assert sets[0]["files"] == [str(tmp_path / CALTECH_FILE)]
        assert main(["data", "list"]) == 0
        shown = capfd.readouterr().out
        assert f"here: {tmp_path / CALTECH_FILE}" in shown
        assert "not here; to have it: hvae data fetch omniglot" in shown

    def test_fetch_says_where_a_set_is(self, capfd):
        assert main(["data", "fetch", "digits", "--json"]) == 0
        document = json.loads(capfd.readouterr().out)
        assert document["verified"] and document["split"]["train"] == 1297
        assert main(["data", "fetch", "cifar"]) == 2
        assert "allowed: caltech, " in one_line(capfd.readouterr().err)

    def test_check_says_what_a_file_is(self, tmp_path, capfd):
        made_files.cells(tmp_path / "cells.h5ad")
        typed = ["data", "check", "cells.h5ad", "--labels", "type", "--covariate", "donor"]
        assert main([*typed, "--json"]) == 0
        document = json.loads(capfd.readouterr().out)
        assert (document["kind"], document["likelihood"]) == ("counts", "negative-binomial")
        assert (document["rows"], document["shape"]) == (60, [12])
        assert document["covariates"] == ["donor=d1", "donor=d2"]
        assert sum(document["labels"].values()) == 60 and list(document["labels"]) == [
            *"B",
            "NK",
            "T",
        ]
        assert main(typed) == 0
        shown = capfd.readouterr().out.splitlines()
        assert shown[0].startswith("cells.h5ad: 60 rows x 12 counts") and len(shown) == 5
        assert [path.name for path in tmp_path.iterdir()] == ["cells.h5ad"]

    def test_check_reads_every_row(self, tmp_path, capfd, monkeypatch):
        from hvae.data import recognition, table

        monkeypatch.setattr(table, "LARGE_BYTES", 0)
        monkeypatch.setattr(recognition, "SAMPLE_NUMBERS", 100)
        array = np.full((1000, 2), 3.0)
        array[501, 1] = -1
        np.save(tmp_path / "a.npy", array)
        assert main(["data", "check", "a.npy"]) == 2
        assert "row 501, column 1 (counted from 0): -1.0" in one_line(capfd.readouterr().err)

    @pytest.mark.parametrize("typed", [[], ["sing"], ["check"], ["fetch"], ["list", "x"]])
    def test_other_words_are_refused(self, capfd, typed):
        assert main(["data", *typed]) == 2
        assert one_line(capfd.readouterr().err)
