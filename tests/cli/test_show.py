"""hvae.cli._show: which figure is printed under which name."""

import subprocess

import pytest
from processes import SHORT, Command, shell

from hvae.cli import _show as show

VALIDATION = {"elbo": -12.344, "re": 10.114, "kl": 2.234}
TRAINED = {"best_epoch": 7, "epochs": 9, "validation": VALIDATION, "run": "runs/a", "seconds": 3.14}
EVALUATED = {
    "run": "a run", "split": "validation", "images": 35, "shells": "2,10,e3",
    "elbo": -91.124, "re": 84.446, "kl": 6.678, "kl_per_shell": [1.114, 2.226, 3.338],
    "ll": -88.886, "ll_stderr": 0.256, "iw_samples": 77, "seconds": 4.56,
}  # fmt: skip


@pytest.fixture(autouse=True)
def wide(monkeypatch):
    monkeypatch.setenv("COLUMNS", "120")


def rows(shown):
    """The rows of the table, name and value."""
    cells = [line.split("\u2502") for line in shown.splitlines() if "\u2502" in line]
    return {name.strip(): value.strip() for _, name, value, _ in cells}


def test_the_bar_has_the_figures_of_the_last_epoch():
    reporter = show.Reporter(quiet=True)
    for number, elbo in ((1, -50.0), (2, -40.0)):
        validation = {"elbo": elbo, "re": 30.0, "kl": 10.0}
        reporter.epoch({"epoch": number, "validation": validation, "train": validation,
                        "seconds": 1.0}, 9)  # fmt: skip
    [task] = reporter.bar.tasks
    assert (task.completed, task.total) == (2, 9)
    assert "-40.00" in task.fields["figures"] and "-50.00" not in task.fields["figures"]


def test_an_evaluation(capsys):
    show.evaluated(EVALUATED)
    shown = capsys.readouterr().out
    assert shown.splitlines()[0] == "a run: validation split, 35 images"
    assert rows(shown) == {
        "ELBO": "-91.12",
        "RE": "84.45",
        "KL": "6.68",
        "KL by shell": "2: 1.11  10: 2.23  e3: 3.34",
        "LL": "-88.89 +- 0.26  (77 samples)",
        "seconds": "4.6",
    }


def test_an_evaluation_of_one_row_has_no_standard_error(capsys):
    show.evaluated({**EVALUATED, "ll_stderr": None})
    assert rows(capsys.readouterr().out)["LL"] == "-88.89  (77 samples)"


def test_a_run(capsys):
    show.trained(TRAINED)
    assert capsys.readouterr().out.splitlines() == [
        "best epoch 7 of 9: validation ELBO -12.34 RE 10.11 KL 2.23",
        "run   runs/a  (3.1 s)",
        "next  hvae eval runs/a",
    ]


@pytest.mark.parametrize("name", ["a b", "it's", "$HOME", "a;b", "caf\u00e9 \u0663"])
def test_what_to_type_next_is_quoted_for_the_shell(capsys, name):
    """The shell gives the name back as it was, in one word."""
    show.trained({**TRAINED, "run": name})
    word, line = capsys.readouterr().out.splitlines()[-1].split(maxsplit=1)
    assert word == "next"
    script = f"hvae() {{ printf '[%s]' \"$@\"; }}\n{line}"
    ran = subprocess.run(["sh", "-c", script], capture_output=True, text=True, timeout=30)
    assert ran.stdout == f"[eval][{name}]"


def test_what_to_type_next_works(tmp_path):
    """Of a folder with a blank in its name, through the shell, to the end."""
    trained = Command("train", *SHORT, "--out", "a b", "--quiet", cwd=tmp_path)
    assert trained.wait() == 0, trained.stderr
    word, line = trained.stdout.splitlines()[-1].split(maxsplit=1)
    assert (word, line) == ("next", "hvae eval 'a b'")
    ran = shell(f"{line} --iw-samples 2 --threads 1", cwd=tmp_path)
    assert ran.returncode == 0, ran.stderr
    assert (tmp_path / "a b" / "eval-test-2-0.json").exists()
