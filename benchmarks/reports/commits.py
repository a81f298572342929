"""Whether one commit is slower than another: `hvae bench` of both, in turns.

    python -m hvae.benchmarks.reports.commits BEFORE AFTER [--rounds 9] [--threads 1] [--full]

BEFORE and AFTER are Python interpreters in whose environments the two commits are installed:

    git worktree add ../before COMMIT
    python -m venv ../before/.venv && ../before/.venv/bin/pip install ../before
    python -m hvae.benchmarks.reports.commits ../before/.venv/bin/python .venv/bin/python

A round is `hvae bench --quick --json` in a process of its own for each commit; every other round
begins with AFTER, so that a drift of the machine favours neither. Figures are compared by name, and
nothing is used but the command and its document: the commits may differ in everything else. With
the same interpreter twice the report shows what the machine alone does.

    time     after / before of a figure's time
    ratio    after / before of a figure's own ratio, which is to its baseline in the same rounds

Both are medians [quartiles] over the rounds. On an idle machine the time says most; where other
work comes and goes it hits a figure and its baseline alike, and the ratio says more.

A figure is `slower` if its time rose in three quarters of the rounds (the lower quartile is above
1), and `worse` if its ratio changed for the worse in as many: a cost rose, a speedup or a share
fell. With 9 rounds either happens to one figure in eleven where nothing has changed (7 or more
heads of 9 coins): look at the median too, or take more rounds. The last line is one JSON document;
with --json it is the only one. A round takes about a minute on two idle cores.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from hvae.errors import EnvironmentProblem, Refused

from ..harness.timing import Spread, ratios
from . import command

SIDES = ("before", "after")
ALLOWED = "allowed: a Python interpreter in whose environment hvae is installed"
_HVAE = "import sys; from hvae.cli import main; sys.exit(main())"
_SECONDS = 3600  # after which a process is taken to hang

Document = dict[str, Any]


@dataclass(frozen=True)
class Change:
    """One figure in both commits.

    Attributes:
        name: section, case, subject and baseline.
        unit: of the times.
        before, after: the time's median in each round.
        time: after / before, round by round.
        measure: what the figure's own ratio is: "speedup", "cost" or "share".
        ratio_before, ratio_after: its median in each round.
        ratio: after / before, round by round.
    """

    name: str
    unit: str
    before: Spread
    after: Spread
    time: Spread
    measure: str
    ratio_before: Spread
    ratio_after: Spread
    ratio: Spread

    @property
    def slower(self) -> bool:
        """The time rose in three quarters of the rounds."""
        return self.time.q1 > 1

    @property
    def worse(self) -> bool:
        """A cost rose, or a speedup or a share fell, in three quarters of the rounds."""
        return self.ratio.q1 > 1 if self.measure == "cost" else self.ratio.q3 < 1

    def document(self) -> Document:
        """JSON; `slower` and `worse` are of what is not rounded."""
        spreads = {name: value for name, value in vars(self).items() if isinstance(value, Spread)}
        return {
            **vars(self),
            **{name: value.document() for name, value in spreads.items()},
            "slower": self.slower,
            "worse": self.worse,
        }


def compare(before: Sequence[Document], after: Sequence[Document]) -> list[Change]:
    """The figures that all documents of `hvae bench` have, one document a round and side.

    Raises:
        Refused: there is none.
    """
    rounds = [[_figures(document) for document in side] for side in (before, after)]
    first, *others = [figures for side in rounds for figures in side]
    names = [name for name in first if all(name in figures for figures in others)]
    if not names:
        raise Refused("the two commits have no figure of one name; allowed: commits that share one")
    return [
        _change(name, *([figures[name] for figures in side] for side in rounds)) for name in names
    ]


def only(documents: Sequence[Document], changes: Sequence[Change]) -> list[str]:
    """The figures of one side that are not compared."""
    compared = {change.name for change in changes}
    found = dict.fromkeys(name for document in documents for name in _figures(document))
    return [name for name in found if name not in compared]


def _figures(document: Document) -> dict[str, Document]:
    """By what `hvae.benchmarks.harness.figures.Figure.name` is made of."""
    return {
        "{section}: {case}: {subject} / {baseline}".format_map(figure): figure
        for figure in document["figures"]
    }


def _change(name: str, before: Sequence[Document], after: Sequence[Document]) -> Change:
    times, own = (
        [[figure[key]["median"] for figure in side] for side in (before, after)]
        for key in ("time", "ratio")
    )
    return Change(
        name,
        unit=before[0]["unit"],
        before=Spread.of(times[0]),
        after=Spread.of(times[1]),
        time=Spread.of(ratios(times[1], times[0])),
        measure=before[0]["measure"],
        ratio_before=Spread.of(own[0]),
        ratio_after=Spread.of(own[1]),
        ratio=Spread.of(ratios(own[1], own[0])),
    )


# ---- the processes -------------------------------------------------------------------------------


def measure(
    pythons: Sequence[str], rounds: int, options: Sequence[str]
) -> tuple[list[Document], list[Document]]:
    """The documents of both sides, a round each, measured in turns.

    Raises:
        Refused: an interpreter that is not there, or that gives no document.
        EnvironmentProblem: a process hangs.
    """
    found: dict[str, list[Document]] = {side: [] for side in SIDES}
    sides = list(zip(SIDES, pythons, strict=True))
    for done in range(rounds):
        for side, python in reversed(sides) if done % 2 else sides:
            print(f"{done + 1}/{rounds} {side}", file=sys.stderr, flush=True)
            found[side].append(bench(side, python, options))
    return found["before"], found["after"]


def bench(side: str, python: str, options: Sequence[str]) -> Document:
    """The document of one `hvae bench` in an empty folder, deaf to PYTHONPATH."""
    # -I: neither the folder nor the environment may put another hvae in the way.
    words = [python, "-I", "-c", _HVAE, "bench", "--json", *options]
    with tempfile.TemporaryDirectory(prefix="hvae-commits-") as folder:
        try:
            ran = subprocess.run(
                words, cwd=folder, capture_output=True, text=True, timeout=_SECONDS, check=False
            )
        except subprocess.TimeoutExpired as error:
            raise EnvironmentProblem(f"{side}: hvae bench took over {_SECONDS} s") from error
        except OSError as error:
            raise _refused(side, python, error.strerror or str(error)) from error
    if ran.returncode:
        said = ran.stderr.strip().splitlines() or [f"exit status {ran.returncode}"]
        raise _refused(side, python, said[-1])
    try:
        document: Document = json.loads(ran.stdout)
        _figures(document)
    except (ValueError, KeyError, TypeError) as error:
        raise _refused(side, python, "it prints no document of hvae bench") from error
    return document


def _refused(side: str, python: str, what: str) -> Refused:
    return Refused(f"{side.upper()}: {python}: {what}; {ALLOWED}")


# ---- the report ----------------------------------------------------------------------------------


def line(change: Change, width: int) -> str:
    """One figure, its name so wide."""
    flags = [name for name in ("slower", "worse") if getattr(change, name)]
    return "  ".join(
        [
            f"{change.name:<{width}}",
            f"{change.before.median:.4g} -> {change.after.median:.4g} {change.unit}",
            f"time {_brief(change.time)}",
            f"{change.measure} {change.ratio_before.median:.3g} -> {change.ratio_after.median:.3g}",
            f"ratio {_brief(change.ratio)}",
            *flags,
        ]
    )


def _brief(spread: Spread) -> str:
    return f"{spread.median:.3f} [{spread.q1:.3f}, {spread.q3:.3f}]"


def document(before: Sequence[Document], after: Sequence[Document]) -> Document:
    """JSON: where and what was measured, every figure, and the names of the slower and worse."""
    changes = compare(before, after)
    return {
        "rounds": len(before),
        **{
            side: _where(documents[0])
            for side, documents in zip(SIDES, (before, after), strict=True)
        },
        "figures": [change.document() for change in changes],
        "only_before": only(before, changes),
        "only_after": only(after, changes),
        "slower": [change.name for change in changes if change.slower],
        "worse": [change.name for change in changes if change.worse],
    }


def _where(document: Document) -> Document:
    names = ("quick", "device", "threads", "tier", "date", "machine", "versions")
    return {name: document.get(name) for name in names}


def main(arguments: Sequence[str] | None = None) -> int:
    options = command.Options("commits", "The times of two commits, in turns.")
    options.add_argument("before", metavar="BEFORE", help="a Python interpreter")
    options.add_argument("after", metavar="AFTER", help="a Python interpreter")
    options.add_argument("--rounds", type=int, default=9, help="default: 9")
    options.add_argument("--threads", type=int, default=1, help="of hvae bench; default: 1")
    options.add_argument("--device", default="cpu", help="of hvae bench; default: cpu")
    options.add_argument("--full", action="store_true", help="not --quick: 20 times as long")
    options.add_argument("--json", action="store_true", help="print the JSON line only")
    return command.run(options, _report, arguments)


def _report(options: argparse.Namespace) -> None:
    if options.rounds < 1:
        raise Refused(f"--rounds: {options.rounds} is not allowed; allowed: from 1")
    passed = ["--threads", str(options.threads), "--device", options.device]
    pythons = [
        os.path.abspath(path) if os.sep in path else path
        for path in (options.before, options.after)
    ]
    before, after = measure(pythons, options.rounds, passed + ["--quick"] * (not options.full))
    found = document(before, after)
    if not options.json:
        changes = compare(before, after)
        width = max(len(change.name) for change in changes)
        print("\n".join(line(change, width) for change in changes))
        for side in SIDES:
            for name in found[f"only_{side}"]:
                print(f"{name}: {side} only")
        slower, worse, count = (len(found[key]) for key in ("slower", "worse", "figures"))
        print(f"of {count} figures {slower} slower, {worse} worse")
    print(json.dumps(found, allow_nan=False))


if __name__ == "__main__":
    sys.exit(main())
