"""hvae.runs.trained: what a run has left, read back as a model; damage and strangers refused."""

import os
import pickle
from dataclasses import replace

import pytest
import torch
from few import config, digits

from hvae import data, files
from hvae.errors import Refused
from hvae.runs import load_run
from hvae.training.begin import train


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.setattr(data, "load", lambda name, folder=None, **options: digits())
    train(config(shells="3,e2"), tmp_path / "run")
    return tmp_path / "run"


class TestLoad:
    def test_encode_decode_and_prior(self, run):
        loaded = load_run(run)
        images = digits().test
        mode = loaded.encode(images)
        assert mode.shape == (35, 5)
        torch.testing.assert_close(mode[:, :3].norm(dim=1), torch.ones(35))
        draws = loaded.encode(images, samples=4, seed=1)
        assert draws.shape == (4, 35, 5)
        assert torch.equal(draws, loaded.encode(images, samples=4, seed=1))
        assert not torch.equal(draws, loaded.encode(images, samples=4, seed=2))
        assert loaded.concentration(images).shape == (35, 2)
        pixels = loaded.decode(draws)
        assert pixels.shape == (4, 35, 64) and pixels.min() > 0 and pixels.max() < 1
        prior = loaded.prior(10, seed=3)
        assert prior.shape == (10, 5)
        assert torch.equal(prior, loaded.prior(10, seed=3))
        assert loaded.decode(prior).shape == (10, 64)
        assert not pixels.requires_grad

    def test_points_that_differ_from_a_row_in_one_component(self, run):
        loaded, row = load_run(run), digits().test[3:4]
        mode, prior = loaded.encode(row), loaded.prior(6, seed=2)
        first, second = (loaded.around(row, shell, 6, seed=2) for shell in (1, 2))
        assert torch.equal(first[:, :3], prior[:, :3]) and (first[:, 3:] == mode[:, 3:]).all()
        assert torch.equal(second[:, 3:], prior[:, 3:]) and (second[:, :3] == mode[:, :3]).all()
        for shell in (0, 3):
            with pytest.raises(Refused, match=f"--shell: {shell} is .* from 1 to 2 .3,e2.$"):
                loaded.around(row, shell, 6)

    def test_what_the_data_are(self, run):
        assert load_run(run).description == digits().description

    def test_covariates_by_name(self, run):
        loaded = load_run(run)
        with pytest.raises(Refused, match="^--covariate: a=1 is not allowed; allowed: none$"):
            loaded.covariates(["a=1"])
        names = ("a=1", "a=2", "b=x", "b=y")
        loaded.model.likelihood.data = replace(loaded.description, covariates=names)
        assert loaded.covariates(["b=y", "a=1"]).tolist() == [1, 0, 0, 1]
        for values in ([], ["a=1"], ["a=1", "a=2"], ["a=1", "b=z"], ["a=1", "a=2", "b=x"]):
            with pytest.raises(Refused, match="one for each of a, b: a=1, a=2, b=x, b=y$"):
                loaded.covariates(values)

    def test_the_settings_and_the_result(self, run):
        loaded = load_run(str(run))
        assert loaded.config == config(shells="3,e2")
        assert loaded.result == files.read_json(run / "result.json")
        (run / "result.json").unlink()
        assert load_run(run).result is None

    def test_what_is_not_a_run_is_refused(self, tmp_path):
        for path in (tmp_path, tmp_path / "nowhere"):
            with pytest.raises(Refused, match="is not the folder of a run"):
                load_run(path)

    def test_a_run_without_a_best_model_is_refused(self, run):
        (run / "best.safetensors").unlink()
        with pytest.raises(Refused, match="best.safetensors is missing"):
            load_run(run)

    @pytest.mark.parametrize(
        "change", [{"shells": "3,e3"}, {"shells": "2,e3"}, {"hidden": [16, 13]}, {"hidden": [16]}]
    )
    def test_weights_of_another_shape_are_refused(self, run, change):
        document = files.read_json(run / "config.json")
        files.write_json(run / "config.json", {**document, **change})
        with pytest.raises(
            Refused, match="is of another shape: .*; allowed: weights for "
        ) as error:
            load_run(run)
        assert "\n" not in str(error.value)

    def test_a_config_that_describes_a_giant_is_refused_before_it_is_built(self, run):
        document = files.read_json(run / "config.json")
        giant = {**document, "hidden": [65536] * 64}
        files.write_json(run / "config.json", giant)
        with pytest.raises(Refused, match="is of another shape"):
            load_run(run)

    def test_other_tensors_are_refused(self, run):
        weights = files.read_tensors(run / "best.safetensors")
        files.write_tensors(run / "best.safetensors", {**weights, "extra": torch.ones(1)})
        with pytest.raises(Refused, match="extra is 1 float32, not expected"):
            load_run(run)
        del weights["to_posterior.bias"]
        files.write_tensors(run / "best.safetensors", weights)
        with pytest.raises(Refused, match="to_posterior.bias is absent"):
            load_run(run)

    def test_weights_that_are_not_finite_are_refused(self, run):
        weights = files.read_tensors(run / "best.safetensors")
        weights["to_posterior.bias"][1] = float("nan")
        files.write_tensors(run / "best.safetensors", weights)
        with pytest.raises(Refused, match="a weight is not finite"):
            load_run(run)

    def test_damage_is_named(self, run):
        (run / "config.json").write_text("{")
        with pytest.raises(Refused, match=r"config\.json: .* is damaged"):
            load_run(run)

    def test_an_absent_key_is_named(self, run):
        document = files.read_json(run / "config.json")
        del document["warmup"]
        files.write_json(run / "config.json", document)
        with pytest.raises(Refused, match=r"config\.json: config: absent: warmup"):
            load_run(run)

    def test_a_pickle_in_place_of_weights_is_refused_and_not_executed(self, run):
        class Bomb:
            def __reduce__(self):
                return os.mkdir, (str(run / "bang"),)

        (run / "best.safetensors").write_bytes(pickle.dumps(Bomb()))
        with pytest.raises(Refused, match="best.safetensors is damaged"):
            load_run(run)
        assert not (run / "bang").exists()

    def test_a_device_that_is_not_there_is_refused(self, run):
        with pytest.raises(Refused, match="--device: cuda:99"):
            load_run(run, device="cuda:99")
