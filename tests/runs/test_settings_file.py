"""hvae.runs.settings_file: what a file of settings may hold."""

import json

import pytest
from few import config

from hvae.errors import EnvironmentProblem, Refused
from hvae.runs import TrainConfig
from hvae.runs.config import options
from hvae.runs.settings_file import read_settings

ALLOWED = tuple(options())


def written(path, text):
    path.write_text(text)
    return path


def test_names_may_have_hyphens_and_null_is_not_given(tmp_path):
    path = written(tmp_path / "a.yaml", "batch-size: 7\nkl_weights: [1, 2]\nlr: 1e-3\ndata_dir:\n")
    assert read_settings(path, ALLOWED) == {"batch_size": 7, "kl_weights": [1, 2], "lr": "1e-3"}


def test_the_resolved_settings_of_a_run_are_such_a_file(tmp_path):
    settings = config(seed=3, data_dir="/", lr=0.25)
    path = written(tmp_path / "config.json", json.dumps(settings.to_json()))
    found = read_settings(path, ALLOWED)
    lists = {name: tuple(found[name]) for name in ("hidden", "covariate")}
    assert TrainConfig(**{**found, **lists}) == settings


def test_those_of_an_earlier_schema_get_the_values_that_did_the_same(tmp_path):
    document = {**config().to_json(), "schema": 3}
    path = written(tmp_path / "config.json", json.dumps(document))
    assert read_settings(path, ALLOWED)["likelihood"] == "auto"
    written(path, json.dumps({**document, "schema": 99}))
    with pytest.raises(Refused, match="schema '?99'? is unknown; allowed: up to 3"):
        read_settings(path, ALLOWED)


@pytest.mark.parametrize(
    "text, message",
    [
        ("epochs: 1\nepoch: 2\n", "unknown: epoch; allowed: dataset, "),
        ("batch-size: 1\nbatch_size: 2\n", "with hyphens and with underscores"),
        ("- 1\n", "is not a file of settings; allowed: lines such as"),
        ("1: 2\n", "is not a file of settings"),
        ("epochs: [1\n", "is not YAML, line 2; allowed: lines such as"),
        ("epochs: !!python/object/apply:os.getcwd []\n", "is not YAML, line 1"),
        ("", "is not a file of settings"),
        ("[" * 20000, "is not YAML"),
        ("# " + "x" * (1 << 20), "is no file of settings; allowed: at most 1048576 bytes"),
        ("a: \x00", "is not YAML"),
    ],
)
def test_what_is_not_one_is_refused_in_one_line(tmp_path, text, message):
    with pytest.raises(Refused) as refused:
        read_settings(written(tmp_path / "a.yaml", text), ALLOWED)
    assert message in str(refused.value) and "\n" not in str(refused.value)


def test_bytes_that_are_no_text_are_refused(tmp_path):
    (tmp_path / "a.yaml").write_bytes(b"\xff\xfe\xfd")
    with pytest.raises(Refused, match="is not YAML"):
        read_settings(tmp_path / "a.yaml", ALLOWED)


def test_a_file_that_cannot_be_read_is_said(tmp_path):
    for path in (tmp_path / "nowhere", tmp_path):
        with pytest.raises(EnvironmentProblem, match="cannot be read"):
            read_settings(path, ALLOWED)
