"""The mutation tester: each operator on a line, and planted mutants in a small project."""

import json
from pathlib import Path

import covering
import mutants
import pytest
import run
from copies import AUTOLOAD, Copy

LINES = {
    "compare": {
        "a < b": ["a <= b"],
        "a is not b": ["a is b"],
        "a not in b == c": ["a in b == c", "a not in b != c"],
    },
    "arithmetic": {
        "a + b * c": ["a + b / c", "a - b * c"],
        "a -= b": ["a += b"],
        "a // b ** c": ["a / b ** c", "a // b * c"],
        "(a) - (b)": ["(a) + (b)"],
    },
    "boolean": {"a and b or c": ["a and b and c", "a or b or c"]},
    "unary": {"not a": ["(a)"], "-a + b": ["(a) + b"]},
    "condition": {
        "b if a else c": ["b if (not (a)) else c"],
        "[a for a in b if c]": ["[a for a in b if (not (c))]"],
    },
    "number": {"a[1]": ["a[0]"], "f(7, 0.25)": ["f(7, 0.5)", "f(8, 0.25)"], "x = 0.0": ["x = 1.0"]},
    "truth": {"a = True": ["a = False"]},
    "text": {"a['key'] = 'two words'": ["a['key_'] = 'two words'"]},
    "statement": {"f(a)": ["pass"], "a.b = c": ["pass"], "a = c": [], "raise E('x')": ["pass"]},
    "value": {"def f(): return a": ["def f(): return None"]},
    "swap": {"f(a, b, c)": ["f(b, a, c)"], "f(*a, b)": [], "f(a, a)": [], "min(a, b)": []},
    "keyword": {"f(a, b=1, help='x')": ["f(a, **{}, help='x')"]},
    "bound": {"a[1:b]": ["a[1:None]", "a[None:b]"]},
    "function": {"x.min()": ["x.max()"], "torch.exp(x)": ["torch.expm1(x)"], "x.mini()": []},
}

LEFT_ALONE = '''
"""No 1 + 1 here."""
__all__ = ["a"]
T = TypeVar("T")


def f(a: "int | None") -> Literal["x"]:
    """No 1 + 1 here."""
    raise_message = f"{a + 1:{2}}"
'''


@pytest.mark.parametrize("operator", mutants.OPERATORS)
def test_an_operator_gives_these_edits(operator):
    for line, expected in LINES[operator].items():
        made = [m.apply(line) for m in mutants.mutants(line) if m.operator == operator]
        assert sorted(made) == sorted(expected)


def test_a_raise_of_several_lines_makes_an_exception_and_drops_it():
    source = "if a:\n    raise E(\n        b\n    )\n"
    made = [m.apply(source) for m in mutants.mutants(source) if m.operator == "statement"]
    assert made == ["if a:\n    E(\n        b\n    )\n"]


def test_what_is_no_code_is_left_alone():
    assert mutants.mutants(LEFT_ALONE) == []


def test_columns_count_characters():
    [mutant] = mutants.mutants('a = "\u00e9\u00e9 \u00e9" + b\n')
    assert mutant.apply('a = "\u00e9\u00e9 \u00e9" + b\n') == 'a = "\u00e9\u00e9 \u00e9" - b\n'


def test_mutants_of_real_code_change_one_line_and_compile():
    source = Path(mutants.__file__).read_text()
    lines = source.splitlines()
    made = mutants.mutants(source)
    assert len(made) > 300
    for mutant in made[::10]:
        changed = mutant.apply(source).splitlines()
        assert [i for i, line in enumerate(changed, 1) if line != lines[i - 1]] == [mutant.line]
        compile("\n".join(changed), "mutated", "exec")


def test_equal_bytecode_is_no_mutant():
    source = "def f(a, b):\n    return a if True else b\n"
    by_new = {m.new: mutants.is_real(source, m) for m in mutants.mutants(source)}
    assert by_new == {"False": True, "return None": True, "(not (True))": True}
    by_new = {m.new: mutants.is_real("a = 3 | 3", m) for m in mutants.mutants("a = 3 | 3")}
    assert by_new == {"4": True, "&": False}


def test_a_draw_has_a_mutant_a_line_and_is_that_of_its_seed():
    sources = {"a.py": "x = 1 + 2\ny = 3 * 4\n", "b.py": "z = 5 - 6\nw = y < z\nv = w and z\n"}
    drawn = mutants.draw(sources, 4, seed=3)
    assert len({(path, mutant.line) for path, mutant in drawn}) == 4
    assert mutants.draw(dict(reversed(sources.items())), 4, seed=3) == drawn
    assert mutants.draw(sources, 4, seed=4) != drawn
    assert len(mutants.draw(sources, 100, seed=3)) == 5


def test_a_named_mutant_is_of_one_place():
    source = "a = f(1)\nb = f(1)\nc = g(1)\n"
    assert mutants.named(source, "g(1)", "g(2)").apply(source) == "a = f(1)\nb = f(1)\nc = g(2)\n"
    found = mutants.named(source, "f(1)", "f(2)", after="a = f(1)\n")
    assert found.apply(source) == "a = f(1)\nb = f(2)\nc = g(1)\n"
    for arguments in (("f(1)", "x"), ("h(1)", "x"), ("f(1)\nb", "x"), ("g(1)", "x", "f(1)")):
        with pytest.raises(ValueError, match="is not the text of one place|allowed: once"):
            mutants.named(source, *arguments)


SOURCE = """\
LIMIT = 3
OTHER = 4


def over(x, by=1):
    if x > LIMIT:
        return (
            x - by
        )
    return x
"""


@pytest.mark.parametrize(
    ("line", "lines"),
    [(1, {1, 6}), (2, {2, 6, 7, 8, 9, 10}), (5, {6, 7, 8, 9, 10}), (6, {6}), (8, {7, 8, 9}),
     (10, {10})],
)  # fmt: skip
def test_the_lines_whose_tests_may_notice(line, lines):
    found = covering.noticing({"hvae/a.py": SOURCE}, "hvae/a.py", line)
    assert {number for _, number in found} == lines


PROJECT = {
    "setup.py": 'BESIDE = {"hvae.cli": "cli"}\n',
    "hvae/__init__.py": "",
    "hvae/sums.py": (
        "def total(values):\n"
        "    result = 0\n"
        "    for value in values:\n"
        "        result = result + value\n"
        "    return result\n"
        "\n"
        "\n"
        "def unseen(value):\n"
        "    return value + 1\n"
        "\n"
        "\n"
        "def seen_elsewhere(value):\n"
        "    return value * 2\n"
    ),
    "cli/__init__.py": (
        "from hvae.sums import total\n\n\ndef main():\n    print(total([1, 2]))\n    return 5\n"
    ),
    "tests/test_sums.py": (
        "from hvae.sums import total, unseen\n"
        "\n"
        "\n"
        "def test_total():\n"
        "    assert total([1, 2, 3]) == 6\n"
        "\n"
        "\n"
        "def test_unseen():\n"
        "    assert unseen(1) > 0\n"
        "\n"
        "\n"
        "def test_that_fails_without_a_mutant():\n"
        "    assert total([1]) == 2\n"
    ),
    "tests/test_cli.py": (
        "import subprocess, sys\n"
        "\n"
        'RUN = "import os; from hvae.cli import main; os._exit(main())"\n'
        "\n"
        "\n"
        "def test_main():\n"
        '    ran = subprocess.run([sys.executable, "-c", RUN])\n'
        "    assert ran.returncode == 5\n"
    ),
    "tests/test_text.py": (
        "from pathlib import Path\n"
        "\n"
        "\n"
        "def test_the_text():\n"
        '    assert "value * 2" in Path("hvae/sums.py").read_text()\n'
    ),
}

NAMED = [
    {"name": "caught", "path": "hvae/sums.py", "old": "result + value", "new": "result - value"},
    {"name": "survives", "path": "hvae/sums.py", "old": "value + 1", "new": "value + 2"},
    {"name": "by a process", "path": "cli/__init__.py", "old": "return 5", "new": "return 6"},
    {"name": "by the rest", "path": "hvae/sums.py", "old": "value * 2", "new": "value * 3"},
]


@pytest.fixture
def project(tmp_path, monkeypatch):
    monkeypatch.setenv(AUTOLOAD, "1")
    for path, text in PROJECT.items():
        (tmp_path / "project" / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "project" / path).write_text(text)
    (tmp_path / "named.json").write_text(json.dumps(NAMED))
    return tmp_path / "project"


def test_planted_mutants_are_caught_and_the_project_is_not_touched(project, tmp_path, capsys):
    out = tmp_path / "results.json"
    arguments = ["--root", project, "--named", tmp_path / "named.json", "--out", out]
    arguments += ["--coverage", tmp_path / "coverage.json"]
    assert run.main([str(word) for word in arguments]) == 1

    document = json.loads(out.read_text())
    found = {mutant["name"]: mutant for mutant in document["mutants"]}
    assert {name: (m["outcome"], m["by"]) for name, m in found.items()} == {
        "caught": ("caught", "tests/test_sums.py::test_total"),
        "survives": ("survived", None),
        "by a process": ("caught", "tests/test_cli.py::test_main"),
        "by the rest": ("caught", "tests/test_text.py::test_the_text"),
    }
    assert [found[name]["covering"] for name in found] == [2, 1, 1, 0]
    assert found["caught"]["tried"] == 1 and found["survives"]["tried"] == 4
    assert document["summary"]["share"] == 0.75
    said = capsys.readouterr()
    assert "['tests/test_sums.py::test_that_fails_without_a_mutant']" in said.err
    assert "| hvae/sums.py:9 | survives |" in said.out and "| caught |" not in said.out
    there = (path for path in project.rglob("*") if path.is_file())
    assert {str(path.relative_to(project)): path.read_text() for path in there} == PROJECT

    # A new test, and the survivor once more; what a person has written stays.
    document["mutants"][1]["reason"] = "nobody looks"
    out.write_text(json.dumps(document))
    with open(project / "tests/test_sums.py", "a") as file:
        file.write("\n\ndef test_more():\n    assert unseen(1) == 2\n")
    assert run.main([*map(str, arguments), "--resume", "--again", "--no-recheck"]) == 0
    again = json.loads(out.read_text())["mutants"][1]
    assert (again["by"], again["reason"]) == ("tests/test_sums.py::test_more", "nobody looks")


def test_results_of_other_mutants_are_not_gone_on_with(project, tmp_path):
    out = tmp_path / "results.json"
    drawn = ["--root", str(project), "--out", str(out), "--count"]
    out.write_text(json.dumps({"settings": {}, "mutants": []}))
    with pytest.raises(SystemExit, match="allowed: a new file, or --resume"):
        run.main([*drawn, "3"])
    with pytest.raises(SystemExit, match="has other settings, or the sources have changed"):
        run.main([*drawn, "3", "--resume"])


def test_a_process_that_ends_under_a_test_is_told_from_a_failure(project, tmp_path):
    (tmp_path / "copy").mkdir()
    copy = Copy(project, tmp_path / "copy")
    endings = {
        "assert False": ("failed", "tests/test_sums.py::test_total"),
        "import os; os._exit(0)": ("crash", "tests/test_sums.py::test_total"),
        "import os; os.abort()": ("crash", "tests/test_sums.py::test_total"),
        "pass": ("passed", None),
    }
    for statement, expected in endings.items():
        copy.write("tests/test_sums.py", f"def test_total():\n    {statement}\n")
        outcome = copy.pytest(["tests/test_sums.py"])
        assert (outcome.kind, outcome.test) == expected
    copy.write("tests/test_sums.py", "import nothing_of_the_kind\n")
    assert copy.pytest(["tests/test_sums.py"]).kind == "import"
