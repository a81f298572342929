"""Rows that are read as they are asked for: the same as in memory, and checked on the way."""

import made_files
import numpy as np
import pytest
import torch
from PIL import Image

from hvae.data import FileOptions, open_file, recognition, table
from hvae.data.binarization import Binarized, binarized
from hvae.errors import Refused

SPLITS = ("train", "validation", "test")


@pytest.fixture
def large(monkeypatch):
    """Every file is a large one, of which 8 blocks of 2 rows of 6 numbers are looked at."""
    monkeypatch.setattr(table, "LARGE_BYTES", 0)
    monkeypatch.setattr(recognition, "SAMPLE_NUMBERS", 200)


def write(folder, kind):
    """A file of 100 rows or more whose training rows are drawn, counts or real."""
    random = np.random.default_rng(0)
    if kind == "bytes":
        levels = random.integers(0, 256, (120, 6), np.uint8)
        levels[:, 0] = 255  # what levels are told by
        np.save(folder / "a.npy", levels)
    elif kind == "fortran":
        np.save(folder / "a.npy", np.asfortranarray(random.normal(size=(120, 6))))
    elif kind == "swapped":
        np.save(folder / "a.npy", random.normal(size=(120, 6)).astype(">f4"))
    elif kind in ("sparse", "dense"):
        made_files.cells(folder / "a.h5ad", rows=120, genes=6, sparse=kind == "sparse")
        return folder / "a.h5ad"
    else:
        made_files.pictures(folder / "a", each=60, size=(2, 3))
        return folder / "a"
    return folder / "a.npy"


@pytest.mark.parametrize("kind", ["bytes", "fortran", "swapped", "sparse", "dense", "pictures"])
def test_they_are_those_in_memory(tmp_path, large, monkeypatch, kind):
    path = write(tmp_path, kind)
    options = FileOptions(covariate=("donor",) if kind in ("sparse", "dense") else ())
    lazy = open_file(path, options)
    monkeypatch.setattr(table, "LARGE_BYTES", 1 << 28)
    held = open_file(path, options)
    assert not any(isinstance(getattr(lazy, name), torch.Tensor) for name in SPLITS)
    assert lazy.description.kind is held.description.kind
    for one, other in (
        *((getattr(lazy, name), getattr(held, name)) for name in SPLITS),
        (lazy.epoch(5, 2), held.epoch(5, 2)),
    ):
        wanted = other[:]
        assert len(one) == len(wanted) and torch.equal(one[:], wanted)
        index = torch.tensor([3, 0, 0, 7, 8, 9])
        assert torch.equal(one.index_select(0, index), wanted[index])
        assert torch.equal(one[2:9:3], wanted[2:9:3]) and torch.equal(one[4:4], wanted[4:4])


def test_what_was_found_is_said_of_a_sample(tmp_path, large):
    found = open_file(write(tmp_path, "bytes"))
    rows = recognition.SAMPLE_NUMBERS // 6 // 16 * 16
    assert f"in a sample of {rows} rows" in found.summary
    assert found.checksum.startswith("sampled-")


@pytest.mark.parametrize(
    ("first", "later", "reason"),
    [
        (0.5, 1.5, "1.5 among unit interval data; allowed: numbers from 0 to 1"),
        (3.0, 2.5, "2.5 among counts data; allowed: integers of at least 0"),
        (3.0, -1.0, "-1.0 among counts data; allowed: integers of at least 0"),
        (1.0, 2.0, "2.0 among binary data; allowed: 0 and 1"),
        (-0.5, np.nan, "nan; allowed: finite numbers"),
        (-0.5, -np.inf, "-inf; allowed: finite numbers"),
    ],
)
def test_a_bad_value_is_found_when_it_is_read(tmp_path, large, first, later, reason):
    array = np.full((5000, 6), first)
    array[17, 4] = later  # between two blocks of the sample
    np.save(tmp_path / "a.npy", array)
    found = open_file(tmp_path / "a.npy", binarized=False)
    place = int((found.train._index < 17).sum())
    assert found.train._index[place] == 17
    found.train[:place]
    for read in (
        lambda: found.train[:],
        lambda: found.train.index_select(0, torch.tensor([place])),
    ):
        with pytest.raises(Refused) as refused:
            read()
        message = str(refused.value)
        assert message.endswith(f"a.npy: row 17, column 4 (counted from 0): {reason}")


def test_a_picture_that_is_damaged_later_is_named(tmp_path, large):
    path = write(tmp_path, "pictures")
    found = open_file(path)
    for file in path.rglob("*.png"):
        file.write_bytes(file.read_bytes()[:45])
    with pytest.raises(Refused, match=r"\.png is damaged, or no PNG or JPEG"):
        found.train[:]


def test_dim_is_that_of_rows(tmp_path, large):
    found = open_file(write(tmp_path, "fortran"))
    with pytest.raises(ValueError, match="dim 1; allowed: 0, the rows"):
        found.train.index_select(1, torch.tensor([0]))


class TestBinarized:
    def test_the_place_of_a_number_decides_what_is_drawn(self, monkeypatch):
        levels = torch.rand(40, 7)
        rows = Binarized(levels, 5, seed=3, step=2)
        drawn = binarized(levels, 5, seed=3, step=2)
        assert torch.equal(rows[:], drawn) and torch.equal(rows[11:20], drawn[11:20])
        assert torch.equal(rows.index_select(0, torch.tensor([9, 2])), drawn[[9, 2]])
        monkeypatch.setattr("hvae.data.binarization._CHUNK_NUMBERS", 20)
        assert torch.equal(binarized(levels, 5, seed=3, step=2), drawn)
        assert not torch.equal(Binarized(levels, 5, seed=3, step=1)[:], drawn)

    def test_what_stands_behind_stays(self):
        levels = torch.cat([torch.rand(9, 3), torch.eye(9)], 1)
        assert torch.equal(Binarized(levels, 3, seed=0)[:][:, 3:], torch.eye(9).byte())


def test_sixteen_bits_and_another_size_are_refused(tmp_path):
    made_files.pictures(tmp_path / "a")
    Image.new("L", (6, 6)).save(tmp_path / "a" / "cat" / "wide.png")
    with pytest.raises(Refused, match=r"wide.png has 6 x 6 pixels; allowed: 5 x 6, as 000.png"):
        open_file(tmp_path / "a")
    Image.new("I;16", (5, 6)).save(tmp_path / "a" / "cat" / "wide.png")
    with pytest.raises(Refused, match=r"pixels of the mode I;16; allowed: 8 bits"):
        open_file(tmp_path / "a")
