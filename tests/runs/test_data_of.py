"""hvae.runs.data_of: the published set or the file that the settings of a run name."""

import made_files
import numpy as np
import pytest
import torch
from few import config, digits

from hvae import data, evaluate_run, files, resume, train
from hvae.description import DataDescription, Kind
from hvae.errors import Refused
from hvae.observer import Observer
from hvae.runs.data_of import data_of, rows_of
from hvae.runs.folder import RESULT


class Listener(Observer):
    def __init__(self):
        self.found, self.warnings = [], []

    def data(self, summary):
        self.found.append(summary)

    def warning(self, text):
        self.warnings.append(text)


@pytest.fixture
def cells(tmp_path):
    made_files.cells(tmp_path / "cells.h5ad", rows=80)
    return tmp_path / "cells.h5ad"


def of_cells(path, **settings):
    return config(data=str(path), labels="type", covariate=("donor",), epochs=2, **settings)


def test_a_published_set_is_loaded_as_before(monkeypatch):
    asked = []
    monkeypatch.setattr(data, "load", lambda *a, **k: asked.append((a, k)) or digits())
    assert data_of(config(), "here", recorded="there", progress=print) is digits()
    assert asked == [(("digits", "here"), {"recorded": "there", "progress": print})]


@pytest.mark.parametrize(
    ("likelihood", "kind", "binarization"),
    [
        ("auto", Kind.UNIT, "dynamic"),
        ("bernoulli", Kind.UNIT, "dynamic"),
        ("continuous-bernoulli", Kind.UNIT, "none"),
        ("gaussian", Kind.UNIT, "none"),
        ("binomial", Kind.COUNTS, "none"),
    ],
)
def test_the_likelihood_decides_what_levels_are(tmp_path, likelihood, kind, binarization):
    made_files.pictures(tmp_path / "pets")
    found = data_of(config(data=str(tmp_path / "pets"), likelihood=likelihood))
    assert (found.description.kind, found.binarization) == (kind, binarization)


def test_rows_are_drawn_where_the_likelihood_wants_that(tmp_path):
    np.save(tmp_path / "a.npy", np.full((5, 40), 0.5))
    unit = DataDescription((40,), Kind.UNIT)
    for likelihood, drawn in (("bernoulli", True), ("auto", True), ("gaussian", False)):
        settings = config(data=str(tmp_path / "a.npy"), likelihood=likelihood)
        rows = rows_of(settings, unit, tmp_path / "a.npy", binarized=True).rows[:]
        assert (rows.dtype is torch.uint8) is drawn
        assert (rows_of(settings, unit, tmp_path / "a.npy").rows[:] == 0.5).all()


class TestRuns:
    def test_it_is_said_what_was_found(self, cells, tmp_path):
        listener = Listener()
        train(of_cells(cells), tmp_path / "run", observer=listener)
        evaluate_run(tmp_path / "run", samples=2, observer=listener)
        summary = "cells.h5ad: 80 rows x 12 counts"
        assert [text.startswith(summary) for text in listener.found] == [True, True]
        assert "labels type (3), covariate donor, split 64/8/8 by seed 0" in listener.found[0]
        assert files.read_json(tmp_path / "run" / RESULT)["dataset"] == "cells"

    @pytest.mark.parametrize("large", [False, True])
    def test_a_run_goes_on_to_the_same_bits(self, tmp_path, monkeypatch, large):
        """Levels that are drawn each epoch, in memory and as they are asked for."""
        monkeypatch.setattr(data.table, "LARGE_BYTES", 0 if large else 1 << 28)
        made_files.pictures(tmp_path / "pets", each=30)
        settings = config(data=str(tmp_path / "pets"), checkpoint_every=0)
        train(settings, tmp_path / "whole")
        train(settings, tmp_path / "cut")
        (tmp_path / "cut" / RESULT).unlink()
        (tmp_path / "cut" / "last" / "epoch-000003.safetensors").unlink()
        assert resume(tmp_path / "cut")["epochs"] == 3
        for name in ("best.safetensors", "last/epoch-000003.safetensors"):
            one, other = (files.read_tensors(tmp_path / run / name) for run in ("whole", "cut"))
            assert all(torch.equal(one[key], other[key]) for key in one)

    def test_in_memory_and_mapped_training_are_the_same(self, tmp_path, monkeypatch):
        made_files.pictures(tmp_path / "pets", each=30)
        figures = []
        for bytes_ in (0, 1 << 28):
            monkeypatch.setattr(data.table, "LARGE_BYTES", bytes_)
            result = train(config(data=str(tmp_path / "pets")), tmp_path / str(bytes_))
            figures.append(result["validation"])
        assert figures[0] == figures[1]

    def test_another_file_under_the_name_is_warned_of_and_not_resumed(self, cells, tmp_path):
        listener = Listener()
        train(of_cells(cells, checkpoint_every=0), tmp_path / "run")
        made_files.cells(cells, rows=80, seed=8)
        evaluate_run(tmp_path / "run", samples=2, observer=listener)
        assert [text.startswith("the run was trained on other data") for text in listener.warnings]
        assert len(listener.warnings) == 1
        (tmp_path / "run" / RESULT).unlink()
        with pytest.raises(Refused, match="was trained on other data, of checksum .*; allowed: "):
            resume(tmp_path / "run")

    def test_a_file_that_was_moved_is_found_by_the_folder(self, cells, tmp_path):
        train(of_cells(cells), tmp_path / "run")
        (tmp_path / "new").mkdir()
        cells.rename(tmp_path / "new" / "cells.h5ad")
        with pytest.raises(Refused, match="cells.h5ad' is not there; allowed: a file"):
            evaluate_run(tmp_path / "run", samples=2)
        found = evaluate_run(tmp_path / "run", samples=2, data_dir=str(tmp_path / "new"))
        assert (found["warnings"], found["images"]) == ([], 8)
