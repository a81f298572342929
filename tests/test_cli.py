"""hvae.cli: real processes on real data, every refusal, what goes where."""

import json
import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from hvae.cli import main

from hvae import files

COMMAND = [sys.executable, "-c", "import sys; from hvae.cli import main; sys.exit(main())"]
SHORT = ["--epochs", "2", "--warmup", "1", "--hidden", "24,16", "--shells", "3,e2"]

DATA = Path(os.environ.get("HVAE_DATA_DIR") or os.devnull)
CALTECH = DATA / "caltech101_silhouettes_28_split1.mat"


def hvae(*arguments, cwd, **options):
    command = [*COMMAND, *map(str, arguments)]
    if arguments and arguments[0] in ("train", "eval"):
        command += ["--threads", "1"]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=150, **options)


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A folder in which one run was trained with nothing but short settings."""
    folder = tmp_path_factory.mktemp("home")
    ran = hvae("train", *SHORT, "--seed", 3, cwd=folder)
    assert ran.returncode == 0, ran.stderr
    return folder, ran


class TestTrainAndEval:
    def test_train_says_where_the_run_is_and_what_to_type_next(self, home):
        folder, ran = home
        [run] = (folder / "runs").iterdir()
        assert re.fullmatch(r"digits-3,e2-seed3-\d{8}-\d{6}", run.name)
        assert f"hvae eval runs/{run.name}" in ran.stdout
        assert "best epoch" in ran.stdout

    def test_away_from_a_terminal_progress_is_a_line_an_epoch_on_stderr(self, home):
        lines = home[1].stderr.splitlines()
        assert [line.split()[:2] for line in lines] == [["epoch", "1/2"], ["epoch", "2/2"]]
        assert all(word in line for line in lines for word in ("ELBO", "RE", "KL", "validation"))

    def test_eval_takes_the_newest_run(self, home):
        folder, _ = home
        [run] = (folder / "runs").iterdir()
        ran = hvae("eval", "--iw-samples", 5, cwd=folder)
        assert ran.returncode == 0, ran.stderr
        assert run.name in ran.stdout and "LL" in ran.stdout and "5 samples" in ran.stdout
        assert files.read_json(run / "eval-test-5-3.json")["iw_samples"] == 5

    def test_json_is_one_document_on_stdout(self, home):
        folder, _ = home
        trained = hvae("train", *SHORT, "--out", "other", "--json", cwd=folder)
        result = json.loads(trained.stdout)
        assert result["run"] == "other" and result["completed"] is True
        assert {"run": "other", **files.read_json(folder / "other" / "result.json")} == result
        evaluated = hvae("eval", "other", "--iw-samples", 3, "--seed", 8, "--json", cwd=folder)
        document = json.loads(evaluated.stdout)
        assert document == files.read_json(folder / "other" / "eval-test-3-8.json")
        expected = {"elbo", "re", "kl", "kl_per_shell", "ll", "ll_stderr", "iw_samples",
                    "images", "data_checksum", "seconds"}  # fmt: skip
        assert expected <= set(document)
        assert trained.stderr and evaluated.stderr

    def test_quiet_shows_no_progress(self, home):
        ran = hvae("eval", "--iw-samples", 2, "--quiet", cwd=home[0])
        assert ran.returncode == 0 and ran.stderr == "" and "LL" in ran.stdout


class TestCaltech:
    """Not collected where $HVAE_DATA_DIR has no Caltech."""

    __test__ = CALTECH.exists()

    def test_two_epochs(self, tmp_path):
        """Real silhouettes through the README's second command, two epochs of it."""
        arguments = ("--dataset", "caltech", "--shells", "10,10,10,11", "--epochs", 2, "--quiet")
        ran = hvae("train", *arguments, "--data-dir", DATA, "--out", "run", "--json", cwd=tmp_path)
        assert ran.returncode == 0, ran.stderr
        result = json.loads(ran.stdout)
        assert result["parameters"] == 785 * 256 + 257 * 128 + 129 * 45 + 42 * 128 + 129 * 256 + (
            257 * 784
        )
        assert (result["steps"], result["data_verified"]) == (2 * 41, True)
        assert result["validation"]["elbo"] > -500  # about -784 log 2 = -543 before training
        ran = hvae("eval", "run", "--iw-samples", 2, "--quiet", "--json", cwd=tmp_path)
        assert ran.returncode == 0, ran.stderr
        document = json.loads(ran.stdout)
        assert (document["images"], len(document["kl_per_shell"])) == (2307, 4)
        assert document["elbo"] < document["ll"]


class TestTerminal:
    def test_the_bar_shows_epoch_figures_and_time(self, tmp_path):
        """On a pseudo-terminal: rich draws there, and the result is on stdout as ever."""
        leader, follower = pty.openpty()
        ran = subprocess.run(
            [*COMMAND, "train", *SHORT, "--threads", "1", "--json"],
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=follower,
            env={**os.environ, "TERM": "xterm", "COLUMNS": "120"},
            timeout=150,
        )
        os.close(follower)
        shown = b""
        try:
            while chunk := os.read(leader, 65536):
                shown += chunk
        except OSError:  # Linux: the other end is closed and everything is read
            pass
        os.close(leader)
        text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown.decode())
        assert ran.returncode == 0
        assert re.search(r"epoch .* 2/2 ELBO -\d+\.\d+ RE \d+\.\d+ KL \d+\.\d+ \d:\d\d:\d\d", text)
        assert json.loads(ran.stdout)["completed"] is True


def one_line(stderr):
    assert stderr.startswith("hvae: error: ") and stderr.endswith("\n") and stderr.count("\n") == 1
    return stderr[len("hvae: error: ") :]


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
        ["train", "--shells", "3,e2", "--kl-weights", "1"],
        "--kl-weights: a list of 1 for a space of 2; allowed: auto or equal, or a number ",
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


def tree(folder):
    return {
        path: path.read_bytes() if path.is_file() else None for path in sorted(folder.rglob("*"))
    }


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


class TestHelp:
    @pytest.mark.parametrize("command", [[], ["train"], ["eval"], ["info"]])
    def test_it_teaches_with_examples(self, capfd, command):
        assert main([*command, "--help"]) == 0
        out, err = capfd.readouterr()
        assert err == "" and f"\n  hvae {' '.join(command)}" in out

    def test_info_tells_the_build(self, capfd):
        assert main(["info", "--json"]) == 0
        build = json.loads(capfd.readouterr().out)
        assert build["versions"]["torch"] == torch.__version__
        assert build["instruction_set"] in build["instruction_sets"]
        assert list(build["devices"])[0] == "cpu"
        assert main(["info"]) == 0
        shown = capfd.readouterr().out
        for value in (torch.__version__, build["instruction_set"], "CUDA kernels"):
            assert value in shown

    def test_version(self, capfd):
        assert main(["--version"]) == 0
        assert re.fullmatch(r"hvae, version \d+\.\d+\.\d+\n", capfd.readouterr().out)
