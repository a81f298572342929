"""Two commits in turns: the order of the processes, and the figures of what they print."""

import json
import sys

import pytest

from hvae.benchmarks.harness.timing import Spread
from hvae.benchmarks.reports import commits
from hvae.errors import Refused

NAME = "s: c: step / e41"


def figure(time, ratio, subject="step", measure="cost"):
    names = {"section": "s", "case": "c", "subject": subject, "baseline": "e41"}
    values = {"time": {"median": time}, "ratio": {"median": ratio}}
    return {**names, **values, "unit": "ms", "measure": measure}


def documents(*pairs, **more):
    return [{"figures": [figure(time, ratio, **more)]} for time, ratio in pairs]


def change(before, after, **more):
    (found,) = commits.compare(documents(*before, **more), documents(*after, **more))
    return found


def test_a_change_is_taken_round_by_round():
    """A machine that slows down hits both sides of a round: the ratio of medians would be 1.5."""
    found = change([(1.0, 1.0), (2.0, 1.2), (8.0, 2.0)], [(1.5, 1.1), (3.0, 1.2), (4.0, 1.0)])
    assert found.name == NAME and found.unit == "ms"
    assert found.before == Spread.of([1, 2, 8]) and found.after == Spread.of([1.5, 3, 4])
    assert found.time == Spread.of([1.5, 1.5, 0.5])
    assert found.ratio_before == Spread.of([1.0, 1.2, 2.0])
    assert found.ratio_after == Spread.of([1.1, 1.2, 1.0])
    assert found.ratio == Spread.of([1.1 / 1.0, 1.2 / 1.2, 1.0 / 2.0])


STILL = [(1.0, 1.0)] * 5


@pytest.mark.parametrize(
    "times, slower",
    [([1.1] * 5, True), ([0.9, 1.1, 1.1, 1.1, 1.1], True), ([0.9, 0.9, 1.1, 1.1, 1.1], False)],
)
def test_slower_is_what_three_quarters_of_the_rounds_say(times, slower):
    assert change(STILL, [(time, 1.0) for time in times]).slower is slower


@pytest.mark.parametrize("measure, sign", [("cost", 1), ("speedup", -1), ("share", -1)])
def test_worse_is_a_cost_that_rose_or_a_speedup_that_fell(measure, sign):
    up, down = [(1.0, 1.1)] * 4 + [(1.0, 0.9)], [(1.0, 0.9)] * 4 + [(1.0, 1.1)]
    found = [change(STILL, after, measure=measure).worse for after in (up, down, STILL)]
    assert found == [sign > 0, sign < 0, False]


def test_figures_that_one_side_lacks_are_named():
    before, after = documents((1.0, 1.0)), documents((1.0, 1.0))
    before[0]["figures"].append(figure(1.0, 1.0, subject="old"))
    after[0]["figures"].append(figure(1.0, 1.0, subject="new"))
    found = commits.document(before, after)
    assert [one["name"] for one in found["figures"]] == [NAME]
    assert found["only_before"] == ["s: c: old / e41"] and found["only_after"] == [
        "s: c: new / e41"
    ]
    with pytest.raises(Refused, match="no figure of one name; allowed"):
        commits.compare(documents((1.0, 1.0)), documents((1.0, 1.0), subject="other"))


# ---- the processes: interpreters that print a document and note that they were called ------------


@pytest.fixture
def interpreter(tmp_path):
    """interpreter(name, text, status): a program that prints the text."""

    def make(name, text, status=0):
        path = tmp_path / name
        path.write_text(
            f"#!{sys.executable} -IS\n"
            "import os, sys\n"
            f"with open({str(tmp_path / 'log')!r}, 'a') as log:\n"
            f"    print({name!r}, os.listdir('.'), *sys.argv[1:2], *sys.argv[4:], file=log)\n"
            f"print({text!r})\n"
            "print('first\\nlast', file=sys.stderr)\n"
            f"sys.exit({status})\n"
        )
        path.chmod(0o755)
        return str(path)

    return make


def test_the_commits_take_turns_and_every_other_round_runs_backwards(
    interpreter, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    (before,), (after,) = documents((2.0, 1.0)), documents((3.0, 1.5))
    interpreter("old", json.dumps(before))
    new = interpreter("new", json.dumps({**after, "threads": 2}))
    assert commits.main(["./old", new, "--rounds", "3", "--threads", "2"]) == 0
    out, err = capsys.readouterr()
    *table, last = out.splitlines()
    document = json.loads(last)
    assert document["rounds"] == 3 and document["after"]["threads"] == 2
    (only,) = document["figures"]
    assert only["time"]["median"] == 1.5 and only["ratio"]["median"] == 1.5
    assert only["slower"] is True and only["worse"] is True
    assert document["slower"] == document["worse"] == [NAME]
    assert table[0].startswith(NAME) and table[0].endswith("slower  worse")
    assert table[-1] == "of 1 figures 1 slower, 1 worse"
    assert len(err.splitlines()) == 6
    log = (tmp_path / "log").read_text().splitlines()
    assert [line.partition(" ")[0] for line in log] == ["old", "new", "new", "old", "old", "new"]
    # In an empty folder and isolated, or hvae might be found where the process happens to be.
    options = "[] -I bench --json --threads 2 --device cpu --quick"
    assert {line.partition(" ")[2] for line in log} == {options}
    assert commits.main(["./old", new, "--rounds", "1", "--full", "--json"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 1
    assert "--quick" not in (tmp_path / "log").read_text().splitlines()[-1]


@pytest.mark.parametrize(
    "text, status, said",
    [("{}", 1, "last"), ("no JSON", 0, "no document"), ("{}", 0, "no document"), ("[]", 0, "no")],
)
def test_an_interpreter_without_hvae_is_refused(text, status, said, interpreter, capsys):
    assert commits.main([interpreter("old", text, status), "new", "--rounds", "1"]) == 2
    *_, error = capsys.readouterr().err.splitlines()
    assert error.startswith("hvae: error: BEFORE: ") and said in error and "allowed: " in error


@pytest.mark.parametrize(
    "arguments", [["nowhere", "nowhere"], ["one"], ["a", "b", "--rounds", "0"]]
)
def test_wrong_arguments_are_refused(arguments, capsys):
    assert commits.main(arguments) == 2
    out, err = capsys.readouterr()
    assert out == "" and "allowed: " in err.splitlines()[-1]
