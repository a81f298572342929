"""hvae.data.open_file and read_rows: every format, what is recognised, and what is made of it."""

import gzip

import made_files
import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from sklearn.datasets import load_digits

from hvae.data import FileOptions, open_file, read_rows
from hvae.description import DataDescription, Kind
from hvae.errors import Refused
from hvae.model import LIKELIHOODS

SPLITS = ("train", "validation", "test")


def whole(dataset):
    """All rows, split by split."""
    return torch.cat([getattr(dataset, name)[:] for name in SPLITS])


def same_rows(found, wanted):
    """Whether the rows are those, in another order."""
    wanted = np.asarray(wanted, np.float64).reshape(len(wanted), -1)
    found = found.double().numpy()
    return np.array_equal(found[np.lexsort(found.T)], wanted[np.lexsort(wanted.T)])


class TestFormats:
    def test_npy_counts_of_images(self, tmp_path):
        images = made_files.digits(tmp_path / "digits.npy")
        found = open_file(tmp_path / "digits.npy")
        assert found.description.shape == (8, 8) and found.description.kind is Kind.COUNTS
        assert found.description.maxima == tuple(images.reshape(300, 64).max(0).astype(int))
        assert (found.name, found.labels, found.verified) == ("digits", None, True)
        assert same_rows(whole(found), images)
        assert found.summary == (
            "digits.npy: 300 rows x 8x8 counts (0 to 16), split 240/30/30 by seed 0"
        )

    def test_csv_of_reals_with_labels(self, tmp_path):
        frame = made_files.cancer(tmp_path / "cancer.csv", rows=100)
        found = open_file(tmp_path / "cancer.csv", FileOptions(labels="target"))
        assert found.description.features == tuple(frame.columns[:-1])
        assert found.description.kind is Kind.REAL and found.train.dtype is torch.float64
        assert found.label_names == ("benign", "malignant")
        wanted = frame.to_numpy()[:, :-1].astype(float)
        assert same_rows(whole(found), wanted)
        of_row = {tuple(row): name for row, name in zip(wanted, frame["target"], strict=True)}
        for name in SPLITS:
            rows, codes = getattr(found, name), found.labels[name]
            assert codes.dtype is torch.int64
            for row, code in zip(rows.tolist(), codes.tolist(), strict=True):
                assert found.label_names[code] == of_row[tuple(row)]

    @pytest.mark.parametrize("delimiter", [",", ";", "\t"])
    @pytest.mark.parametrize("header", [True, False])
    def test_csv_packed_and_with_other_separators(self, tmp_path, delimiter, header):
        frame = pd.DataFrame(np.random.default_rng(0).normal(size=(30, 3)), columns=list("abc"))
        text = frame.to_csv(index=False, header=header, sep=delimiter)
        (tmp_path / "t.csv.gz").write_bytes(gzip.compress(text.encode()))
        found = open_file(tmp_path / "t.csv.gz")
        assert found.description.features == (tuple("abc") if header else None)
        assert found.name == "t" and same_rows(whole(found), frame.to_numpy())

    def test_csv_with_names_of_rows(self, tmp_path):
        frame = pd.DataFrame({"a": [0.5, 1.5, -2.0]}, index=["x", "y", "z"])
        frame.to_csv(tmp_path / "t.csv")
        found = read_rows(tmp_path / "t.csv", DataDescription((1,), Kind.REAL))
        assert found.row_names == ("x", "y", "z")
        assert found.rows[:].flatten().tolist() == [0.5, 1.5, -2.0]

    @pytest.mark.parametrize("sparse", [True, False])
    @pytest.mark.parametrize(("layer", "factor"), [(None, 1), ("doubled", 2), ("raw", 1)])
    def test_h5ad(self, tmp_path, sparse, layer, factor):
        written = made_files.cells(tmp_path / "cells.h5ad", sparse=sparse)
        counts = written.X.toarray() if sparse else written.X
        options = FileOptions(labels="type", layer=layer, covariate=("donor",))
        found = open_file(tmp_path / "cells.h5ad", options)
        assert found.description.kind is Kind.COUNTS
        assert found.description.covariates == ("donor=d1", "donor=d2")
        assert found.description.features == tuple(written.var_names)
        assert found.label_names == ("B", "NK", "T")
        one_hot = [[donor == "d1", donor == "d2"] for donor in written.obs["donor"]]
        assert same_rows(whole(found), np.hstack([factor * counts, one_hot]))
        assert isinstance(found.train, torch.Tensor) is not sparse

    @pytest.mark.parametrize("layer", ["raw", None])
    def test_h5ad_of_an_old_layout(self, tmp_path, layer):
        counts, types = made_files.old_cells(tmp_path / "old.h5ad")
        options = FileOptions(labels="type", layer=layer, covariate=("age",))
        found = open_file(tmp_path / "old.h5ad", options)
        assert found.label_names == ("(none)", "B", "T")
        assert found.description.covariates == ("age=3.5",)
        assert found.description.features == ("g0", "g1", "g2", "g3", "g4")
        data = counts if layer else np.log1p(counts)
        assert same_rows(whole(found), np.hstack([data, np.ones((20, 1))]))
        rows = read_rows(tmp_path / "old.h5ad", found.description, options)
        assert [rows.label_names[code] for code in rows.labels.tolist()] == types
        assert rows.row_names[:2] == ("c0", "c1")

    def test_parquet(self, tmp_path):
        frame = made_files.table(tmp_path / "t.parquet")
        found = open_file(tmp_path / "t.parquet", FileOptions(labels="kind"))
        assert found.description.features == ("a", "b") and found.label_names == ("u", "v")
        assert same_rows(whole(found), frame[["a", "b"]].to_numpy())

    @pytest.mark.parametrize(("mode", "shape"), [("L", (6, 5)), ("RGB", (3, 6, 5))])
    def test_pictures(self, tmp_path, mode, shape):
        pixels = made_files.pictures(tmp_path / "pets", mode=mode)
        found = open_file(tmp_path / "pets", binarized=False)
        assert (found.description.shape, found.description.kind) == (shape, Kind.UNIT)
        assert found.label_names == ("cat", "dog")
        wanted = pixels if mode == "L" else pixels.transpose(0, 3, 1, 2)
        rows = whole(found)
        assert rows.dtype is torch.float32 and same_rows((255 * rows).round(), wanted)
        assert "divided by 255" in found.summary

    def test_pictures_in_folders_of_splits(self, tmp_path):
        for name in ("train", "val", "test"):
            made_files.pictures(tmp_path / "pets" / name, each=3)
        found = open_file(tmp_path / "pets")
        assert [len(getattr(found, name)) for name in SPLITS] == [6, 6, 6]
        assert found.label_names == ("cat", "dog") and "the file's own" in found.summary

    def test_jpeg_and_a_picture_with_a_palette(self, tmp_path):
        made_files.pictures(tmp_path / "pets", suffix="jpg", classes=("cat",))
        Image.new("P", (5, 6)).save(tmp_path / "pets" / "cat" / "p.png")
        assert open_file(tmp_path / "pets").description.shape == (3, 6, 5)


class TestArchives:
    def write(self, path, **arrays):
        np.savez(path, **arrays)
        return path

    def test_splits_with_labels(self, tmp_path):
        images, labels = load_digits().images[:90] / 16, load_digits().target[:90]
        path = self.write(
            tmp_path / "a.npz",
            x_train=images[:60], y_train=labels[:60], valid=images[60:70],
            labels_valid=labels[60:70], x_test=images[70:], y_test=labels[70:],
        )  # fmt: skip
        found = open_file(path, binarized=False)
        for name, part in zip(SPLITS, (slice(60), slice(60, 70), slice(70, 90)), strict=True):
            rows = torch.from_numpy(images[part].reshape(-1, 64)).float()
            assert torch.equal(getattr(found, name), rows)
            assert torch.equal(found.labels[name], torch.from_numpy(labels[part]))
        assert found.label_names == tuple("0123456789")

    def test_validation_comes_from_training_where_there_is_none(self, tmp_path):
        random = np.random.default_rng(1)
        train, test = random.normal(size=(90, 4)), random.normal(size=(11, 4))
        path = self.write(tmp_path / "a.npz", train=train, test=test)
        found = open_file(path)
        assert [len(getattr(found, name)) for name in SPLITS] == [80, 10, 11]
        assert same_rows(torch.cat([found.train, found.validation]), train)
        assert torch.equal(found.test, torch.from_numpy(test))

    def test_one_array_and_columns(self, tmp_path):
        random = np.random.default_rng(1)
        rows, batch = random.normal(size=(40, 4)), random.integers(0, 2, 40)
        path = self.write(tmp_path / "a.npz", X=rows, y=np.arange(40) % 3, batch=batch, m=rows)
        found = open_file(path, FileOptions(covariate=("batch",)))
        assert found.label_names == ("0", "1", "2")
        assert same_rows(whole(found)[:, 4:], np.stack([batch == 0, batch == 1], 1))

    def test_two_candidates_are_refused(self, tmp_path):
        path = self.write(tmp_path / "a.npz", a=np.zeros((3, 2)), b=np.zeros((3, 2)))
        with pytest.raises(Refused, match="its arrays are a, b; allowed: train, validation and"):
            open_file(path)


class TestKinds:
    def opened(self, tmp_path, array, likelihood=None, **options):
        np.save(tmp_path / "a.npy", array)
        own = LIKELIHOODS[likelihood] if likelihood else None
        return open_file(
            tmp_path / "a.npy",
            FileOptions(**options),
            takes=own and own.takes,
            binarized=own.binarizes if own else None,
        )

    ARRAYS = {
        "binary": np.eye(12, dtype=np.int16),
        "unit": np.linspace(0, 1, 40, dtype=np.float32).reshape(10, 4),
        "real": np.linspace(-1, 1, 40).reshape(10, 4),
        "counts": np.arange(40, dtype=np.int64).reshape(10, 4),
        "bytes": (np.arange(1000) % 256).astype(np.uint8).reshape(100, 10),
        "small bytes": np.arange(40, dtype=np.uint8).reshape(10, 4),
    }

    @pytest.mark.parametrize(
        ("array", "likelihood", "kind"),
        [
            ("binary", None, Kind.BINARY),
            ("binary", "negative-binomial", Kind.COUNTS),
            ("binary", "continuous-bernoulli", Kind.BINARY),
            ("unit", None, Kind.UNIT),
            ("unit", "gaussian", Kind.UNIT),
            ("real", None, Kind.REAL),
            ("real", "poisson", Kind.REAL),  # which then refuses them
            ("counts", None, Kind.COUNTS),
            ("counts", "gaussian", Kind.COUNTS),
            ("bytes", None, Kind.UNIT),
            ("bytes", "binomial", Kind.COUNTS),
            ("bytes", "continuous-bernoulli", Kind.UNIT),
            ("small bytes", None, Kind.COUNTS),
        ],
    )
    def test_the_first_that_the_likelihood_takes(self, tmp_path, array, likelihood, kind):
        found = self.opened(tmp_path, self.ARRAYS[array], likelihood)
        assert found.description.kind is kind
        if kind is not Kind.UNIT:
            assert same_rows(whole(found), self.ARRAYS[array])

    def test_grey_levels_as_binomial_go_up_to_255_each(self, tmp_path):
        found = self.opened(tmp_path, self.ARRAYS["bytes"], "binomial")
        assert found.description.maxima == (255,) * 10 and found.train.dtype is torch.uint8

    def test_another_shape(self, tmp_path):
        found = self.opened(tmp_path, self.ARRAYS["counts"], image_shape="2x2")
        assert found.description.shape == (2, 2)
        with pytest.raises(Refused, match="--image-shape: '3x2' is not allowed; .* product is 4"):
            self.opened(tmp_path, self.ARRAYS["counts"], image_shape="3x2")


class TestBinarization:
    """Of 50 000 numbers of p = 0.3 the share of ones is within 0.0103, five standard errors."""

    @pytest.fixture(params=["float", "bytes"])
    def found(self, request, tmp_path):
        levels = np.full((500, 125), 0.3, np.float32)
        levels[0, :2] = 0, 1
        if request.param == "bytes":
            levels = np.where(levels == np.float32(0.3), 77, 255 * levels).astype(np.uint8)
        np.savez(tmp_path / "a.npz", train=levels[:400], valid=levels[400:450], test=levels[450:])
        return open_file(tmp_path / "a.npz")

    def test_training_rows_are_drawn_anew_each_epoch(self, found):
        assert found.binarization == "dynamic"
        one, other = found.epoch(3, 1), found.epoch(3, 2)
        assert one.dtype is torch.uint8 and one.max() == 1
        assert one[0, :2].tolist() == other[0, :2].tolist() == [0, 1]
        assert abs(one.float().mean().item() - 0.302) < 0.0103
        assert torch.equal(one, found.epoch(3, 1)) and not torch.equal(one, other)

    def test_the_others_once(self, found, tmp_path):
        again = open_file(tmp_path / "a.npz")
        for name in ("validation", "test"):
            rows = getattr(found, name)
            assert rows.dtype is torch.uint8 and set(rows.unique().tolist()) == {0, 1}
            assert torch.equal(rows, getattr(again, name))
        assert not torch.equal(found.validation, found.test)

    def test_covariates_are_not_drawn(self, tmp_path):
        batch = np.array(["a", "b"] * 10)
        np.savez(tmp_path / "c.npz", x=np.full((20, 3), 0.5), batch=batch)
        found = open_file(tmp_path / "c.npz", FileOptions(covariate=("batch",)))
        for rows in (found.epoch(0, 1), found.validation, found.test):
            assert rows.shape[1] == 5 and (rows[:, 3:].sum(1) == 1).all()


class TestReadRows:
    @pytest.fixture
    def trained(self, tmp_path):
        made_files.cells(tmp_path / "cells.h5ad")
        self.options = FileOptions(labels="type", covariate=("donor",))
        return open_file(tmp_path / "cells.h5ad", self.options).description

    def test_every_row_in_its_order(self, tmp_path, trained):
        written = made_files.cells(tmp_path / "more.h5ad", rows=30, seed=9)
        found = read_rows(tmp_path / "more.h5ad", trained, self.options)
        assert found.row_names == tuple(written.obs_names)
        rows = found.rows[:]
        assert np.array_equal(rows[:, :12].numpy(), written.X.toarray())
        donors = ["d1" if first else "d2" for first in rows[:, 12].tolist()]
        assert donors == list(written.obs["donor"])
        types = [found.label_names[code] for code in found.labels.tolist()]
        assert types == list(written.obs["type"])

    def test_columns_are_matched_by_name(self, tmp_path, trained):
        written = made_files.cells(tmp_path / "more.h5ad", rows=30, genes=14)
        written[:, ::-1].copy().write_h5ad(tmp_path / "turned.h5ad")
        found = read_rows(tmp_path / "turned.h5ad", trained, self.options).rows[:]
        assert np.array_equal(found[:, :12].numpy(), written.X.toarray()[:, :12])
        made_files.cells(tmp_path / "fewer.h5ad", genes=10)
        with pytest.raises(Refused, match="lacks 2 columns of the model: gene10, gene11; allowed"):
            read_rows(tmp_path / "fewer.h5ad", trained, self.options)

    def test_labels_may_be_absent_and_covariates_not(self, tmp_path, trained):
        written = made_files.cells(tmp_path / "more.h5ad")
        del written.obs["type"]
        written.write_h5ad(tmp_path / "more.h5ad")
        assert read_rows(tmp_path / "more.h5ad", trained, self.options).labels is None
        written.obs["donor"] = "d3"
        written.write_h5ad(tmp_path / "other.h5ad")
        with pytest.raises(Refused, match="'donor=d3' was not among the training data; allowed"):
            read_rows(tmp_path / "other.h5ad", trained, self.options)
        del written.obs["donor"]
        written.write_h5ad(tmp_path / "none.h5ad")
        with pytest.raises(Refused, match="--covariate: .* has no column 'donor'; allowed: none"):
            read_rows(tmp_path / "none.h5ad", trained, self.options)

    def test_other_rows_are_refused(self, tmp_path):
        np.save(tmp_path / "a.npy", np.full((3, 4), 0.5))
        counts = DataDescription((4,), Kind.COUNTS)
        with pytest.raises(Refused, match=r"row 0, column 0 .*: 0.5 among counts data; allowed"):
            read_rows(tmp_path / "a.npy", counts)
        with pytest.raises(Refused, match="rows of 4 numbers; allowed: 5, as the model"):
            read_rows(tmp_path / "a.npy", DataDescription((5,), Kind.REAL))

    def test_probabilities_are_drawn_where_that_is_asked_for(self, tmp_path):
        np.save(tmp_path / "a.npy", np.full((3, 40), 0.5, np.float32))
        unit = DataDescription((40,), Kind.UNIT)
        assert (read_rows(tmp_path / "a.npy", unit).rows[:] == 0.5).all()
        drawn = read_rows(tmp_path / "a.npy", unit, binarized=True).rows[:]
        assert set(drawn.unique().tolist()) == {0, 1}
