"""hvae.runs.products: what multiplies is measured once, kept, and recorded with a run."""

import json
from pathlib import Path

import pytest
import torch
from few import config, digits

from hvae import data, files, ops
from hvae.devices import processor
from hvae.evaluation.of_run import evaluate_run
from hvae.model.linear import Linear
from hvae.runs import load_run, products, read_config
from hvae.runs.assembly import assemble
from hvae.training.begin import train
from hvae.training.resumption import resume

CASE = f"{processor()}; torch {torch.__version__}; threads {torch.get_num_threads()}"

needs_onednn = pytest.mark.skipif(
    "onednn" not in ops.available_products(), reason="this torch has no oneDNN"
)
pytestmark = needs_onednn


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """An empty cache, and a process that knows nothing."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(products, "_found", {})
    return products.cache_file()


def measured(monkeypatch, **seconds):
    """Let a measurement have this outcome; how often there was one."""
    asked = []
    monkeypatch.setattr(products, "times", lambda: (asked.append(1), seconds)[1])
    return asked


def layers(model):
    return {layer.products for layer in model.modules() if isinstance(layer, Linear)}


@pytest.mark.parametrize(
    ("seconds", "name"),
    [
        ({"torch": 1.0, "onednn": 0.5}, "onednn"),
        ({"torch": 1.15, "onednn": 1.0}, "onednn"),
        ({"torch": 1.14, "onednn": 1.0}, "torch"),
        ({"torch": 1.0, "onednn": 2.0}, "torch"),
        ({"torch": 1.0}, "torch"),
    ],
)
def test_another_library_than_torchs_own_must_gain_a_seventh(seconds, name):
    assert products.fastest(seconds) == name


def test_it_is_measured_once_for_a_machine(monkeypatch, cache):
    asked = measured(monkeypatch, torch=2.0, onednn=1.0)
    assert [products.chosen_products("cpu") for _ in range(3)] == ["onednn"] * 3
    assert files.read_json(cache) == {CASE: "onednn"}
    monkeypatch.setattr(products, "_found", {})  # another process
    measured(monkeypatch, torch=1.0, onednn=2.0)
    assert products.chosen_products("cpu") == "onednn" and len(asked) == 1


def test_another_number_of_threads_is_another_case(monkeypatch, cache):
    measured(monkeypatch, torch=2.0, onednn=1.0)
    products.chosen_products("cpu")
    measured(monkeypatch, torch=1.0, onednn=2.0)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 64)
    assert products.chosen_products("cpu") == "torch"
    assert sorted(files.read_json(cache).values()) == ["onednn", "torch"]


@pytest.mark.parametrize("content", ["", "{", '{"a": 1}', json.dumps({CASE: "onednn"})])
def test_a_cache_that_is_damaged_is_measured_anew(monkeypatch, cache, content):
    """The last has no checksum."""
    cache.parent.mkdir(parents=True)
    cache.write_text(content)
    measured(monkeypatch, torch=1.0, onednn=2.0)
    assert products.chosen_products("cpu") == "torch"
    assert files.read_json(cache) == {CASE: "torch"}


def test_a_name_that_is_none_is_measured_anew(monkeypatch, cache):
    cache.parent.mkdir(parents=True)
    files.write_json(cache, {CASE: "abacus"})
    measured(monkeypatch, torch=2.0, onednn=1.0)
    assert products.chosen_products("cpu") == "onednn"


def test_a_cache_that_cannot_be_written_is_done_without(monkeypatch, cache):
    cache.parent.parent.mkdir(parents=True)
    cache.parent.write_text("a file where the folder would be")
    asked = measured(monkeypatch, torch=2.0, onednn=1.0)
    assert [products.chosen_products("cpu") for _ in range(3)] == ["onednn"] * 3
    assert len(asked) == 1


def test_who_was_quicker_is_believed(monkeypatch, cache):
    """Two processes that begin together end with one name."""

    def meanwhile():
        cache.parent.mkdir(parents=True, exist_ok=True)
        files.write_json(cache, {CASE: "torch"})
        return {"torch": 2.0, "onednn": 1.0}

    monkeypatch.setattr(products, "times", meanwhile)
    assert products.chosen_products("cpu") == "torch"


def test_a_gpu_has_nothing_to_choose(monkeypatch):
    asked = measured(monkeypatch, torch=2.0, onednn=1.0)
    assert products.chosen_products("cuda:1") == "torch" and asked == []


def test_a_measurement_has_a_time_for_every_library():
    found = products.times((8, 16, 4), rounds=2)
    assert set(found) == set(ops.available_products())
    assert all(0 < seconds < 10 for seconds in found.values())


@pytest.mark.parametrize("name", ops.PRODUCTS)
def test_every_layer_of_a_model_multiplies_by_the_setting(name):
    for more in ({}, {"network": "gated"}, {"prior": "mixture"}):
        assert layers(assemble(config(products=name, **more), digits().description)) == {name}
    assert layers(assemble(config(products="auto"), digits().description)) == {"torch"}


class TestRuns:
    @pytest.fixture(autouse=True)
    def data(self, tmp_path, monkeypatch):
        monkeypatch.setattr(data, "load", lambda name, folder=None, **more: digits())
        monkeypatch.chdir(tmp_path)

    @pytest.mark.parametrize(("slow", "name"), [(2.0, "onednn"), (1.0, "torch")])
    def test_what_was_found_is_in_the_settings(self, monkeypatch, slow, name):
        measured(monkeypatch, torch=slow, onednn=1.0)
        train(config(epochs=1, products="auto"), "run")
        assert read_config(Path("run")).products == name
        assert layers(load_run("run").model) == {name}

    def test_a_run_goes_on_with_its_own(self, monkeypatch):
        """On a machine where another is the faster one."""
        measured(monkeypatch, torch=2.0, onednn=1.0)
        train(config(epochs=1, products="auto"), "run")
        (Path("run") / "result.json").unlink()
        monkeypatch.setattr(products, "_found", {CASE: "torch"})
        resume("run")
        assert read_config(Path("run")).products == "onednn"

    def test_what_the_user_says_is_not_measured(self, monkeypatch):
        asked = measured(monkeypatch, torch=2.0, onednn=1.0)
        train(config(epochs=1, products="torch"), "run")
        assert read_config(Path("run")).products == "torch" and asked == []

    def test_an_evaluation_takes_what_is_fast_where_it_runs_and_says_so(self, monkeypatch):
        train(config(epochs=1, products="torch"), "run")
        measured(monkeypatch, torch=2.0, onednn=1.0)
        assert evaluate_run("run", samples=2)["products"] == "onednn"
        assert evaluate_run("run", samples=2, products="torch")["products"] == "torch"
