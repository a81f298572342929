"""Makes the pictures of these pages: trains the runs that are not there yet, and draws them.

    python docs/pictures.py --data FOLDER --runs runs [--only digits --only cells]

FOLDER has the files of Caltech 101 Silhouettes and of static MNIST, and for the cells
pbmc68k_reduced.h5ad (README.md says where they come from). It takes about half an hour on two
cores, nearly all of it static MNIST. Every step is a command of hvae, which is printed.
"""

import argparse
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent / "pictures"
CELLS, TYPES = "cells.h5ad", "bulk_labels"

# What each run is trained with, and which of its pictures these pages show.
RUNS = {
    "digits-on-s2": (["--shells", "3"], ["spheres"]),
    "digits": (["--shells", "3,3,3,3"], ["kl-by-shell", "spheres", "great-circles"]),
    "uneven": (["--shells", "3,3,2,2,10"], ["kl-by-shell"]),
    "caltech": (
        ["--dataset", "caltech", "--shells", "10,10,10,11"],
        ["reconstructions", "great-circles", "wide-shells"],
    ),
    "static-mnist": (
        ["--dataset", "static-mnist", "--shells", "3,3,3,10", "--epochs", "150"],
        ["prior", "interpolation"],
    ),
    "cells": (
        ["--data", CELLS, "--labels", TYPES, "--shells", "3", "--kl-weights", "equal"],
        ["spheres", "reconstructions"],
    ),
}
SEED = ["--seed", "1"]


def hvae(*words: str) -> None:
    """A command of hvae."""
    call(sys.executable, "-c", "from hvae.cli import main; raise SystemExit(main())", *words)


def call(*words: str) -> None:
    """A command, printed."""
    print("+", shlex.join(words), flush=True)
    subprocess.run(words, check=True)


def cells(data: Path) -> None:
    """The counts of the blood cells, from the file that scanpy ships."""
    if not Path(CELLS).exists():
        report = "hvae.benchmarks.reports.single_cells"
        call(sys.executable, "-m", report, str(data / "pbmc68k_reduced.h5ad"), "--counts", CELLS)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="the folder of the data files")
    parser.add_argument("--runs", type=Path, default=Path("runs"), help="where the runs are")
    parser.add_argument("--only", action="append", choices=list(RUNS), help="in place of all runs")
    options = parser.parse_args()
    HERE.mkdir(exist_ok=True)
    for name in options.only or RUNS:
        settings, pictures = RUNS[name]
        run = options.runs / name
        if name == "cells":
            cells(options.data)
        elif "--dataset" in settings:
            settings = [*settings, "--data-dir", str(options.data)]
        if not (run / "result.json").exists():
            hvae("train", *settings, *SEED, "--out", str(run), "--quiet")
        split = ["--split", "train"] if name in ("digits-on-s2", "cells") else []
        only = [word for picture in pictures for word in ("--only", picture)]
        hvae("plot", str(run), *only, *split)
        for picture in pictures:
            shutil.copy(run / "plots" / f"{picture}.png", HERE / f"{name}-{picture}.png")
    hvae("plot", "--kl-strength", "--out", str(options.runs / "kl-strength"))
    shutil.copy(options.runs / "kl-strength" / "kl-strength.png", HERE / "kl-strength.png")


if __name__ == "__main__":
    main()
