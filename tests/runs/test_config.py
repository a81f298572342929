"""hvae.runs.config: settings, their checks and their JSON form."""

import json
from dataclasses import fields

import pytest

from hvae.errors import Refused
from hvae.model import NETWORKS
from hvae.runs import TrainConfig
from hvae.runs.config import parse_widths

NOT_ALLOWED = {
    "dataset": ["cifar", "", None, 3],
    "shells": ["1", "", None, 10],
    "epochs": [0, -1, 10**7, 1.0, True, "3", None],
    "warmup": [-1, 0.5, None],
    "lookahead": [0, None],
    "batch_size": [0, 2.5, None],
    "lr": [0, 0.0, -1e-3, float("nan"), float("inf"), 10**400, True, "1e-3", None],
    "hidden": [(0,), (256, -1), (2.0,), [256, 128], "256", (10**6,), (4,) * 65, None],
    "kappa_grad": ["reparam", "", None],
    "parameterization": ["exp", "", None],
    "prior": ["normal", "", None],
    "prior_components": [0, 65537, 1.5, True, None],
    "prior_precision": [0, -1.0, 10001.0, float("nan"), "10", True],
    "kl_weights": [
        "",
        "x",
        "1,2",
        "1,1,1,0",
        "-1,1,1,1",
        "1,1,1,nan",
        "inf,1,1,1",
        "1e999,1,1,1",
        "Auto",
        1.0,
        True,
        (1.0, 1.0, 1.0, 1.0),
        None,
    ],
    "samples": [0, -1, 10**7, 1.0, True, "2", None],
    "seed": [-1, 2**63, 0.0, None],
    "device": ["tpu", "cuda:", "cuda:x", "cpu:0", "cuda:-1", "", None, 0],
    "products": ["mkl", "", "Auto", None, True],
    "threads": [0, -2, 4096, 1.5, "2", None],
    "data": [3, "", False],
    "labels": ["", " ", 3],
    "split": ["", "0.5,0.5", "1,0,0", "0.8,0.1,0.2", "0.8,0.1,nan", None, 0.8],
    "split_seed": [-1, 2**32, 0.0, None],
    "image_shape": ["", "x", "0x3", "28x", "28,28", 28],
    "layer": ["", 3],
    "covariate": ["donor", [], ("",), (3,), ("donor", "donor"), None],
    "data_dir": [3, False],
    "likelihood": ["gauss", "", None, 3],
    "network": ["convolutions", "", None, 3],
    "scale_frame": ["moving", "", "Mean", None, True],
    "checkpoint_every": [-1, -0.5, 1e10, float("nan"), float("inf"), True, "10", None],
}


@pytest.mark.parametrize(
    ("name", "value"), [(name, value) for name, values in NOT_ALLOWED.items() for value in values]
)
def test_a_value_that_is_not_allowed_is_refused_by_the_options_name(name, value):
    with pytest.raises(Refused) as refused:
        TrainConfig(**{name: value})
    message = str(refused.value)
    assert message.startswith(f"--{name.replace('_', '-')}: ")
    assert "; allowed: " in message and "\n" not in message


def test_every_setting_has_its_refusals_here():
    assert set(NOT_ALLOWED) == {field.name for field in fields(TrainConfig)}


def test_the_defaults_are_the_protocol():
    config = TrainConfig()
    assert (config.epochs, config.warmup, config.lookahead) == (300, 100, 50)
    assert (config.lr, config.batch_size, config.hidden) == (1e-3, 100, (256, 128))


@pytest.mark.parametrize("name", ["lr", "prior_precision", "checkpoint_every"])
def test_a_real_number_given_as_an_integer_is_kept_as_a_real_one(name):
    """So that config.json has one text for one value."""
    assert repr(getattr(TrainConfig(**{name: 3}), name)) == "3.0"


@pytest.mark.parametrize("network", ["mlp", "gated", "conv"])
def test_widths_that_are_not_given_are_the_networks(network):
    """config.json has numbers, whatever was given."""
    config = TrainConfig(network=network)
    assert config.hidden == NETWORKS[network].widths
    assert config == TrainConfig(network=network, hidden=NETWORKS[network].widths)
    assert config.to_json()["hidden"] == list(NETWORKS[network].widths)
    assert TrainConfig(network=network, hidden=(7, 5)).hidden == (7, 5)


def test_a_document_without_widths_is_refused():
    with pytest.raises(Refused, match="^--hidden: '' is not allowed; allowed: 1 to 64 widths"):
        TrainConfig.from_json({**TrainConfig().to_json(), "hidden": []})


def test_equal_spaces_are_equal_settings():
    assert TrainConfig(shells=" 010,e5") == TrainConfig(shells="10,e5")


def test_equal_weights_are_equal_settings():
    one, other = (TrainConfig(shells="10,e5", kl_weights=w) for w in (" 1, 2.50", "1e0,2.5"))
    assert one == other and one.kl_weights == "1.0,2.5"


def test_weights_are_of_the_components_of_the_settings():
    assert TrainConfig(shells="3", kl_weights="2").kl_weights == "2.0"
    with pytest.raises(Refused, match="--kl-weights: a list of 2 for a space of 3; allowed: "):
        TrainConfig(shells="3,e2,4", kl_weights="2,1")


def test_a_data_folder_is_kept_absolute(tmp_path, monkeypatch):
    """It need not be there: a run is described before it is made."""
    monkeypatch.chdir(tmp_path)
    for folder in ("data", "./data", "x/../data", str(tmp_path / "data")):
        assert TrainConfig(data_dir=folder).data_dir == str(tmp_path / "data")
    assert TrainConfig().data_dir is None
    document = {**TrainConfig().to_json(), "data_dir": "data"}
    assert TrainConfig.from_json(document).data_dir == str(tmp_path / "data")


def test_what_changes_no_figure_is_not_deciding():
    one, other = TrainConfig(), TrainConfig(data_dir="/data", checkpoint_every=3)
    assert one.deciding() == other.deciding()
    assert set(one.to_json()) - set(one.deciding()) == {"data", "data_dir", "checkpoint_every"}
    here, there = TrainConfig(data="/here/cells.npy"), TrainConfig(data="/there/cells.npy")
    assert here.deciding() == there.deciding() != one.deciding()
    for change in ({"seed": 1}, {"shells": "3"}, {"samples": 2}, {"hidden": (3,)}):
        assert TrainConfig(**change).deciding() != one.deciding()


def test_a_run_is_described_whatever_was_measured():
    """But not with another setting, or another library than the one that was asked for."""
    for products in ("torch", "onednn"):
        recorded = TrainConfig(products=products, checkpoint_every=3)
        assert TrainConfig().describes(recorded)
        assert TrainConfig(products=products).describes(recorded)
        assert not TrainConfig(seed=1).describes(recorded)
    assert not TrainConfig(products="torch").describes(TrainConfig(products="onednn"))


@pytest.mark.parametrize(
    "config",
    [
        TrainConfig(),
        TrainConfig(
            dataset="caltech", shells="e3,10", epochs=7, warmup=0, lookahead=1, batch_size=3,
            lr=1, hidden=(5,), kappa_grad="reinforce", parameterization="scaled",
            kl_weights="0.1,2", samples=3, seed=2**63 - 1, device="cuda:1", threads=2,
            data_dir="somewhere", checkpoint_every=0, prior_components=3,
            scale_frame="fixed", products="onednn",
        ),
    ],
)  # fmt: skip
def test_json_round_trip(config):
    document = json.loads(json.dumps(config.to_json()))
    assert TrainConfig.from_json(document) == config
    assert set(document) == {"schema", *(field.name for field in fields(TrainConfig))}
    assert document["schema"] == 3


@pytest.mark.parametrize("name", [field.name for field in fields(TrainConfig)])
def test_an_absent_key_is_refused_and_never_defaulted(name):
    document = TrainConfig().to_json()
    del document[name]
    with pytest.raises(Refused, match=f"absent: {name};"):
        TrainConfig.from_json(document)


def test_an_unknown_key_is_refused():
    with pytest.raises(Refused, match="unknown: momentum;"):
        TrainConfig.from_json({**TrainConfig().to_json(), "momentum": 0.9})


def test_widths():
    assert parse_widths("256, 128") == (256, 128)
    for text in ("", "256,", "a", "1.5", "-3", "9" * 20, "\u0663"):
        with pytest.raises(Refused, match="--hidden"):
            parse_widths(text)
