"""hvae.tables: what is written comes back, whole or not at all, and others are refused."""

import os
import pickle
import sys

import anndata
import h5py
import numpy as np
import pytest
import scipy.sparse

from hvae import tables
from hvae.errors import EnvironmentProblem, Refused

NAMES = {"z": ("1_1", "1_2"), "kl": ("1",)}
ARRAYS = {
    "row_names": np.array(["a", 'b, "c"', "d\u00e9"]),
    "labels": np.array([2, 0, 1]),
    "z": np.array([[0.1, 1e-30], [-3e30, 2 / 3], [0, -0.0]], np.float32),
    "kl": np.array([[0.1], [1 / 3], [-np.inf]]),
    "ll": np.array([1 / 7, -1e-300, 5.0]),
}


def test_a_npz_has_the_arrays(tmp_path):
    tables.write(tmp_path / "x.npz", ARRAYS, NAMES)
    with np.load(tmp_path / "x.npz") as found:
        assert set(found) == set(ARRAYS)
        for name, array in ARRAYS.items():
            np.testing.assert_array_equal(found[name], array, strict=True)


def test_a_csv_has_a_column_for_each_number_and_keeps_all_digits(tmp_path):
    tables.write(tmp_path / "x.csv", ARRAYS, NAMES)
    text = (tmp_path / "x.csv").read_text("utf-8")
    assert text.splitlines()[:2] == [
        "row_names,labels,z_1_1,z_1_2,kl_1,ll",
        "a,2,0.100000001,1e-30,0.10000000000000001,0.14285714285714285",
    ]
    found = tables.read(tmp_path / "x.csv", {**NAMES, "row_names": ()})
    np.testing.assert_array_equal(found["z"].astype(np.float32), ARRAYS["z"])
    np.testing.assert_array_equal(found["kl"], ARRAYS["kl"])
    assert found["row_names"].tolist() == ARRAYS["row_names"].tolist()


def test_many_rows_are_written_in_order(tmp_path, monkeypatch):
    monkeypatch.setattr(tables, "_CHUNK_ROWS", 7)
    kl = np.arange(20.0)[:, None]
    tables.write(tmp_path / "x.csv", {"kl": kl}, NAMES)
    np.testing.assert_array_equal(tables.read(tmp_path / "x.csv", NAMES)["kl"], kl)


@pytest.mark.parametrize("suffix", [".npz", ".csv"])
def test_only_what_is_asked_for_is_read(tmp_path, suffix):
    path = tmp_path / f"x{suffix}"
    tables.write(path, ARRAYS, NAMES)
    assert set(tables.read(path, {"kl": NAMES["kl"], "nothing": ("1",)})) == {"kl"}


@pytest.mark.parametrize("suffix", [".npz", ".csv"])
def test_a_write_that_fails_leaves_what_was_there(tmp_path, monkeypatch, suffix):
    path = tmp_path / f"x{suffix}"
    path.write_text("before")

    def fail(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(EnvironmentProblem, match="cannot be written: No space left"):
        tables.write(path, ARRAYS, NAMES)
    assert path.read_text() == "before" and len(list(tmp_path.iterdir())) == 1


def junk(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    return tmp_path / name


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("x.npz", b"", "is damaged"),
        ("x.npz", b"PK\x03\x04 no archive", "is damaged"),
        ("x.npz", pickle.dumps({"z": 1}), "is damaged"),
        ("x.csv", b"", None),
        ("x.csv", b"z_1_1\n1\n", r"has no column z_1_2\); allowed: a .csv file as hvae writes it"),
        ("x.csv", b"z_1_1,z_1_2\n1\n", "line 2 has 1 cells; allowed: 2, as the first line"),
        ("x.csv", b"z_1_1,z_1_2\n1,one\n", "is damaged .could not convert string to float"),
        ("x.csv", b"\xff\xfe", "is damaged"),
        ("x.csv", b"z_1_1\0,z_1_2\n", "is damaged"),
        ("x.txt", b"", "is of an unknown format; allowed: .npz, .csv"),
    ],
)
def test_other_files_are_refused_in_one_line(tmp_path, name, content, message):
    path = junk(tmp_path, name, content)
    if message is None:
        assert tables.read(path, NAMES) == {}
        return
    with pytest.raises(Refused, match=message) as refused:
        tables.read(path, NAMES)
    assert "\n" not in str(refused.value) and str(path) in str(refused.value)


def test_an_object_array_is_not_unpickled(tmp_path):
    np.savez(tmp_path / "x.npz", z=np.array([{}], dtype=object))
    with pytest.raises(Refused, match="is damaged"):
        tables.read(tmp_path / "x.npz", NAMES)


def test_a_missing_file_is_refused_and_a_folder_is_a_problem(tmp_path):
    with pytest.raises(Refused, match="x.csv is missing; allowed: "):
        tables.read(tmp_path / "x.csv", NAMES)
    (tmp_path / "y.csv").mkdir()
    with pytest.raises(EnvironmentProblem, match="cannot be read"):
        tables.read(tmp_path / "y.csv", NAMES)


class TestOutput:
    def check(self, path, force=False, source=None):
        tables.check_output(path, (".npz", ".csv"), force, source)

    def test_a_new_file_is_allowed_and_one_that_is_there_with_force(self, tmp_path):
        self.check(tmp_path / "x.npz")
        (tmp_path / "x.npz").touch()
        self.check(tmp_path / "x.npz", force=True, source=tmp_path / "gone")
        with pytest.raises(Refused, match="x.npz is there; allowed: a new file, or --force"):
            self.check(tmp_path / "x.npz")

    def test_others_are_refused(self, tmp_path):
        with pytest.raises(Refused, match="unknown format; allowed: .npz, .csv$"):
            self.check(tmp_path / "x.h5ad")
        with pytest.raises(Refused, match="no is not a folder"):
            self.check(tmp_path / "no" / "x.csv")
        (tmp_path / "x.csv").mkdir()
        with pytest.raises(Refused, match="x.csv is a folder"):
            self.check(tmp_path / "x.csv")

    def test_the_file_that_is_read_is_never_replaced(self, tmp_path):
        (tmp_path / "x.csv").touch()
        (tmp_path / "y.csv").symlink_to(tmp_path / "x.csv")
        for path in ("x.csv", "y.csv"):
            with pytest.raises(Refused, match="is the file that is read; allowed: another one"):
                self.check(tmp_path / path, force=True, source=tmp_path / "x.csv")


class TestObsm:
    ADDED = {"X_hvae": np.array([[1, 0], [0, 1], [0.6, 0.8]], np.float32)}

    @pytest.fixture
    def cells(self, tmp_path):
        cells = anndata.AnnData(scipy.sparse.csr_matrix(np.eye(3, 4, dtype=np.float32)))
        cells.obs["type"] = np.array(["a", "b", "a"])
        cells.obsm["X_pca"] = np.ones((3, 2))
        cells.write_h5ad(tmp_path / "cells.h5ad")
        return tmp_path / "cells.h5ad"

    def test_the_copy_has_everything_and_what_is_added(self, cells, tmp_path):
        before = cells.read_bytes()
        tables.write_obsm(cells, tmp_path / "new.h5ad", self.ADDED)
        found = anndata.read_h5ad(tmp_path / "new.h5ad")
        assert set(found.obsm) == {"X_pca", "X_hvae"}
        np.testing.assert_array_equal(found.obsm["X_hvae"], self.ADDED["X_hvae"], strict=True)
        assert found.obs["type"].tolist() == ["a", "b", "a"]
        np.testing.assert_array_equal(found.X.toarray(), np.eye(3, 4))
        assert cells.read_bytes() == before

    def test_what_was_added_before_is_replaced(self, cells, tmp_path):
        tables.write_obsm(cells, tmp_path / "new.h5ad", {"X_hvae": np.zeros((3, 7))})
        tables.write_obsm(tmp_path / "new.h5ad", tmp_path / "newer.h5ad", self.ADDED)
        found = anndata.read_h5ad(tmp_path / "newer.h5ad").obsm["X_hvae"]
        np.testing.assert_array_equal(found, self.ADDED["X_hvae"])

    @pytest.mark.filterwarnings("ignore::PendingDeprecationWarning")  # of anndata, on old files
    @pytest.mark.parametrize("fields", [[], [("X_pca", "f4", (2,))]])
    def test_old_layouts_whose_obsm_is_one_table(self, tmp_path, fields):
        with h5py.File(tmp_path / "old.h5ad", "w") as file:
            file["X"] = np.eye(3, 4, dtype=np.float32)
            file["obs"] = np.array([(b"a",), (b"b",), (b"c",)], [("index", "S1")])
            file["var"] = np.array([(b"w",), (b"x",), (b"y",), (b"z",)], [("index", "S1")])
            if fields:
                file["obsm"] = np.array([([1, 2],), ([3, 4],), ([5, 6],)], fields)
        tables.write_obsm(tmp_path / "old.h5ad", tmp_path / "new.h5ad", self.ADDED)
        found = anndata.read_h5ad(tmp_path / "new.h5ad")
        assert found.obs_names.tolist() == ["a", "b", "c"]
        np.testing.assert_array_equal(found.obsm["X_hvae"], self.ADDED["X_hvae"])
        if fields:
            np.testing.assert_array_equal(found.obsm["X_pca"], [[1, 2], [3, 4], [5, 6]])

    def test_without_h5py_one_line_says_what_to_install(self, cells, tmp_path, monkeypatch):
        monkeypatch.setitem(sys.modules, "h5py", None)
        with pytest.raises(EnvironmentProblem, match=r'pip install "hvae\[data\]"'):
            tables.write_obsm(cells, tmp_path / "new.h5ad", self.ADDED)
        assert not (tmp_path / "new.h5ad").exists()
