"""The options of `hvae train` are the settings of a run, each declared once, and of no other."""

import re
from dataclasses import fields

import made_files
import pytest
from few import config, digits
from processes import one_line

from hvae import data, files, train
from hvae.cli import main
from hvae.cli.eval import command as eval_command
from hvae.cli.sweep import command as sweep_command
from hvae.cli.train import command as train_command
from hvae.runs import TrainConfig, read_config
from hvae.runs.checkpoints import Checkpoints
from hvae.runs.config import options

NAMES = [field.name for field in fields(TrainConfig)]
PARAMETERS = {parameter.name: parameter for parameter in train_command.params}
OF_FILES = ("data", *data.FILE_OPTIONS)
REMEMBERED = ("data_dir", "checkpoint_every")  # what --resume may be given anew
FLAG = {name: f"--{name.replace('_', '-')}" for name in NAMES}

# A value of every setting that is not its default, as typed and as kept.
OTHERS = {
    "dataset": ("caltech", "caltech"),
    "products": ("onednn", "onednn"),
    "data": ("cells.h5ad", "cells.h5ad"),
    "labels": ("type", "type"),
    "split": ("0.5,0.25,0.25", "0.5,0.25,0.25"),
    "split_seed": ("3", 3),
    "image_shape": ("2x3", "2x3"),
    "layer": ("raw", "raw"),
    "covariate": ("donor", ("donor",)),
    "shells": ("2,e1", "2,e1"),
    "prior": ("mixture", "mixture"),
    "prior_components": ("7", 7),
    "prior_precision": ("70.5", 70.5),
    "likelihood": ("gaussian", "gaussian"),
    "network": ("gated", "gated"),
    "hidden": ("7,5", (7, 5)),
    "epochs": ("2", 2),
    "warmup": ("1", 1),
    "lookahead": ("3", 3),
    "batch_size": ("40", 40),
    "lr": ("0.002", 0.002),
    "kappa_grad": ("naive", "naive"),
    "parameterization": ("scaled", "scaled"),
    "scale_frame": ("fixed", "fixed"),
    "kl_weights": ("2.5", "2.5,2.5"),
    "samples": ("2", 2),
    "seed": ("6", 6),
    "device": ("cpu", "cpu"),
    "threads": ("2", 2),
    "cuda_graph": ("off", "off"),
    "data_dir": ("/", "/"),
    "checkpoint_every": ("0", 0.0),
}


def test_every_field_is_an_option_in_its_place():
    assert list(options()) == NAMES == [name for name in PARAMETERS if name in NAMES]
    assert [PARAMETERS[name].opts for name in NAMES] == [[FLAG[name]] for name in NAMES]


def test_and_nothing_else_is_but_where_and_how():
    others = {name for name in PARAMETERS if name not in NAMES}
    assert others == {"out", "run", "config", "tensorboard", "as_json", "quiet"}


@pytest.mark.parametrize("name", NAMES)
def test_its_default_is_that_of_the_field(name):
    """The widths of --hidden are the network's own where none are given; no covariate is one."""
    default = None if name in ("hidden", "covariate") else getattr(TrainConfig(), name)
    assert PARAMETERS[name].default == default


def test_a_sweep_has_the_same_options():
    """But for those of which it takes several values; and they reach every run of its plan."""
    own = {parameter.name: parameter for parameter in sweep_command.params}
    for name in NAMES:
        if name not in ("shells", "seed"):
            assert own[name].opts == [FLAG[name]] and own[name].default == PARAMETERS[name].default


def test_every_value_reaches_every_run_of_a_sweep(tmp_path, monkeypatch):
    """Of them the device has one value only."""
    plans = []

    def lead(plan, *more, **others):
        plans.append(plan)
        return {"failed": {}}

    monkeypatch.setattr("hvae.cli.sweep.sweep", lead)
    names = [name for name in NAMES if name not in (*OF_FILES, "shells", "seed")]
    typed = [word for name in names for word in (FLAG[name], OTHERS[name][0])]
    typed += ["--shells", "2,e1", "--shells", "3,4", "--seeds", "6,7", "--iw-samples", "9"]
    assert main(["sweep", *typed, "--out", str(tmp_path / "study"), "--json"]) == 0
    (plan,) = plans
    assert [run.config.shells for run in plan.runs] == ["2,e1", "3,4"] * 2
    assert [run.config.seed for run in plan.runs] == [6, 6, 7, 7] and plan.samples == 9
    for run in plan.runs:
        assert {n: getattr(run.config, n) for n in names} == {n: OTHERS[n][1] for n in names}


def test_help_shows_each_with_its_default_and_what_it_is(capfd):
    assert main(["train", "--help"]) == 0
    shown = "".join(capfd.readouterr().out.split())  # lines break at hyphens too
    for name, declared in options().items():
        default = PARAMETERS[name].default
        words = "".join(declared.help().split())
        tail = "" if default is None else rf"\[default:{re.escape(str(default))}\]"
        assert re.search(rf"{FLAG[name]}[A-Z]+{re.escape(words)}{tail}", shown), name


def test_help_has_them_under_headings(capfd):
    assert main(["train", "--help"]) == 0
    shown = capfd.readouterr().out
    groups = {declared.group for declared in options().values()}
    assert groups == {"Data", "Latent space", "Model", "Training", "Machine"}
    for name, declared in options().items():
        before = shown.partition(f"  {FLAG[name]} ")[0]
        assert re.findall(r"^([A-Z][\w ]*):$", before, re.MULTILINE)[-1] == declared.group


def test_every_value_of_a_file_reaches_the_run(tmp_path, monkeypatch):
    """And beside a file there is no published set."""
    monkeypatch.chdir(tmp_path)
    made_files.cells(tmp_path / "cells.h5ad", genes=6)
    typed = [word for name in OF_FILES for word in (FLAG[name], OTHERS[name][0])]
    typed += ["--hidden", "8", "--epochs", "1", "--out", "run", "--quiet"]
    assert main(["train", *typed]) == 0
    found = read_config(tmp_path / "run")
    wanted = {name: OTHERS[name][1] for name in OF_FILES}
    assert {name: getattr(found, name) for name in OF_FILES} == {
        **wanted,
        "data": str(tmp_path / "cells.h5ad"),
    }
    assert found.dataset == "cells"
    assert main(["train", "--dataset", "digits", *typed[:-3], "--out", "other", "--quiet"]) == 2
    assert not (tmp_path / "other").exists()


def test_every_value_reaches_the_run(tmp_path, monkeypatch):
    """Of them the device has one value only, and with it --cuda-graph."""
    monkeypatch.setattr(data, "load", lambda name, folder=None, **more: digits())
    monkeypatch.chdir(tmp_path)
    names = [name for name in NAMES if name not in OF_FILES]
    typed = [word for name in names for word in (FLAG[name], OTHERS[name][0])]
    assert main(["train", *typed, "--out", "run", "--quiet"]) == 0
    found, default = read_config(tmp_path / "run"), TrainConfig()
    assert {name: getattr(found, name) for name in names} == {n: OTHERS[n][1] for n in names}
    only_one = {"device", "cuda_graph"}
    assert {name for name in names if getattr(found, name) == getattr(default, name)} == only_one


class TestEval:
    @pytest.fixture
    def run(self, tmp_path, monkeypatch):
        monkeypatch.setattr(data, "load", lambda name, folder=None, **options: digits())
        monkeypatch.chdir(tmp_path)
        train(config(seed=4), "run")
        return tmp_path / "run"

    def test_it_takes_500_samples_of_the_test_split_with_the_seed_of_the_run(self, run, capfd):
        assert main(["eval", "run", "--quiet"]) == 0
        assert "(500 samples)" in capfd.readouterr().out
        assert files.read_json(run / "eval-test-500-4.json")["iw_samples"] == 500

    def test_its_help_says_so(self, capfd):
        assert main(["eval", "--help"]) == 0
        shown = " ".join(capfd.readouterr().out.split())
        assert "--iw-samples INTEGER Samples a row. [default: 500]" in shown
        assert "--split NAME test, validation, train. [default: test]" in shown

    def test_every_option_reaches_the_evaluation(self, run, tmp_path, monkeypatch):
        folders = []
        monkeypatch.setattr(
            data, "load", lambda name, folder=None, **options: folders.append(folder) or digits()
        )
        typed = ["--iw-samples", "3", "--split", "validation", "--seed", "8", "--threads", "2"]
        typed += ["--device", "cpu", "--data-dir", str(tmp_path), "--refine", "2"]
        typed += ["--products", "onednn", "--quiet", "--json"]
        flags = {option for parameter in eval_command.params for option in parameter.opts}
        assert set(typed[::2]) | {"--json", "--quiet"} >= flags - {"run"}
        assert main(["eval", "run", *typed]) == 0
        document = files.read_json(run / "eval-validation-3-8-refine2.json")
        assert (document["images"], document["threads"]) == (40, 2)
        assert document["products"] == "onednn"
        assert folders == [str(tmp_path)]


class TestResume:
    """The newest checkpoint says what the process that wrote it was told."""

    @pytest.fixture
    def run(self, tmp_path, monkeypatch):
        monkeypatch.setattr(data, "load", lambda name, folder=None, **options: digits())
        monkeypatch.chdir(tmp_path)
        typed = ["--shells", "3", "--hidden", "8", "--epochs", "2", "--checkpoint-every", "0"]
        assert main(["train", *typed, "--out", "run", "--quiet"]) == 0
        (tmp_path / "run" / "result.json").unlink()
        return tmp_path / "run"

    @pytest.mark.parametrize(("typed", "every"), [([], 0.0), (["--checkpoint-every", "70"], 70.0)])
    def test_the_interval_is_that_of_the_run_or_of_the_command(self, run, typed, every):
        assert main(["train", "--resume", "run", "--quiet", *typed]) == 0
        _, state = files.read_packed(Checkpoints(run).paths()[0])
        assert state["config"]["checkpoint_every"] == every
        assert read_config(run).checkpoint_every == 0.0

    def test_the_data_folder_is_that_of_the_command(self, run, monkeypatch):
        asked = []

        def load(name, folder=None, *, recorded=None, **options):
            asked.append((folder, recorded))
            return digits()

        monkeypatch.setattr(data, "load", load)
        assert main(["train", "--resume", "run", "--quiet", "--data-dir", "some where"]) == 0
        assert asked == [("some where", None)]

    @pytest.mark.parametrize("name", [name for name in NAMES if name not in REMEMBERED])
    def test_other_settings_are_refused(self, run, capfd, name):
        assert main(["train", "--resume", "run", FLAG[name], OTHERS[name][0]]) == 2
        assert f"{FLAG[name]} is not allowed with --resume" in one_line(capfd.readouterr().err)
        assert not (run / "result.json").exists()
