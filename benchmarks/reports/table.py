"""Finished runs and their evaluations as one table in Markdown.

    python -m hvae.benchmarks.table FOLDER [FOLDER ...]

Every folder that holds runs, at any depth, is searched. A line for each setting with the mean and
the standard deviation over its seeds, and one for each run with the KL of its components; a run
that diverged is a line too. Nats; the evaluation is the one with the most importance samples.
"""

import argparse
import json
import math
import statistics
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from hvae import files, runs
from hvae.config import TrainConfig
from hvae.shells import parse

Row = dict[str, Any]
FIGURES = ("ll", "elbo", "re", "kl")


def rows(folders: Iterable[Path]) -> list[Row]:
    """The runs below the folders: settings, result and evaluation (None where there is none)."""
    found = []
    for config in sorted(path for folder in folders for path in folder.rglob(runs.CONFIG)):
        folder = config.parent
        if (folder / runs.RESULT).exists():
            evaluations = [files.read_json(path) for path in folder.glob("eval-test-*.json")]
            found.append(
                {
                    "config": runs.read_config(folder),
                    "result": runs.read_result(folder),
                    "evaluation": max(evaluations, key=lambda e: e["iw_samples"], default=None),
                }
            )
    return found


def setting(config: TrainConfig) -> tuple[str, ...]:
    """What runs of one line have in common."""
    return (
        config.dataset,
        _short(config.shells),
        config.parameterization,
        config.kappa_grad,
        config.kl_weights,
    )


def _short(shells: str) -> str:
    """`20 x 2` for twenty circles."""
    names = [str(shell) for shell in parse(shells)]
    equal = len(names) > 4 and len(set(names)) == 1
    return f"{len(names)} x {names[0]}" if equal else ",".join(names)


def _spread(values: list[float]) -> str:
    mean = f"{statistics.mean(values):.2f}"
    return mean if len(values) == 1 else f"{mean} ± {statistics.stdev(values):.2f}"


def summary(found: list[Row]) -> list[str]:
    """A line a setting: mean ± standard deviation over seeds."""
    groups: dict[tuple[str, ...], list[Row]] = defaultdict(list)
    for row in found:
        groups[setting(row["config"])].append(row)
    lines = [
        "| data | shells | parameterization | gradient | KL weights | seeds "
        "| LL | ELBO | RE | KL |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for names, members in groups.items():
        ended = [row["evaluation"] for row in members if row["evaluation"]]
        lost = sum(not row["result"]["completed"] for row in members)
        seeds = f"{len(members)}" + (f", {lost} diverged" if lost else "")
        figures = [_spread([e[name] for e in ended]) if ended else "-" for name in FIGURES]
        lines.append("| " + " | ".join([*names, seeds, *figures]) + " |")
    return lines


def details(found: list[Row]) -> list[str]:
    """A line a run."""
    lines = [
        "| data | shells | parameterization | gradient | KL weights | seed | LL | ELBO "
        "| KL of each component | best epoch | seconds |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for row in found:
        config, result, evaluation = row["config"], row["result"], row["evaluation"]
        if evaluation:
            stderr = evaluation["ll_stderr"] or math.nan
            figures = [
                f"{evaluation['ll']:.2f} ± {stderr:.2f}",
                f"{evaluation['elbo']:.2f}",
                ", ".join(f"{kl:.2f}" for kl in evaluation["kl_per_shell"]),
            ]
        else:
            where = result["diverged"] or {"epoch": "-"}
            figures = [f"diverged in epoch {where['epoch']}", "-", "-"]
        epochs = f"{result['best_epoch']} of {result['epochs']}"
        cells = [*setting(config), str(config.seed), *figures, epochs, f"{result['seconds']:.0f}"]
        lines.append("| " + " | ".join(cells) + " |")
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description="Runs and evaluations as a table.")
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--json", action="store_true", help="one JSON document instead")
    options = parser.parse_args()
    found = rows(options.folders)
    if options.json:
        for row in found:
            row["config"] = row["config"].to_json()
        print(json.dumps(found, allow_nan=False))
    else:
        print("\n".join([*summary(found), "", *details(found)]))


if __name__ == "__main__":
    main()
