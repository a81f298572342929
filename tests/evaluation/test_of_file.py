"""hvae.evaluation.of_file: encode, score, decode and sample from file to file."""

from pathlib import Path

import anndata
import numpy as np
import pytest
import torch
from few import config, digits

from hvae import TrainConfig, data, evaluate_run, load_run, train
from hvae.errors import Refused
from hvae.evaluation import of_file
from hvae.evaluation.of_file import Work, decode_file, encode_file, sample_file, score_file

SHELLS = "3,e2,2"
COLUMNS = ["1_1", "1_2", "1_3", "2_1", "2_2", "3_1", "3_2"]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(data, "load", lambda name, folder=None, **options: digits())
        folder = tmp_path_factory.mktemp("made") / "run"
        train(config(shells=SHELLS, seed=4), folder)
        return folder


@pytest.fixture
def run(made, monkeypatch, tmp_path):
    """The run, with few digits as its data, in an empty folder."""
    monkeypatch.setattr(data, "load", lambda name, folder=None, **options: digits())
    monkeypatch.chdir(tmp_path)
    np.save("rows.npy", digits().test.numpy())
    return made


def arrays(path):
    with np.load(path) as found:
        return dict(found)


class TestEncode:
    def test_rows_of_a_file_in_their_order(self, run):
        summary = encode_file(run, "rows.npy", "x.npz")
        found, loaded = arrays("x.npz"), load_run(run)
        assert set(found) == {"mean_direction", "concentration", "kl"}
        np.testing.assert_array_equal(found["mean_direction"], loaded.encode(digits().test))
        np.testing.assert_array_equal(found["concentration"], loaded.concentration(digits().test))
        assert found["kl"].shape == (35, 3) and (found["kl"] >= 0).all()
        assert summary["rows"] == 35 and summary["shells"] == SHELLS and summary["run"] == "run"
        assert summary["kl_per_shell"] == pytest.approx(found["kl"].mean(0).tolist(), rel=1e-5)
        assert summary["kappa"] == pytest.approx(found["concentration"].mean(0).tolist(), rel=1e-5)
        assert (summary["file"], summary["out"]) == ("rows.npy", "x.npz")

    def test_a_csv_has_named_columns_with_the_same_numbers(self, run):
        encode_file(run, "rows.npy", "x.npz")
        encode_file(run, "rows.npy", "x.csv")
        header = Path("x.csv").read_text().splitlines()[0].strip().split(",")
        assert header == [
            *(f"mean_direction_{name}" for name in COLUMNS),
            *(f"{key}_{number}" for key in ("concentration", "kl") for number in (1, 2, 3)),
        ]
        table = np.loadtxt("x.csv", delimiter=",", skiprows=1, dtype=np.float32)
        np.testing.assert_array_equal(table, np.concatenate([*arrays("x.npz").values()], 1))

    @pytest.mark.parametrize("split", ["test", "validation", "train"])
    def test_splits_of_the_runs_own_data_with_their_labels(self, run, split):
        encode_file(run, split, "x.npz")
        found = arrays("x.npz")
        own = getattr(digits(), split)
        np.testing.assert_array_equal(found["mean_direction"], load_run(run).encode(own))
        np.testing.assert_array_equal(found["labels"], digits().labels[split].numpy())

    def test_names_of_rows_and_labels(self, run, monkeypatch):
        rows = data.FileRows(
            digits().test[:3], torch.tensor([1, 1, 0]), ("cat", "dog"), ("r0", "r1", "r2"), ""
        )
        monkeypatch.setattr(of_file, "rows_of", lambda *arguments, **options: rows)
        encode_file(run, "named", "x.npz")
        assert arrays("x.npz")["labels"].tolist() == ["dog", "dog", "cat"]
        assert arrays("x.npz")["row_names"].tolist() == ["r0", "r1", "r2"]
        encode_file(run, "named", "x.csv")
        assert [line.split(",")[:2] for line in Path("x.csv").read_text().splitlines()][1:] == [
            ["r0", "dog"], ["r1", "dog"], ["r2", "cat"]
        ]  # fmt: skip

    def test_without_out_nothing_is_written(self, run, tmp_path):
        assert encode_file(run, "test")["out"] is None
        assert [path.name for path in tmp_path.iterdir()] == ["rows.npy"]

    def test_an_h5ad_is_copied_with_the_encoding_in_obsm(self, run):
        cells = anndata.AnnData(digits().test.numpy().astype(np.float32))
        cells.obs["type"] = ["a", "b"] * 17 + ["a"]
        cells.write_h5ad("cells.h5ad")
        encode_file(run, "cells.h5ad", "new.h5ad")
        encode_file(run, "cells.h5ad", "x.npz")
        encoded, found = anndata.read_h5ad("new.h5ad"), arrays("x.npz")
        assert encoded.obs["type"].tolist() == cells.obs["type"].tolist()
        assert set(encoded.obsm) == {"X_hvae", "hvae_concentration", "hvae_kl"}
        np.testing.assert_array_equal(encoded.obsm["X_hvae"], found["mean_direction"])
        np.testing.assert_array_equal(encoded.obsm["hvae_concentration"], found["concentration"])
        np.testing.assert_array_equal(encoded.obsm["hvae_kl"], found["kl"])
        assert found["row_names"].tolist() == cells.obs_names.tolist()

    @pytest.mark.parametrize(
        ("file", "out", "message"),
        [
            ("rows.npy", "x.h5ad", "x.h5ad is of an unknown format; allowed: .npz, .csv$"),
            ("x.h5ad", "x.txt", "allowed: .npz, .csv, .h5ad$"),
            ("rows.npy", "no/x.csv", "no is not a folder"),
            ("rows.npy", "there.csv", "there.csv is there; allowed: a new file, or --force"),
            ("gone.npy", "x.csv", "gone.npy"),
        ],
    )
    def test_what_is_refused_writes_nothing(self, run, tmp_path, file, out, message):
        (tmp_path / "there.csv").write_text("precious")
        before = sorted(tmp_path.iterdir())
        with pytest.raises(Exception, match=message):
            encode_file(run, file, out)
        assert sorted(tmp_path.iterdir()) == before
        assert (tmp_path / "there.csv").read_text() == "precious"

    def test_force_replaces(self, run, tmp_path):
        (tmp_path / "x.npz").write_text("old")
        encode_file(run, "test", "x.npz", Work(force=True))
        assert "kl" in arrays("x.npz")


class TestScore:
    def test_the_means_are_what_the_evaluation_stores(self, run):
        summary = score_file(run, "test", "x.npz", samples=6)
        document, found = evaluate_run(run, samples=6), arrays("x.npz")
        for key in ("elbo", "ll"):
            assert summary[key] == pytest.approx(document[key], rel=1e-13)
            assert found[key].mean() == pytest.approx(document[key], rel=1e-13)
        assert set(found) == {"labels", "elbo", "ll"}
        assert (summary["iw_samples"], summary["seed"], summary["rows"]) == (6, 4, 35)

    def test_the_lowest_are_named(self, run):
        summary = score_file(run, "rows.npy", "x.csv", samples=3, seed=9)
        ll = np.loadtxt("x.csv", delimiter=",", skiprows=1)[:, 1]
        assert Path("x.csv").read_text().splitlines()[0].strip() == "elbo,ll"
        assert [row["row"] for row in summary["lowest"]] == np.argsort(ll)[:5].tolist()
        assert [row["ll"] for row in summary["lowest"]] == sorted(ll)[:5]
        assert summary["lowest"][0]["name"] == str(np.argmin(ll)) and summary["seed"] == 9

    def test_samples_are_checked_before_the_run_is_read(self):
        with pytest.raises(Refused, match="--iw-samples: 0"):
            score_file("nowhere", "test", samples=0)


class TestDecode:
    @pytest.mark.parametrize("suffix", [".npz", ".csv"])
    def test_encoded_rows_come_back(self, run, suffix):
        encode_file(run, "rows.npy", f"x{suffix}")
        summary = decode_file(run, f"x{suffix}", "y.npz")
        loaded = load_run(run)
        expected = loaded.decode(loaded.encode(digits().test)).numpy()
        np.testing.assert_array_equal(arrays("y.npz")["mean"], expected)
        assert summary == {"run": "run", "shells": SHELLS, "rows": 35, "out": "y.npz"}

    def test_names_of_rows_are_kept(self, run):
        z = load_run(run).prior(2).numpy()
        np.savez("x.npz", z=z, row_names=np.array(["a", "b"]))
        decode_file(run, "x.npz", "y.csv")
        lines = Path("y.csv").read_text().splitlines()
        assert lines[0].split(",")[:3] == ["row_names", "mean_1", "mean_2"]
        assert [line.split(",")[0] for line in lines[1:]] == ["a", "b"]

    @pytest.mark.parametrize(
        ("given", "message"),
        [
            ({"kl": np.ones((2, 3))}, "no latent points; allowed: mean_direction or z, one of"),
            ({"z": np.ones((2, 7)), "mean_direction": np.ones((2, 7))}, "mean_direction and z; a"),
            ({"z": np.ones((2, 6))}, r"z is 2 x 6; allowed: \[N, 7\]"),
            ({"z": np.ones((2, 7))}, r"z, row 0 \(counted from 0\): shell 1 has length 1.73205"),
            ({"z": np.full((2, 7), "a")}, "z is of type <U1; allowed: numbers"),
        ],
    )
    def test_other_points_are_refused(self, run, given, message):
        np.savez("x.npz", **given)
        with pytest.raises(Refused, match=message):
            decode_file(run, "x.npz", "y.npz")


class TestSample:
    def test_draws_of_the_prior_decoded(self, run):
        sample_file(run, "x.npz", samples=8)
        found, loaded = arrays("x.npz"), load_run(run)
        np.testing.assert_array_equal(found["z"], loaded.prior(8, seed=4))
        np.testing.assert_array_equal(found["mean"], loaded.decode(loaded.prior(8, seed=4)))
        decode_file(run, "x.npz", "y.npz")
        np.testing.assert_array_equal(arrays("y.npz")["mean"], found["mean"])

    def test_one_component_around_a_row(self, run):
        sample_file(run, "x.npz", samples=8, shell=3, around=5, source="rows.npy", seed=1)
        z, mode = arrays("x.npz")["z"], load_run(run).encode(digits().test[5:6]).numpy()
        assert (z[:, :5] == mode[:, :5]).all()
        np.testing.assert_array_equal(z[:, 5:], load_run(run).prior(8, seed=1)[:, 5:])

    def test_the_test_split_is_the_default(self, run):
        sample_file(run, "x.csv", samples=2, shell=1, around=5)
        sample_file(run, "y.csv", samples=2, shell=1, around=5, source="rows.npy")
        assert Path("x.csv").read_text() == Path("y.csv").read_text()

    @pytest.mark.parametrize(
        ("given", "message"),
        [
            ({"shell": 1}, "--shell and --around: one without the other; allowed: both or none"),
            ({"around": 1}, "--shell and --around: one without the other"),
            ({"shell": 4, "around": 0}, r"--shell: 4 is not allowed; .* 1 to 3 \(3,e2,2\)"),
            ({"shell": 1, "around": 35}, "--around: 35 is not allowed; .* integer from 0 to 34"),
            ({"shell": 1, "around": -1}, "--around: -1 is not allowed"),
            ({"samples": 0}, "--n: 0 is not allowed"),
            ({"covariates": ("batch=a",)}, "--covariate: batch=a is not allowed; allowed: none"),
        ],
    )
    def test_what_is_refused(self, run, given, message):
        with pytest.raises(Refused, match=message):
            sample_file(run, "x.npz", **given)


class TestCovariates:
    """Of a model that was told of a batch, trained on a table of real numbers."""

    @pytest.fixture
    def told(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        x = np.random.default_rng(0).normal(size=(40, 3))
        lines = [f"{a},{b},{c},{'ab'[i % 2]}" for i, (a, b, c) in enumerate(x)]
        Path("all.csv").write_text("\n".join(["x,y,w,batch", *lines]))
        Path("rows.csv").write_text("\n".join(["batch,w,y,x", "a,1,2,3", "a,0.5,-1,0"]))
        own = TrainConfig(data="all.csv", covariate=("batch",), shells="3", epochs=1, hidden=(8,))
        train(own, "run")
        return load_run("run")

    def test_they_go_with_the_rows(self, told):
        encode_file("run", "rows.csv", "x.npz")
        encode_file("run", "rows.csv", "x.csv")
        assert arrays("x.npz")["covariates"].tolist() == [[1, 0]] * 2
        assert (
            Path("x.csv")
            .read_text()
            .splitlines()[0]
            .startswith("covariates_batch=a,covariates_batch=b,mean_")
        )
        decode_file("run", "x.npz", "y.npz")
        decode_file("run", "x.csv", "z.npz")
        z = torch.from_numpy(arrays("x.npz")["mean_direction"])
        expected = told.decode(z, told.covariates(["batch=a"])).numpy()
        for name in ("y.npz", "z.npz"):
            np.testing.assert_array_equal(arrays(name)["mean"], expected)
        decode_file("run", "x.npz", "b.npz", covariates=["batch=b"])
        decode_file("run", "x.npz", "b.csv", covariates=["batch=b"])
        assert Path("b.csv").read_text().startswith("mean_x,mean_y,mean_w\n")
        other = told.decode(z, told.covariates(["batch=b"])).numpy()
        np.testing.assert_array_equal(arrays("b.npz")["mean"], other)
        assert (other != expected).any()

    def test_samples_need_them_and_a_row_brings_its_own(self, told):
        with pytest.raises(Refused, match="allowed: one for each of batch: batch=a, batch=b"):
            sample_file("run", "x.npz")
        sample_file("run", "x.npz", samples=2, covariates=["batch=a"])
        sample_file("run", "y.npz", samples=2, shell=1, around=0, source="rows.csv")
        np.testing.assert_array_equal(arrays("x.npz")["mean"], arrays("y.npz")["mean"])

    def test_points_without_them_need_them_too(self, told):
        np.savez("x.npz", z=told.prior(2).numpy())
        with pytest.raises(Refused, match="--covariate: .* allowed: one for each of batch"):
            decode_file("run", "x.npz", "y.npz")
        np.savez("x.npz", z=told.prior(2).numpy(), covariates=np.ones((2, 3)))
        with pytest.raises(Refused, match=r"covariates are .* allowed: numbers \[N, 2\]"):
            decode_file("run", "x.npz", "y.npz")
        np.savez("x.npz", z=told.prior(2).numpy(), covariates=np.ones((3, 2)))
        with pytest.raises(Refused, match="covariates: 3 rows for 2 points"):
            decode_file("run", "x.npz", "y.npz")
