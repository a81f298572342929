"""hvae train and hvae eval: real processes on real data, and what goes where."""

import json
import os
import re
from pathlib import Path

from processes import SHORT, hvae

from hvae import files

DATA = Path(os.environ.get("HVAE_DATA_DIR") or os.devnull)
CALTECH = DATA / "caltech101_silhouettes_28_split1.mat"


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
        document = files.read_json(run / "eval-test-5-3.json")
        assert document["iw_samples"] == 5
        shown, figures = " ".join(ran.stdout.split()), document
        assert f"{run.name}: test split, 250 images" in shown
        for name, key in (("ELBO", "elbo"), ("RE", "re"), ("KL", "kl")):
            assert f"{name} \u2502 {figures[key]:.2f} \u2502" in shown
        first, second = figures["kl_per_shell"]
        assert f"KL by shell \u2502 3: {first:.2f} e2: {second:.2f} \u2502" in shown
        likelihood = f"{figures['ll']:.2f} +- {figures['ll_stderr']:.2f}"
        assert f"LL \u2502 {likelihood} (5 samples) \u2502" in shown

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
