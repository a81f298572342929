"""hvae.evaluation.of_run: a run's best model on a split, kept in its folder."""

import pytest
from few import config, digits

from hvae import data, evaluate_run, files, load_run, train
from hvae.errors import Refused
from hvae.evaluation.importance import evaluate


class TestEvaluateRun:
    @pytest.fixture
    def run(self, tmp_path, monkeypatch):
        monkeypatch.setattr(data, "load", lambda name, folder=None, **options: digits())
        train(config(seed=4), tmp_path / "run")
        return tmp_path / "run"

    def test_the_document_is_stored_under_its_name(self, run):
        document = evaluate_run(run, samples=5)
        assert document == files.read_json(run / "eval-test-5-4.json")
        assert (document["run"], document["split"], document["images"]) == ("run", "test", 35)
        assert document["data_checksum"] == digits().checksum and document["seconds"] > 0
        model = load_run(run).model
        assert document["ll"] == evaluate(model, digits().test, 5, seed=4).ll

    def test_500_samples_of_the_test_split_with_the_seed_of_the_run_are_the_default(self, run):
        document = evaluate_run(run)
        assert (document["split"], document["iw_samples"], document["seed"]) == ("test", 500, 4)
        assert document == files.read_json(run / "eval-test-500-4.json")
        assert document["ll"] == evaluate(load_run(run).model, digits().test, 500, seed=4).ll

    @pytest.mark.parametrize(("split", "images"), [("validation", 40), ("train", 130)])
    def test_splits_and_seeds(self, run, split, images):
        document = evaluate_run(run, samples=2, split=split, seed=9)
        assert document["images"] == images
        assert (run / f"eval-{split}-2-9.json").exists()

    def test_a_dynamic_train_split_is_binarized(self, run, monkeypatch):
        """Grey levels are no images of the model; those of epoch 0 are evaluated."""

        class Grey(data.Dataset):
            def epoch(self, seed, epoch):
                assert (seed, epoch) == (4, 0)
                return digits().train

        grey = Grey(**{**vars(digits()), "train": digits().train * 200})
        expected = evaluate_run(run, samples=2, split="train")["ll"]
        monkeypatch.setattr(data, "load", lambda *arguments, **options: grey)
        assert evaluate_run(run, samples=2, split="train")["ll"] == expected

    def test_the_seed_changes_the_samples(self, run):
        one, same, other = (evaluate_run(run, samples=3, seed=seed)["ll"] for seed in (1, 1, 2))
        assert one == same != other

    def test_other_data_than_those_of_training_give_a_warning(self, run, monkeypatch):
        other = data.Dataset(**{**vars(digits()), "checksum": "0" * 64})
        monkeypatch.setattr(data, "load", lambda *arguments, **options: other)
        [warning] = evaluate_run(run, samples=2)["warnings"]
        assert "trained on other data" in warning

    @pytest.mark.parametrize(
        ("argument", "message"),
        [
            ({"samples": 0}, "--iw-samples: 0 is not allowed"),
            ({"split": "all"}, "--split: 'all' is not allowed; allowed: test, validation, train"),
            ({"seed": -1}, "--seed: -1 is not allowed"),
            ({"threads": 0}, "--threads: 0 is not allowed"),
            ({"device": "cuda:99"}, "--device: cuda:99"),
            ({"device": "abacus"}, "--device: 'abacus' is not allowed"),
        ],
    )
    def test_refusals_write_nothing(self, run, argument, message):
        before = sorted(run.iterdir())
        with pytest.raises(Refused, match=message):
            evaluate_run(run, **argument)
        assert sorted(run.iterdir()) == before
