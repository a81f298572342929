"""hvae.runs.schema: earlier files mean what they meant then, and later ones are refused."""

from pathlib import Path

import pytest
import torch
from processes import one_line

from hvae import data, files
from hvae.cli import main
from hvae.errors import Refused
from hvae.runs import TrainConfig, read_config, schema

RESULTS = Path(__file__).parents[2] / "results"

FILES = ("data", "labels", "split", "split_seed", "image_shape", "layer", "covariate")
PRIOR = ("prior", "prior_components", "prior_precision")
PARTS = ("likelihood", "network", "scale_frame", "products")
SINCE_3 = ("schema", "checkpoint_every", *PARTS, *PRIOR, *FILES)
SINCE_2 = ("kl_weights", "samples")


def document(number):
    """Settings as config.json had them in that schema."""
    gone = {1: (*SINCE_2, *SINCE_3), 2: SINCE_3, 3: ()}[number]
    current = TrainConfig(shells="3,e2", lr=0.01, parameterization="paper", kl_weights="1,2")
    return {name: value for name, value in current.to_json().items() if name not in gone}


@pytest.mark.parametrize("number", [1, 2, 3])
def test_the_schema_of_a_document(number):
    assert schema.number(document(number)) == number


def test_schema_1_weighed_every_kl_1_and_drew_once():
    config = TrainConfig.from_json(document(1))
    assert (config.kl_weights, config.samples, config.parameterization) == ("equal", 1, "paper")
    assert (config.likelihood, config.network) == ("bernoulli", "mlp")
    assert (config.checkpoint_every, config.lr, config.shells) == (10.0, 0.01, "3,e2")


def test_schema_2_had_one_likelihood_one_network_and_one_interval():
    config = TrainConfig.from_json(document(2))
    assert (config.kl_weights, config.samples) == ("1.0,2.0", 1)
    assert (config.likelihood, config.network) == ("bernoulli", "mlp")
    assert config.checkpoint_every == 10.0


@pytest.mark.parametrize("number", [1, 2])
def test_before_3_torch_chose_who_multiplies(number):
    """So that an old run goes on to its own bits wherever it is resumed."""
    assert TrainConfig.from_json(document(number)).products == "torch"


@pytest.mark.parametrize("number", [1, 2])
def test_before_3_there_were_published_sets_only(number):
    config = TrainConfig.from_json(document(number))
    assert config.data is None and config.file_options == data.FileOptions()


@pytest.mark.parametrize("number", [1, 2])
def test_what_was_read_is_written_in_the_current_schema(number):
    config = TrainConfig.from_json(document(number))
    assert config.to_json()["schema"] == schema.CURRENT == 3
    assert TrainConfig.from_json(config.to_json()) == config


def test_threads_that_were_left_to_torch_are_one():
    assert TrainConfig.from_json({**document(1), "threads": None}).threads == 1
    for number in (2, 3):
        with pytest.raises(Refused, match="--threads: None is not allowed"):
            TrainConfig.from_json({**document(number), "threads": None})


@pytest.mark.parametrize("number", [1, 2, 3])
def test_an_unknown_key_is_refused_in_every_schema(number):
    with pytest.raises(Refused, match="absent: -; unknown: momentum; allowed: "):
        TrainConfig.from_json({**document(number), "momentum": 0.9})


@pytest.mark.parametrize(
    ("number", "key"), [(1, "samples"), *((n, k) for n in (1, 2) for k in SINCE_3[1:])]
)
def test_so_is_a_key_of_a_later_schema_in_an_earlier_one(number, key):
    """Its value was chosen by somebody: it must not be replaced in silence."""
    with pytest.raises(Refused, match=f"config: unknown: {key}; allowed: ") as refused:
        TrainConfig.from_json({**document(number), key: document(3)[key]})
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("number", [1, 2, 3])
def test_an_absent_key_is_refused_in_every_schema(number):
    for name in set(document(number)) - {"schema", "kl_weights"}:
        less = {key: value for key, value in document(number).items() if key != name}
        with pytest.raises(Refused, match=f"absent: {name}; unknown: -;"):
            TrainConfig.from_json(less)


@pytest.mark.parametrize("number", [4, 10**30, 2, 0, -1, 3.0, "3", True, None, [3], {}])
def test_a_schema_that_this_version_does_not_know_is_refused_in_one_line(number):
    with pytest.raises(Refused, match="config: schema .* is unknown; allowed: up to 3") as refused:
        TrainConfig.from_json({**document(3), "schema": number})
    assert "\n" not in str(refused.value) and len(str(refused.value)) < 200


@pytest.mark.parametrize(
    "arguments", [["eval", "run"], ["train", "--resume", "run"]], ids=["eval", "resume"]
)
def test_a_run_of_the_future_is_refused_by_every_command(tmp_path, monkeypatch, capfd, arguments):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "run").mkdir()
    later = {**document(3), "schema": 4, "temperature": 2.0}
    files.write_json(tmp_path / "run" / "config.json", later)
    assert main(arguments) == 2
    message = one_line(capfd.readouterr().err)
    assert message.startswith("run/config.json: config: schema '4' is unknown; allowed: up to 3")
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["config.json"]


def test_the_names_of_tensors():
    tensors = {name: torch.tensor(i) for i, name in enumerate(("head.bias", "weights/head.weight"))}
    tensors |= {"ahead.bias": torch.tensor(2), "encoder.0.weight": torch.tensor(3)}
    renamed = schema.tensors(tensors, {"epoch": 1})
    assert {name: int(tensor) for name, tensor in renamed.items()} == {
        "to_posterior.bias": 0,
        "weights/to_posterior.weight": 1,
        "ahead.bias": 2,
        "encoder.0.weight": 3,
    }
    assert schema.tensors(tensors, {"schema": 3}) == tensors


class TestResults:
    """The runs whose figures are published in results/."""

    folders = sorted(path.parent for path in RESULTS.rglob("config.json"))

    def test_there_are_some(self):
        assert len(self.folders) >= 6

    @pytest.mark.parametrize("folder", folders, ids=lambda path: str(path.relative_to(RESULTS)))
    def test_their_settings_are_read(self, folder):
        config = read_config(folder)
        found = files.read_json(folder / "config.json")
        known = config.to_json()
        assert all(known[name] == value for name, value in found.items() if name != "schema")
