"""A card's whole truth in one go: build, test, time, and write results/gpu-NAME.{txt,json}.

    python -m hvae.benchmarks.gpu               from a checkout that is installed, or
    python benchmarks/gpu.py --wheels FOLDER    from one that is not

It takes under eight minutes and fetches nothing: torch with CUDA and a toolkit of its version must
be there. Other packages that are missing are taken from the wheels of a folder. A step that fails,
or takes too long, is written down, and those that can do without it go on. The exit status is 0 if
all went well.
"""

import argparse
import json
import os
import platform
import re
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

TOTAL = 470.0  # seconds, of all steps
_TAIL = 40  # lines of a step's output in the report


@dataclass(frozen=True)
class Step:
    """A command of the checkout.

    Attributes:
        name: unique.
        command: with its arguments.
        seconds: that it may take.
        needs: names of steps without which it makes no sense.
        reads_json: whether the last line of its output is a document to be kept.
    """

    name: str
    command: tuple[str, ...]
    seconds: float
    needs: tuple[str, ...] = ()
    reads_json: bool = False


@dataclass(frozen=True)
class Outcome:
    """What became of a step: "done", "failed", "too long" or "left out"."""

    name: str
    command: str
    became: str
    seconds: float
    output: str
    document: dict[str, Any] | None = None


def steps(wheels: str | None) -> list[Step]:
    """All of them, in order."""
    pip = (sys.executable, "-m", "pip", "install", "--no-index", "--quiet")
    pytest = (sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider")
    install = (*pip, "--no-build-isolation", "--no-deps", "--editable", ".")
    found = (*pip, "--find-links", wheels or ".", *_packages()) if wheels else ()
    fetch = [Step("packages", found, 60.0)] if wheels else []
    hvae = (sys.executable, "-c", "import sys; from hvae.cli import main; sys.exit(main())")
    kernels = (*pytest, "-m", "cuda", "-k", "gpu", "tests/cuda")
    return [
        *fetch,
        Step("card", ("nvidia-smi", "-q", "-d", "CLOCK,MEMORY,PERFORMANCE"), 20.0),
        Step("build", install, 220.0),
        Step("info", (*hvae, "info", "--json"), 30.0, ("build",), True),
        Step("kernels agree with the CPU's", kernels, 90.0, ("build",)),
        Step("tests of a GPU", (*pytest, "-m", "gpu", "tests"), 90.0, ("build",)),
        Step(
            "bench",
            (*hvae, "bench", "--quick", "--device", "cuda", "--json"),
            150.0,
            ("build",),
            True,
        ),
    ]


def run(step: Step, before: Sequence[Outcome], left: float, folder: Path) -> Outcome:
    """One step, in at most the time that is left."""
    command = " ".join(step.command)
    done = {outcome.name for outcome in before if outcome.became == "done"}
    missing = [name for name in step.needs if name not in done]
    if missing:
        return Outcome(step.name, command, "left out", 0.0, f"for want of: {', '.join(missing)}")
    began = time.perf_counter()
    environment = {**os.environ, "MAX_JOBS": str(os.cpu_count() or 1)}
    try:
        ended = subprocess.run(
            step.command,
            cwd=folder,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=max(1.0, min(step.seconds, left)),
            check=False,
        )
        became, output = ("failed" if ended.returncode else "done"), ended.stdout
    except subprocess.TimeoutExpired as error:
        became, output = "too long", (error.stdout or b"").decode(errors="replace")
    except OSError as error:
        became, output = "failed", str(error)
    seconds = time.perf_counter() - began
    document = _document(output) if step.reads_json and became == "done" else None
    return Outcome(step.name, command, became, seconds, output, document)


def report(outcomes: Sequence[Outcome]) -> str:
    """What became of every step, and the end of what it said."""
    lines = [f"{o.became:9s} {o.seconds:6.1f} s  {o.name}" for o in outcomes]
    for outcome in outcomes:
        tail = outcome.output.splitlines()[-_TAIL:] if outcome.document is None else []
        lines += ["", f"== {outcome.name}: {outcome.command}", *tail]
        lines += figures(outcome.document)
    return "\n".join(lines) + "\n"


def figures(document: dict[str, Any] | None) -> list[str]:
    """The figures of `hvae bench`, a line each; of any other document its JSON."""
    if document is None or "figures" not in document:
        return [] if document is None else [json.dumps(document)]
    return [
        f"{f['section']} | {f['case']} | {f['subject']} {f['time']['median']:.4g} {f['unit']} | "
        f"{f['baseline']} {f['baseline_time']['median']:.4g} | {f['measure']} "
        f"{f['ratio']['median']:.4g} [{f['ratio']['q1']:.4g}, {f['ratio']['q3']:.4g}]"
        for f in document["figures"]
    ]


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], allow_abbrev=False)
    parser.add_argument("--name", help="of the results; the card's own if not given")
    parser.add_argument("--wheels", metavar="FOLDER", help="of packages that are missing")
    parser.add_argument("--checkout", metavar="FOLDER", default=".", help="default: .")
    chosen = parser.parse_args(arguments)
    folder = Path(chosen.checkout).resolve()
    if not (folder / "setup.py").exists():
        parser.error(f"--checkout: {folder} is none; allowed: the folder of setup.py")
    wheels = str(Path(chosen.wheels).resolve()) if chosen.wheels else None
    began, outcomes = time.perf_counter(), []
    for step in steps(wheels):
        print(step.name, file=sys.stderr, flush=True)
        left = TOTAL - (time.perf_counter() - began)
        outcomes.append(run(step, outcomes, left, folder))
    path = folder / "results" / f"gpu-{chosen.name or card_name()}"
    seconds = time.perf_counter() - began
    path.with_suffix(".json").write_text(_json(outcomes, seconds))
    path.with_suffix(".txt").write_text(report(outcomes))
    print(report(outcomes))
    return int(any(outcome.became != "done" for outcome in outcomes))


def card_name() -> str:
    """That of the first card, in small letters and hyphens."""
    query = ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"]
    try:
        name = subprocess.run(query, capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return "none"
    first = (name.splitlines() or ["none"])[0]
    return re.sub(r"[^a-z0-9]+", "-", first.lower()).strip("-")


def _json(outcomes: Sequence[Outcome], seconds: float) -> str:
    document = {
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "system": platform.platform(terse=True),
        "python": platform.python_version(),
        "seconds": seconds,
        "steps": [asdict(outcome) for outcome in outcomes],
    }
    return json.dumps(document, indent=1) + "\n"


def _document(output: str) -> dict[str, Any] | None:
    for line in reversed(output.splitlines()):
        if line.startswith("{"):
            return json.loads(line)
    return None


def _packages() -> list[str]:
    """What the project and its tests ask for beside torch, by pyproject.toml."""
    text = Path(__file__).resolve().parent.parent.joinpath("pyproject.toml").read_text()
    wanted = re.search(r"^dependencies = \[(.*?)\]", text, re.S | re.M)
    names = re.findall(r'"([a-z][a-z-]*)', wanted[1] if wanted else "")
    build = ["ninja", "pybind11", "setuptools"]
    return [*(name for name in names if name != "torch"), "pytest", "hypothesis", "mpmath", *build]


if __name__ == "__main__":
    sys.exit(main())
