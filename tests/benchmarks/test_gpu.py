"""`python -m hvae.benchmarks.gpu`: what it runs, and that what fails is written down.

A card is needed for its figures, not for its bookkeeping: the steps here are small commands.
"""

import json
import math
import sys

import pytest
import torch

from hvae.benchmarks import gpu, sections_on
from hvae.benchmarks.harness.settings import Settings
from hvae.benchmarks.sections import instruction_floors, torch_special


def python(code):
    return (sys.executable, "-c", code)


def step(name, code, seconds=30.0, **more):
    return gpu.Step(name, python(code), seconds, **more)


@pytest.fixture
def checkout(tmp_path):
    (tmp_path / "setup.py").touch()
    (tmp_path / "results").mkdir()
    return tmp_path


def outcome(checkout, *steps, monkeypatch):
    monkeypatch.setattr(gpu, "steps", lambda wheels: list(steps))
    status = gpu.main(["--name", "here", "--checkout", str(checkout)])
    kept = json.loads((checkout / "results/gpu-here.json").read_text())
    text = (checkout / "results/gpu-here.txt").read_text()
    return status, {one["name"]: one for one in kept["steps"]}, text


def test_all_that_went_well(checkout, monkeypatch):
    steps = (
        step("build", "print('built')"),
        step("info", "print('a line'); print('{\"a\": 1}')", needs=("build",), reads_json=True),
    )
    status, kept, text = outcome(checkout, *steps, monkeypatch=monkeypatch)
    assert status == 0
    assert [one["became"] for one in kept.values()] == ["done", "done"]
    assert kept["info"]["document"] == {"a": 1} and kept["build"]["document"] is None
    assert kept["build"]["output"] == "built\n" and "built" in text


def test_a_step_that_fails_or_hangs_is_written_down_and_others_go_on(checkout, monkeypatch):
    steps = (
        step("build", "print('no compiler', flush=True); raise SystemExit(3)"),
        step("tests", "print('never')", needs=("build",)),
        step("slow", "import time; print('began', flush=True); time.sleep(60)", seconds=1.5),
        gpu.Step("absent", ("no-such-program-of-hvae",), 5.0),
        step("card", "print('one')"),
    )
    status, kept, text = outcome(checkout, *steps, monkeypatch=monkeypatch)
    assert status == 1
    became = {name: one["became"] for name, one in kept.items()}
    expected = ("failed", "left out", "too long", "failed", "done")
    assert became == dict(zip(("build", "tests", "slow", "absent", "card"), expected, strict=True))
    assert "no compiler" in text and "began" in kept["slow"]["output"]
    assert kept["tests"]["output"] == "for want of: build"
    assert kept["slow"]["seconds"] < 30


def test_figures_are_a_line_each(checkout, monkeypatch):
    spread = {"median": 2.0, "q1": 1.5, "q3": 2.5}
    figure = {"section": "draws", "case": "m = 2", "subject": "draw", "unit": "ns", "time": spread}
    figure |= {"baseline": "copy", "baseline_time": spread, "measure": "cost", "ratio": spread}
    code = f"print({json.dumps(json.dumps({'figures': [figure]}))})"
    _, _, text = outcome(checkout, step("bench", code, reads_json=True), monkeypatch=monkeypatch)
    assert "draws | m = 2 | draw 2 ns | copy 2 | cost 2 [1.5, 2.5]" in text


def test_its_own_steps_fit_eight_minutes_and_reach_no_network():
    steps = gpu.steps("wheels")
    assert gpu.TOTAL < 480
    names = [one.name for one in steps]
    assert names.index("build") < names.index("kernels agree with the CPU's") < names.index("bench")
    for one in steps:
        assert set(one.needs) <= set(names)
        if "pip" in one.command:
            assert "--no-index" in one.command
    (packages,) = (one.command for one in steps if one.name == "packages")
    assert {"click", "rich", "safetensors", "scikit-learn", "pytest"} <= set(packages)
    assert "torch" not in packages
    assert [one.name for one in gpu.steps(None)] == names[1:]


def test_a_folder_that_is_no_checkout_is_refused(tmp_path, capsys):
    with pytest.raises(SystemExit) as stop:
        gpu.main(["--checkout", str(tmp_path)])
    assert stop.value.code == 2 and "allowed: the folder of setup.py" in capsys.readouterr().err


def test_a_gpu_has_more_sections():
    on_cpu, on_gpu = (sections_on(torch.device(name)) for name in ("cpu", "cuda"))
    assert on_gpu[: len(on_cpu)] == on_cpu
    assert [section.NAME for section in on_gpu[len(on_cpu) :]] == [
        *("special functions of torch", "kernels and their floors", "recorded step")
    ]


def test_special_functions_of_torch_are_timed_on_any_device(monkeypatch):
    monkeypatch.setattr(torch_special, "SECONDS", 0.05)
    figures = torch_special.measure(Settings.of(quick=True, threads=1))
    assert [figure.baseline for figure in figures] == 2 * ["log(i0e)+x", "i1e/i0e"]
    assert all(figure.ratio.median > 0 for figure in figures)


def test_the_floor_of_instructions():
    """132 multiprocessors at 1.98 GHz issue 1.045e12 warp instructions a second."""
    seconds = instruction_floors.issue_seconds(32 * 1.04544e12, 132, 1.98e9)
    assert math.isclose(seconds, 1.0, rel_tol=1e-12)
