"""Exit statuses: every refusal, and what else can go wrong."""

import os

import pytest
from processes import SHORT, hvae, one_line, tree

from hvae import files
from hvae.cli import main

REFUSED = {
    "a shell below 2": (["train", "--shells", "10,1"], "'1' is too small; allowed: "),
    "a non-integer": (["train", "--shells", "10,2.5"], "'2.5' is not a component; allowed: "),
    "an empty list": (["train", "--shells", ""], "the list is empty; allowed: "),
    "an unknown kind": (["train", "--shells", "h3"], "'h3' is of an unknown kind; allowed: "),
    "an unknown data set": (["train", "--dataset", "cifar"], "'cifar' is not allowed; allowed: "),
    "a device not there": (["train", "--device", "cuda:99"], "--device: cuda:99"),
    "an unknown device": (["train", "--device", "abacus"], "--device: 'abacus' is not allowed"),
    "no epochs": (["train", "--epochs", "0"], "--epochs: 0 is not allowed; allowed: "),
    "epochs in words": (["train", "--epochs", "ten"], "'ten' is not a valid integer"),
    "no batch": (["train", "--batch-size", "0"], "--batch-size: 0 is not allowed"),
    "a rate of 0": (["train", "--lr", "0"], "--lr: 0.0 is not allowed"),
    "no rate": (["train", "--lr", "nan"], "--lr: nan is not allowed"),
    "hidden": (["train", "--hidden", "256,"], "--hidden: '256,' is not allowed; allowed: "),
    "an unknown gradient": (
        ["train", "--kappa-grad", "x"],
        "--kappa-grad: 'x' is not allowed; allowed: implicit, naive, reinforce\n",
    ),
    "a parameterization": (
        ["train", "--parameterization", "x"],
        "--parameterization: 'x' is not allowed; allowed: exponential, scaled, paper\n",
    ),
    "weights of another count": (
        ["train", "--shells", "3,e2,4", "--kl-weights", "1,2"],
        "--kl-weights: a list of 2 for a space of 3; allowed: auto or equal, or a number ",
    ),
    "no weight": (
        ["train", "--shells", "3,e2", "--kl-weights", "1,0"],
        "--kl-weights: '0' is out of range; allowed: ",
    ),
    "weights in words": (
        ["train", "--kl-weights", "x"],
        "--kl-weights: 'x' is not a number; allowed: ",
    ),
    "no draws": (
        ["train", "--samples", "0"],
        "--samples: 0 is not allowed; allowed: an integer from 1 to 1000000\n",
    ),
    "draws in words": (["train", "--samples", "few"], "'few' is not a valid integer"),
    "a seed": (["train", "--seed", "-1"], "--seed: -1 is not allowed"),
    "threads": (["train", "--threads", "0"], "--threads: 0 is not allowed; allowed: an integer"),
    "a data folder": (["train", "--dataset", "caltech", "--data-dir", "no"], "is not a folder"),
    "an occupied folder": (["train", "--out", "taken"], "holds a run; allowed: a new or empty"),
    "a full folder": (["train", "--out", "full"], "is not an empty folder; allowed: "),
    "a broken data file": (
        ["train", "--dataset", "caltech", "--data-dir", "full"],
        "caltech101_silhouettes_28_split1.mat",
    ),
    "a setting with --resume": (
        ["train", "--resume", "taken", "--lr", "0.1"],
        "--lr is not allowed with --resume",
    ),
    "a new folder with --resume": (
        ["train", "--resume", "taken", "--out", "new"],
        "--out is not allowed with --resume",
    ),
    "nothing to resume": (["train", "--resume", "full"], "full is not the folder of a run"),
    "an interval": (["train", "--checkpoint-every", "-1"], "--checkpoint-every: -1.0 is not allow"),
    "an unknown option": (["train", "--rate", "3"], "No such option"),
    "an argument": (["train", "caltech"], "unexpected extra argument"),
    "no command": ([], "Missing command"),
    "no such table": (["sweep", "--table", "x", "--out", "new"], "--table: 'x' is not allowed; al"),
    "a size without a table": (["sweep", "--size", "9", "--out", "new"], "not allowed without --t"),
    "seeds in words": (
        ["sweep", "--seeds", "few", "--out", "new"],
        "--seeds: 'few' is not allowed",
    ),
    "a shell of a sweep": (["sweep", "--shells", "1", "--out", "new"], "'1' is too small; allowed"),
    "a grid": (
        ["sweep", "--grid", "rate=1", "--out", "new"],
        "--grid: 'rate' cannot be varied; al",
    ),
    "a choice of seeds": (["sweep", "--select", "seed=1;2", "--out", "new"], "cannot be varied"),
    "no folder of a sweep": (["sweep"], "Missing option '--out': the folder of the study."),
    "a sweep into a run": (["sweep", "--out", "taken"], "is not the folder of a sweep; allowed: a"),
    "a sweep to resume": (["sweep", "--resume", "full"], "full is not the folder of a sweep: it"),
    "a setting with a sweep's --resume": (
        ["sweep", "--resume", "full", "--lr", "0.1"],
        "--lr is not allowed with --resume: the study has its own plan.",
    ),
    "an engine": (["sweep", "--engine", "x", "--out", "new"], "--engine: 'x' is not allowed; allo"),
    "no jobs": (
        ["sweep", "--jobs", "0", "--out", "new"],
        "--jobs: 0 is not allowed; allowed: an i",
    ),
    "samples of a sweep": (
        ["sweep", "--iw-samples", "0", "--out", "new"],
        "--iw-samples: 0 is not",
    ),
    "an unknown command": (["sing"], "No such command 'sing'"),
    "no samples": (["eval", "taken", "--iw-samples", "0"], "--iw-samples: 0 is not allowed"),
    "no run": (["eval"], "RUN: no completed run under runs; allowed: "),
    "not a run": (["eval", "full"], "full is not the folder of a run"),
    "an unknown split": (["eval", "taken", "--split", "all"], "allowed: test, validation, train"),
    "another shape": (["eval", "reshaped"], "is of another shape: "),
    "a damaged checkpoint": (["eval", "damaged"], "best.safetensors is damaged"),
    "an absent key": (["eval", "forgetful"], "absent: seed; unknown: -; allowed: exactly "),
}


@pytest.fixture
def rooms(tmp_path, home, monkeypatch):
    """A folder with things to trip over."""
    [run] = (home[0] / "runs").iterdir()
    weights, document = (
        (run / "best.safetensors").read_bytes(),
        files.read_json(run / "config.json"),
    )
    for name in ("taken", "reshaped", "damaged", "forgetful"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "best.safetensors").write_bytes(weights)
        files.write_json(tmp_path / name / "config.json", document)
    files.write_json(tmp_path / "reshaped" / "config.json", {**document, "shells": "4,e2"})
    (tmp_path / "damaged" / "best.safetensors").write_bytes(weights[:1000])
    del document["seed"]
    files.write_json(tmp_path / "forgetful" / "config.json", document)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "caltech101_silhouettes_28_split1.mat").write_bytes(b"MATLAB 5.0 not\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


class TestExitStatus:
    @pytest.mark.parametrize("name", REFUSED)
    def test_a_refusal_is_2_one_line_and_nothing_written(self, rooms, capfd, name):
        arguments, message = REFUSED[name]
        before = tree(rooms)
        assert main(arguments) == 2
        out, err = capfd.readouterr()
        assert out == "" and message in one_line(err)
        assert tree(rooms) == before

    @pytest.mark.parametrize("name", ["a shell below 2", "an unknown option", "another shape"])
    def test_a_refusal_of_a_process(self, rooms, name):
        arguments, message = REFUSED[name]
        ran = hvae(*arguments, cwd=rooms)
        assert (ran.returncode, ran.stdout) == (2, "") and message in one_line(ran.stderr)

    def test_a_diverged_run_is_3(self, tmp_path):
        ran = hvae("train", *SHORT, "--lr", "1e25", "--out", "run", "--json", cwd=tmp_path)
        assert (ran.returncode, ran.stdout) == (3, "")
        message = one_line(ran.stderr)
        assert message.startswith("training diverged in epoch 1, step 1, shell ")
        kept = "run/last/epoch-000000.safetensors"
        assert message.endswith(f"the last good checkpoint is {kept}\n")
        assert (tmp_path / kept).exists()
        assert files.read_json(tmp_path / "run" / "result.json")["completed"] is False

    def test_the_network_is_4(self, tmp_path):
        """A download through a proxy that is not there."""
        proxies = {name: "http://127.0.0.1:9" for name in ("http_proxy", "https_proxy")}
        env = {**os.environ, **proxies, "XDG_CACHE_HOME": str(tmp_path / "cache")}
        env.pop("HVAE_DATA_DIR", None)
        ran = hvae("train", "--dataset", "caltech", "--out", "run", cwd=tmp_path, env=env)
        assert (ran.returncode, ran.stdout) == (4, "")
        assert "caltech101_silhouettes_28_split1.mat" in ran.stderr.splitlines()[-1]
        assert not (tmp_path / "run").exists()

    def test_a_disk_that_fails_is_4(self, tmp_path, monkeypatch, capfd):
        def fail(handle):
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(os, "fsync", fail)
        monkeypatch.chdir(tmp_path)
        assert main(["train", *SHORT, "--out", "run", "--quiet"]) == 4
        assert "No space left on device" in one_line(capfd.readouterr().err)

    def test_an_interrupt_outside_of_training_is_130(self, monkeypatch, capfd):
        """128 + SIGINT, as a shell has it; `tests/cli/test_resume.py` interrupts training."""

        def interrupt(**_):
            raise KeyboardInterrupt

        monkeypatch.setattr("hvae.cli.runs.command.callback", interrupt)
        assert main(["runs"]) == 130
        # click ends the line of the terminal's ^C first.
        assert one_line(capfd.readouterr().err.removeprefix("\n")) == "interrupted\n"
