"""hvae train --config: a file gives defaults, and what is typed wins."""

import pytest
from few import digits
from processes import one_line

from hvae import data
from hvae.cli import main
from hvae.runs import read_config

SMALL = """\
shells: 3,e2
hidden: [8, 6]
epochs: 2
warmup: 1
seed: 4
"""


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.setattr(data, "load", lambda name, folder=None, **more: digits())
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.yaml").write_text(SMALL)
    return tmp_path


def trained(here, *arguments):
    assert main(["train", *arguments, "--out", "run", "--quiet"]) == 0
    return read_config(here / "run")


def test_its_settings_are_those_of_the_run(here):
    found = trained(here, "--config", "a.yaml")
    assert (found.shells, found.hidden, found.epochs, found.seed) == ("3,e2", (8, 6), 2, 4)


def test_what_is_typed_wins_before_and_after(here):
    found = trained(here, "--seed", "9", "--config", "a.yaml", "--hidden", "5")
    assert (found.seed, found.hidden, found.epochs) == (9, (5,), 2)


def test_the_settings_of_a_run_make_the_same_run_again(here, capsys):
    first = trained(here, "--config", "a.yaml")
    (here / "run").rename(here / "first")
    assert trained(here, "--config", "first/config.json") == first
    same = [(here / run / "best.safetensors").read_bytes() for run in ("first", "run")]
    assert same[0] == same[1]


@pytest.mark.parametrize(
    "line, message",
    [
        ("epochs: many", "'--epochs': 'many' is not a valid integer"),
        ("epochs: 0", "--epochs: 0 is not allowed; allowed: an integer from 1"),
        ("quiet: true", "unknown: quiet; allowed: dataset"),
        ("hidden: {a: 1}", "--hidden"),
    ],
)
def test_a_wrong_value_is_one_line_and_nothing_is_written(here, capsys, line, message):
    (here / "a.yaml").write_text(line)
    assert main(["train", "--config", "a.yaml", "--out", "run"]) == 2
    assert message in one_line(capsys.readouterr().err)
    assert not (here / "run").exists()


def test_a_run_that_goes_on_has_its_own(capsys):
    assert main(["train", "--config", "a.yaml", "--resume", "run"]) == 2
    assert "--config is not allowed with --resume" in one_line(capsys.readouterr().err)
