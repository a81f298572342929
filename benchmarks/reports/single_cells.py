"""Blood cells: what a sphere and a Gaussian of its size say of counts, and of the type of a cell.

    python -m hvae.benchmarks.reports.single_cells pbmc68k_reduced.h5ad

The file is the one that scanpy ships (700 cells, 765 genes, 10 types; Zheng et al. 2017). Its
matrix `raw` holds log(1 + c s) for integer counts c and a scale s of each cell. The least positive
entry of a cell stands for one count, which gives s and so all counts back; a cell in which they are
not integers to 1e-3 of the largest is refused. `--counts FILE` writes them, with the types, as a
new .h5ad, and ends.

For each latent space: five folds, stratified by type. A `HypersphericalVAE` with a negative
binomial likelihood and all KL weights 1 is fitted on four of them, a tenth of which chooses the
epoch. On the fifth: ELBO and LL (importance samples) in nats a cell, and the share of cells whose
type is that of most of the 15 nearest cells among the four, by mean directions or means. Beside
them the same share by as many principal components of log(1 + counts of the median library). The
mean and the standard deviation are over folds. The last line is one JSON document.
"""

import argparse
import json
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.decomposition import PCA
from sklearn.model_selection import StratifiedKFold
from sklearn.neighbors import KNeighborsClassifier

from hvae import HypersphericalVAE
from hvae.errors import Refused
from hvae.evaluation.scoring import score
from hvae.extras import require
from hvae.latent import Product, parse

from ..harness.machine import machine, versions
from . import command

SPACES = ("3", "e2", "e3", "11", "e10", "e11", "5,6", "6,5,5,5", "e21")
FOLDS, NEIGHBOURS, SAMPLES = 5, 15, 500
INTEGER = 1e-3  # float32 logarithms give counts to 1e-6 of their size


def counts_of(path: Path) -> tuple[NDArray[np.int64], NDArray[np.str_], list[str]]:
    """Counts [N, D], the type of every cell, and the names of the genes.

    Raises:
        Refused: the counts do not come back as integers.
    """
    with warnings.catch_warnings():  # of what has moved since that layout
        warnings.simplefilter("ignore", FutureWarning)
        cells = require("anndata", "data").read_h5ad(path)
    scaled = np.expm1(cells.raw.X.toarray().astype(np.float64))
    least = np.where(scaled > 0, scaled, np.inf).min(1, keepdims=True)
    counts = scaled / least
    off = np.abs(counts - counts.round()).max(1)
    if off.max() > INTEGER * max(1.0, counts.max()):
        raise Refused(f"{path}: cell {off.argmax()} has no integer counts; allowed: raw of log1p")
    labels = np.asarray(cells.obs["bulk_labels"]).astype(str)
    return counts.round().astype(np.int64), labels, [str(name) for name in cells.raw.var_names]


def write_counts(path: Path, out: Path) -> None:
    """The counts as X of a new .h5ad, sparse, with the types as `bulk_labels`."""
    anndata, pandas, sparse = (require(n, "data") for n in ("anndata", "pandas", "scipy.sparse"))
    counts, labels, genes = counts_of(path)
    obs = pandas.DataFrame({"bulk_labels": pandas.Categorical(labels)})
    obs.index = [f"cell {number}" for number in range(len(labels))]
    var = pandas.DataFrame(index=genes)
    matrix = sparse.csr_matrix(counts.astype(np.float32))
    anndata.AnnData(matrix, obs=obs, var=var).write_h5ad(out)


def neighbours(train: Any, types: Any, test: Any, true: Any) -> float:
    """The share of test points with the type of most of their nearest training points."""
    return float(KNeighborsClassifier(NEIGHBOURS).fit(train, types).score(test, true))


def principal(counts: NDArray[np.int64], size: int, fold: Any, types: Any) -> float:
    """`neighbours` by principal components, fitted on the training cells."""
    library = counts.sum(1, keepdims=True)
    logs = np.log1p(counts * (np.median(library) / library))
    train, test = fold
    projection = PCA(size, random_state=0).fit(logs[train])
    points = projection.transform(logs)
    return neighbours(points[train], types[train], points[test], types[test])


def fitted(
    shells: str, counts: NDArray[np.int64], fold: Any, types: Any, settings: dict[str, Any]
) -> dict[str, float]:
    """What a fold gives."""
    train, test = fold
    x = counts.astype(np.float32)
    model = HypersphericalVAE(
        shells, likelihood="negative-binomial", kl_weights="equal", **settings
    ).fit(x[train])
    points = model.transform(x)
    scores = score(model.model_, torch.from_numpy(x[test]), SAMPLES)
    return {
        "ll": scores.ll.mean().item(),
        "elbo": scores.elbo.mean().item(),
        "types": neighbours(points[train], types[train], points[test], types[test]),
        "epoch": float(model.best_epoch_),
    }


def study(path: Path, spaces: Sequence[str], settings: dict[str, Any]) -> list[dict[str, Any]]:
    """A line for every latent space, printed as it is there."""
    counts, types, _ = counts_of(path)
    split = StratifiedKFold(FOLDS, shuffle=True, random_state=0)
    folds = list(split.split(counts, types))
    lines = []
    for shells in spaces:
        size = Product(parse(shells)).size
        found = [fitted(shells, counts, fold, types, settings) for fold in folds]
        figures = {name: _spread([fold[name] for fold in found]) for name in found[0]}
        components = _spread([principal(counts, size, fold, types) for fold in folds])
        line = {"shells": shells, "size": size, **figures, "types_by_components": components}
        print(_row(line), flush=True)
        lines.append(line)
    return lines


def _spread(values: Sequence[float]) -> list[float]:
    """[mean, standard deviation over folds]."""
    return [float(np.mean(values)), float(np.std(values, ddof=1))]


def _row(line: dict[str, Any]) -> str:
    ll, elbo, types, components, epoch = (
        line[name] for name in ("ll", "elbo", "types", "types_by_components", "epoch")
    )
    shares = (f"{100 * mean:5.1f} +- {100 * spread:3.1f} %" for mean, spread in (types, components))
    return (
        f"{line['shells']:10} {ll[0]:9.2f} +- {ll[1]:5.2f} {elbo[0]:9.2f} +- {elbo[1]:5.2f}   "
        f"{'   '.join(shares)}   {epoch[0]:5.0f}"
    )


def report(options: argparse.Namespace) -> None:
    """Print the study, or write the counts."""
    if options.counts is not None:
        write_counts(options.file, options.counts)
        print(f"wrote {options.counts}")
        return
    settings = {"epochs": options.epochs, "warmup": options.warmup, "random_state": options.seed}
    here = machine(torch.device("cpu"))
    head = ("shells", "LL (nats a cell)", "ELBO", "type by 15-NN", "by components", "best epoch")
    print(f"{head[0]:10} {head[1]:>18} {head[2]:>18}   {head[3]:>14}   {head[4]:>14} {head[5]}")
    lines = study(options.file, options.shells or SPACES, settings)
    document = {"machine": here, "versions": versions(), "settings": settings, "spaces": lines}
    print(json.dumps(document))


def main(arguments: Sequence[str] | None = None) -> int:
    options = command.Options("single_cells", __doc__.partition("\n")[0])
    options.add_argument("file", type=Path, help="pbmc68k_reduced.h5ad")
    options.add_argument("--counts", type=Path, metavar="FILE", help="write the counts, and end")
    options.add_argument("--shells", action="append", metavar="LIST", help="in place of all spaces")
    options.add_argument("--epochs", type=int, default=300)
    options.add_argument("--warmup", type=int, default=100)
    options.add_argument("--seed", type=int, default=0)
    return command.run(options, report, arguments)


if __name__ == "__main__":
    sys.exit(main())
