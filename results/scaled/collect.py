"""python collect.py RUNS: what run.sh left, as one JSON document, and means over seeds.

LL, ELBO, RE and KL in nats, of the split that the name of each evaluation says.
"""

import json
import re
import statistics
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

KEPT = ("shells", "scale_frame", "kl_weights", "prior", "prior_components", "network", "hidden")
FIGURES = ("ll", "elbo", "re", "kl")


def read(path: Path) -> dict[str, Any]:
    """A run and one of its evaluations."""
    name, seed, split = re.fullmatch(r"(.*)-seed(\d+)\.(\w+)\.json", path.name).groups()
    run = path.parent / f"{name}-seed{seed}"
    config, result, found = (
        json.loads(each.read_text()) for each in (run / "config.json", run / "result.json", path)
    )
    return {
        "name": name,
        "seed": int(seed),
        "split": split,
        "dataset": config["dataset"],
        **{key: config[key] for key in KEPT},
        **{key: found[key] for key in FIGURES},
        "kl_per_shell": found["kl_per_shell"],
        "r": found.get("r"),
        "best_epoch": result["best_epoch"],
        "epochs": result["epochs"],
        "validation_elbo": result["validation"]["elbo"],
    }


def mean(values: list[float]) -> str:
    """With the standard deviation over seeds."""
    spread = f" ± {statistics.stdev(values):.2f}" if len(values) > 1 else ""
    return f"{statistics.mean(values):.2f}{spread}"


def main(folder: str) -> None:
    runs = [read(path) for path in sorted(Path(folder).glob("*-seed*.*.json"))]
    (Path(__file__).parent / "runs.json").write_text(json.dumps(runs, indent=0) + "\n")
    groups = defaultdict(list)
    for run in runs:
        groups[run["split"], run["dataset"], run["name"]].append(run)
    print("| split | data | run | seeds | LL | ELBO | best epochs |\n|---|---|---|---|---|---|---|")
    for (split, dataset, name), found in sorted(groups.items()):
        best = ", ".join(str(run["best_epoch"]) for run in sorted(found, key=lambda r: r["seed"]))
        ll, elbo = (mean([run[key] for run in found]) for key in ("ll", "elbo"))
        print(f"| {split} | {dataset} | {name} | {len(found)} | {ll} | {elbo} | {best} |")


if __name__ == "__main__":
    main(sys.argv[1])
