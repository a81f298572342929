"""Finished runs and their evaluations as one table in Markdown.

    python -m hvae.benchmarks.reports.table FOLDER [FOLDER ...] [--json]

Every folder that holds runs, at any depth, is searched. A line for each setting has the mean and
the standard deviation over its seeds, and a line for each run the KL of its components; a run that
diverged is a line too. Nats.

Runs are of one setting if they differ by nothing but their seed, their device, their threads and
the folder of the data (`hvae.benchmarks.reports.groups`). Settings that have no column of their own
are named where the lines of the table differ in them. A seed counts once: of two runs of one
setting and one seed that which ended last is taken, and the other is named below the table. The
evaluation is the one with the most importance samples that all seeds of a setting have.

With --json, one document: a list with `run`, `config`, `result`, `evaluation` (null without one),
and `left_out_for`, the run of the same setting and seed that counts in its place, or null.
"""

import argparse
import json
import math
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from . import command
from .finished import FIGURES, FinishedRun, find
from .groups import Group, differing, grouped

COLUMNS = {
    "data": "dataset",
    "shells": "shells",
    "parameterization": "parameterization",
    "gradient": "kappa_grad",
    "KL weights": "kl_weights",
}
OTHERS, SAMPLES = "other settings", "iw_samples"
_WIDTH = 24  # of a value among the other settings


def summary(groups: Sequence[Group]) -> list[str]:
    """A line a setting: mean ± standard deviation over seeds."""
    head = [*_head(groups), "seeds", "LL", "ELBO", "RE", "KL"]
    lines = []
    for group, setting in zip(groups, _settings(groups), strict=True):
        ended = group.evaluations
        figures = [_spread([one[name] for one in ended]) if ended else "-" for name in FIGURES]
        lines.append([*setting, _seeds(group), *figures])
    return _markdown(head, lines)


def details(groups: Sequence[Group]) -> list[str]:
    """A line a run."""
    head = [*_head(groups), "seed", "LL", "ELBO", "KL of each component", "best epoch", "seconds"]
    lines = [
        [*setting, *_run(run, group.evaluation(run))]
        for group, setting in zip(groups, _settings(groups), strict=True)
        for run in group.runs
    ]
    return _markdown(head, lines)


def notes(groups: Sequence[Group]) -> list[str]:
    """A line for each run that does not count."""
    return [
        f"{run.path} is left out: {group.kept(run).path} has its settings and its seed, "
        f"{run.config.seed}, and ended later"
        for group in groups
        for run in group.left_out
    ]


def document(groups: Sequence[Group]) -> list[dict[str, Any]]:
    """What --json prints."""
    return [
        {
            "run": str(run.path),
            "config": run.config.to_json(),
            "result": run.result,
            "evaluation": group.evaluation(run),
            "left_out_for": str(group.kept(run).path) if run in group.left_out else None,
        }
        for group in groups
        for run in (*group.runs, *group.left_out)
    ]


def _head(groups: Sequence[Group]) -> list[str]:
    return [*COLUMNS, OTHERS] if _others(groups) else list(COLUMNS)


def _settings(groups: Sequence[Group]) -> list[list[str]]:
    """The cells that say which setting a group is of."""
    others = _others(groups)
    rows = []
    for group in groups:
        values = {**group.settings, SAMPLES: group.samples}
        values["shells"] = short(values["shells"])
        own = [_text(values[name]) for name in COLUMNS.values()]
        named = ", ".join(f"{name} {_cut(_text(values.get(name)))}" for name in others)
        rows.append([*own, named] if others else own)
    return rows


def _others(groups: Sequence[Group]) -> list[str]:
    """What the groups differ in and no column shows."""
    names = [name for name in differing(groups) if name not in COLUMNS.values()]
    counts = {group.samples for group in groups if group.samples is not None}
    return [*names, SAMPLES] if len(counts) > 1 else names


def short(shells: str) -> str:
    """`20 x 2` for twenty circles."""
    names = shells.split(",")
    equal = len(names) > 4 and len(set(names)) == 1
    return f"{len(names)} x {names[0]}" if equal else shells


def _text(value: object) -> str:
    if value is None or value == []:
        return "-"
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)


def _cut(text: str) -> str:
    return text if len(text) <= _WIDTH else f"{text[: _WIDTH - 3]}..."


def _seeds(group: Group) -> str:
    """How many, and how many of them have no figures or not those of the whole protocol."""
    diverged = sum(not run.completed for run in group.runs)
    missing = sum(run.completed and group.evaluation(run) is None for run in group.runs)
    lost = {"diverged": diverged, "not evaluated": missing}
    return ", ".join([str(len(group.runs)), *(f"{n} {what}" for what, n in lost.items() if n)])


def _spread(values: Sequence[float]) -> str:
    mean = f"{statistics.mean(values):.2f}"
    return mean if len(values) == 1 else f"{mean} ± {statistics.stdev(values):.2f}"


def _run(run: FinishedRun, evaluation: dict[str, Any] | None) -> list[str]:
    result = run.result
    if evaluation is not None:
        stderr = evaluation["ll_stderr"]
        figures = [
            f"{evaluation['ll']:.2f} ± {math.nan if stderr is None else stderr:.2f}",
            f"{evaluation['elbo']:.2f}",
            ", ".join(f"{kl:.2f}" for kl in evaluation["kl_per_shell"]),
        ]
    elif run.completed:
        figures = ["not evaluated", "-", "-"]
    else:
        figures = [f"diverged in epoch {result['diverged'].get('epoch', '-')}", "-", "-"]
    epochs = f"{result.get('best_epoch', '-')} of {result.get('epochs', '-')}"
    return [str(run.config.seed), *figures, epochs, f"{result.get('seconds', math.nan):.0f}"]


def _markdown(head: Sequence[str], lines: Sequence[Sequence[str]]) -> list[str]:
    rows = ["| " + " | ".join(cells) + " |" for cells in (head, *lines)]
    return [rows[0], "|" + "---|" * len(head), *rows[1:]]


def main(arguments: Sequence[str] | None = None) -> int:
    options = command.Options("table", "Runs and evaluations as a table.")
    options.add_argument("folders", nargs="+", type=Path)
    options.add_argument("--json", action="store_true", help="one JSON document instead")
    return command.run(options, _report, arguments)


def _report(options: argparse.Namespace) -> None:
    groups = grouped(find(options.folders))
    if options.json:
        print(json.dumps(document(groups), allow_nan=False))
        return
    print("\n".join([*summary(groups), "", *details(groups)]))
    if left_out := notes(groups):
        print("\n".join(["", *left_out]))


if __name__ == "__main__":
    sys.exit(main())
