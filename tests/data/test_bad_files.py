"""Files that are no data: one line that says what, where, and what is allowed; nothing is written.

Every reader meets real files that were damaged, from a fixed seed, and files of wrong content.
"""

import gzip
import os
import pickle
import shutil
import sys
import warnings

import made_files
import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from hvae.data import Dataset, FileOptions, open_file
from hvae.errors import EnvironmentProblem, Refused

DAMAGES = 60  # of every format


def refusal(path, **options):
    """The one line that refuses a file."""
    with pytest.raises(Refused) as refused:
        open_file(path, FileOptions(**options))
    message = str(refused.value)
    assert "\n" not in message and "allowed: " in message and len(message) < 600
    return message


# ---- damaged ---------------------------------------------------------------------------------


def _npy(path):
    made_files.digits(path, rows=12)


def _npz(path):
    random = np.random.default_rng(0)
    np.savez_compressed(path, train=random.normal(size=(9, 4)), test=random.normal(size=(3, 4)))


def _csv(path):
    made_files.cancer(path, rows=12)


def _packed(path):
    made_files.cancer(path.with_suffix(""), rows=12)
    path.write_bytes(gzip.compress(path.with_suffix("").read_bytes(), mtime=0))
    path.with_suffix("").unlink()


def _cells(path):
    made_files.cells(path, rows=12, genes=5)


def _dense_cells(path):
    made_files.cells(path, rows=12, genes=5, sparse=False)


def _old_cells(path):
    made_files.old_cells(path)


def _parquet(path):
    made_files.table(path, rows=12)


def _png(path):
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (6, 5)).astype(np.uint8)).save(path)


WRITERS = {
    "a.npy": (_npy, {}),
    "a.npz": (_npz, {}),
    "a.csv": (_csv, {"labels": "target"}),
    "a.csv.gz": (_packed, {"labels": "target"}),
    "a.h5ad": (_cells, {"labels": "type", "covariate": ("donor",)}),
    "dense.h5ad": (_dense_cells, {"layer": "raw"}),
    "old.h5ad": (_old_cells, {"labels": "type", "layer": "raw"}),
    "a.parquet": (_parquet, {"labels": "kind"}),
    "folder/a.png": (_png, {}),
    "folder/a.jpg": (_png, {}),
}


def damaged(content, random, kinds):
    """The bytes with one kind of damage: cut, flipped, repeated, replaced, or zeroed."""
    size = len(content)
    place = int(random.integers(size))
    other = int(random.integers(size))
    kind = random.integers(kinds)
    if kind == 0:
        return content[:place]
    if kind == 1:  # in the header, where most readers believe what they read
        place = int(random.integers(min(size, 200)))
    if kind in (1, 2):
        return content[:place] + bytes([content[place] ^ (1 << int(random.integers(8)))]) + content[
            place + 1 :
        ]  # fmt: skip
    if kind == 3:
        return content[: max(place, other)] + content[min(place, other) :]
    if kind == 4:
        return content[:place] + random.bytes(16) + content[place + 16 :]
    return content[:place] + b"\0" * 32 + content[place + 32 :]


@pytest.mark.parametrize("name", WRITERS)
def test_damaged_files_are_data_or_one_line(tmp_path, name):
    write, options = WRITERS[name]
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    write(path)
    if path.parent != tmp_path:  # splits of one image are refused for another reason
        for number in range(3):
            shutil.copy(path, path.with_name(f"z{number}{path.suffix}"))
    content, random = path.read_bytes(), np.random.default_rng(len(name))
    target = path.parent if path.parent != tmp_path else path
    open_file(target, FileOptions(**options))
    kinds = 5 if name.endswith(".h5ad") else 6  # of a zeroed heap HDF5 2.0 reads without end
    seen = {"data": 0, "refused": 0}
    for _ in range(DAMAGES):
        path.write_bytes(damaged(content, random, kinds))
        before = {file: os.stat(file).st_mtime_ns for file in tmp_path.rglob("*")}
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            try:
                found = open_file(target, FileOptions(**options))
                assert isinstance(found, Dataset) and torch.isfinite(found.train[:]).all()
                seen["data"] += 1
            except (Refused, EnvironmentProblem, MemoryError) as error:
                assert "\n" not in str(error), str(error)
                seen["refused"] += 1
        assert before == {file: os.stat(file).st_mtime_ns for file in tmp_path.rglob("*")}
    assert seen["refused"] >= DAMAGES // 6  # at least those that were cut


# ---- wrong content ---------------------------------------------------------------------------


class TestArrays:
    def save(self, tmp_path, array, **how):
        np.save(tmp_path / "a.npy", array, **how)
        return tmp_path / "a.npy"

    @pytest.mark.parametrize(
        ("array", "words"),
        [
            (np.zeros((0, 4)), "0 rows of 4 numbers"),
            (np.zeros((4, 0)), "4 rows of 0 numbers"),
            (np.zeros(4), "an array of shape (4,) and type float64"),
            (np.zeros(()), "an array of shape () and type float64"),
            (np.array([["a", "b"]] * 9), "type <U1"),
            (np.zeros((9, 2), complex), "type complex128"),
            (np.zeros((9, 2), "M8[s]"), "type datetime64[s]"),
            (np.zeros((9, 2), [("a", "f4")]), "type [('a', '<f4')]"),
        ],
    )
    def test_what_is_no_matrix_of_numbers(self, tmp_path, array, words):
        assert words in refusal(self.save(tmp_path, array))

    @pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
    def test_what_is_not_finite(self, tmp_path, value):
        array = np.ones((9, 3))
        array[4, 2] = value
        message = refusal(self.save(tmp_path, array))
        assert f"row 4, column 2 (counted from 0): {value}; allowed: finite" in message

    def test_pickles_are_not_loaded(self, tmp_path):
        path = self.save(tmp_path, np.array([[Trap()]] * 9, object), allow_pickle=True)
        assert "is damaged, or not what its name says" in refusal(path)
        (tmp_path / "b.npy").write_bytes(pickle.dumps(Trap()))
        assert "is damaged" in refusal(tmp_path / "b.npy")
        np.savez(tmp_path / "c.npz", train=np.array([[Trap()]] * 9, object))
        assert "is damaged" in refusal(tmp_path / "c.npz")
        assert not Trap.sprung

    def test_an_archive_under_another_name(self, tmp_path):
        np.savez(tmp_path / "a.npz", x=np.ones((3, 2)))
        shutil.move(tmp_path / "a.npz", tmp_path / "a.npy")
        assert "is an archive; allowed: under the suffix .npy, one array" in refusal(
            tmp_path / "a.npy"
        )

    def test_splits_that_do_not_fit(self, tmp_path):
        path = tmp_path / "a.npz"
        np.savez(path, train=np.ones((9, 3)), test=np.ones((9, 2)))
        assert "rows of shapes [(2,), (3,)]; allowed: the same in each split" in refusal(path)
        np.savez(path, x_train=np.ones((9, 3)), x_test=np.ones((9, 3)), y_train=[1], y_test=[2])
        assert "y_train has shape (1,); allowed: (9,), one label a row" in refusal(path)


class Trap:
    """Says whether anything unpickled it."""

    sprung = False

    def __reduce__(self):
        return (setattr, (sys.modules[__name__].Trap, "sprung", True))


class TestText:
    def write(self, tmp_path, text):
        (tmp_path / "a.csv").write_text(text)
        return tmp_path / "a.csv"

    @pytest.mark.parametrize(
        ("text", "words"),
        [
            ("", "is empty; allowed: a line of values or more"),
            ("\n\n", "is empty; allowed"),
            ("a,b\n", "0 rows of 2 numbers; allowed: 1 or more of each"),
            ("a,b\n1,2\n3\n", "line 3 has 1 values; allowed: 2, as in the first line"),
            ("1,2\n3,4,5\n", "line 2 has 3 values; allowed: 2, as in the first line"),
            ("a,b\n1,2\n\n3,x\n", "line 4, column 2 ('b'): 'x'; allowed: finite numbers in every"),
            ("a,b\n1,2\n,4\n", "line 3, column 1 ('a'): ''; allowed: finite numbers"),
            ("a,b\n1,nan\n", "line 2, column 2 ('b'): 'nan'; allowed: finite numbers"),
            ("a,b\n1,-inf\n", "line 2, column 2 ('b'): '-inf'; allowed: finite numbers"),
            ("a,a\n1,2\n", "line 1: two columns are called 'a'; allowed: a name for each"),
            ('a,b\n1,"2\n', "is damaged, or not what its name says"),
            ("1,2\n3,4\n", "2 rows, of which none are for train (by seed 0); allowed: 1 row or"),
        ],
    )
    def test_wrong_tables(self, tmp_path, text, words):
        assert words in refusal(self.write(tmp_path, text))

    def test_columns_that_are_not_there(self, tmp_path):
        path = self.write(tmp_path, "a,b,c\n" + "1,2,u\n" * 9)
        assert "'u'; allowed" in refusal(path)
        assert "(there is no column 'kind')" in refusal(path, labels="kind")
        path = self.write(tmp_path, "a,b\n" + "1,2\n" * 9)
        for option, name in (("labels", "labels"), ("covariate", "covariate"), ("split", "split")):
            value = ("kind",) if option == "covariate" else "kind"
            message = refusal(path, **{option: value})
            assert message.startswith(f"--{name}: ") and "has no column 'kind'; allowed" in message

    def test_a_column_of_splits_says_which(self, tmp_path):
        path = self.write(tmp_path, "a,s\n" + "1,train\n2,test\n3,other\n")
        assert "column s has other; allowed: train, training, validation" in refusal(
            path, split="s"
        )
        path = self.write(tmp_path, "a,s\n" + "1,train\n2,Test\n")
        assert "none are for validation (by column s)" in refusal(path, split="s")
        path = self.write(tmp_path, "a,s\n" + "1.5,train\n2.5,Test\n3.5,valid\n4.5,train\n")
        found = open_file(path, FileOptions(split="s"))
        assert found.train.flatten().tolist() == [1.5, 4.5]
        assert [found.validation.item(), found.test.item()] == [3.5, 2.5]

    def test_a_covariate_of_too_many_values(self, tmp_path):
        path = self.write(tmp_path, "a,b\n" + "".join(f"1,{i}\n" for i in range(1001)))
        assert "'b' has 1001 values; allowed: a column of at most 1000" in refusal(
            path, covariate=("b",)
        )


class TestOthers:
    def test_what_is_not_there_or_of_no_known_format(self, tmp_path):
        assert "'nowhere.csv' is not there; allowed: a file" in refusal("nowhere.csv")
        assert "is not there" in refusal("a\0b.npy")
        (tmp_path / "a.txt").write_text("1,2")
        message = refusal(tmp_path / "a.txt")
        assert "is of no format that is known; allowed: .npy, .npz, .csv, .csv.gz" in message
        (tmp_path / "folder").mkdir()
        assert "holds no image; allowed: .png, .jpg, .jpeg" in refusal(tmp_path / "folder")

    def test_layers(self, tmp_path):
        made_files.cells(tmp_path / "a.h5ad")
        message = refusal(tmp_path / "a.h5ad", layer="spliced")
        assert "--layer: " in message and "has no spliced; allowed: raw, doubled" in message
        (tmp_path / "b.h5ad").write_bytes(b"")
        assert "is damaged, or not what its name says" in refusal(tmp_path / "b.h5ad")

    def test_an_index_out_of_range_in_a_sparse_matrix(self, tmp_path):
        import h5py

        made_files.cells(tmp_path / "a.h5ad")
        with h5py.File(tmp_path / "a.h5ad", "r+") as file:
            file["X/indices"][0] = 1 << 30
        assert "is damaged" in refusal(tmp_path / "a.h5ad")

    def test_parquet(self, tmp_path):
        path = tmp_path / "a.parquet"
        pd.DataFrame({"a": [1.0, 2.0], "b": ["u", "v"]}).to_parquet(path)
        assert "column 'b' holds" in refusal(path)
        pd.DataFrame({"a": pd.array([1, None, 3], "Int64")}).to_parquet(path)
        assert "row 1 (counted from 0), column 'a' is empty; allowed: finite" in refusal(path)
        pd.DataFrame({"b": ["u", "v"]}).to_parquet(path)
        assert "2 rows of 0 numbers" in refusal(path, labels="b")

    @pytest.mark.skipif(os.geteuid() == 0, reason="root reads every file")
    def test_a_file_that_may_not_be_read(self, tmp_path):
        made_files.digits(tmp_path / "a.npy")
        (tmp_path / "a.npy").chmod(0)
        with pytest.raises(EnvironmentProblem, match="cannot be read: Permission denied"):
            open_file(tmp_path / "a.npy")
