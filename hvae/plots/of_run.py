"""`plot_run`: the pictures of a run, in files."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from hvae import data, extras, files, random
from hvae.errors import Refused, refused_option
from hvae.observer import Observer
from hvae.plots.pictures import PICTURES, Picture
from hvae.plots.view import RunView, plain
from hvae.runs import Run, load_run
from hvae.runs.data_of import data_of, other_data
from hvae.runs.folder import METRICS
from hvae.runs.metrics import read_metrics

FOLDER = "plots"
PAGE = "index.html"
SPLITS = ("test", "validation", "train")
ROWS = 2000
MAX_ROWS = 20_000  # distances of every row to every other are computed, component by component


def plot_run(
    folder: str | os.PathLike[str],
    *,
    out: str | os.PathLike[str] | None = None,
    only: Sequence[str] = (),
    html: bool = False,
    rows: int = ROWS,
    split: str = "test",
    seed: int = 0,
    data_dir: str | None = None,
    observer: Observer | None = None,
) -> list[Path]:
    """Draw pictures of a run, each as NAME.png and NAME.svg; earlier ones are replaced.

    The same run, data and arguments give the same bytes, on one machine with one version of
    matplotlib and torch.

    Args:
        folder: the run's folder.
        out: where the files go; None is `plots` in the run's folder.
        only: names of pictures, keys of `hvae.plots.PICTURES`; none is all that the run has.
        html: whether to write index.html as well, one page with the pictures in it.
        rows: of the split at most so many are shown, drawn without replacement.
        split: one of `SPLITS`; "train" of a set that is binarized anew every epoch is shown as
            epoch 0.
        seed: of that draw, and of draws from the prior.
        data_dir: as in `TrainConfig`; None is the run's own.
        observer: told of downloads and warnings.

    Returns:
        the files, in the order in which they were written.

    Raises:
        Refused: an argument, the run or the data; nothing is written.
        EnvironmentProblem: matplotlib is not installed; the disk or the network failed.
    """
    observer = observer or Observer()
    _check(only, rows, split, seed)
    extras.require("matplotlib", "plots")
    run = load_run(folder)
    own = run.config.data_dir
    dataset = data_of(run.config, data_dir, recorded=own, progress=observer.download)
    for warning in [*dataset.warnings, *other_data(run.result, dataset)]:
        observer.warning(warning)
    view = view_of(run, dataset, split, rows, seed)
    return _write(_chosen(view, only), view, Path(out or run.path / FOLDER), html)


def view_of(
    run: Run, dataset: data.Dataset, split: str = "test", rows: int = ROWS, seed: int = 0
) -> RunView:
    """What the pictures of a run are made from; arguments as in `plot_run`."""
    there = dataset.epoch(run.config.seed, 0) if split == "train" else getattr(dataset, split)
    index = _some(len(there), rows, seed)
    labels = None if dataset.labels is None else dataset.labels[split].index_select(0, index)
    result = run.result or {}
    return RunView(
        name=plain(run.path.resolve().name, 48),
        model=run.model,
        rows=there.index_select(0, index),
        labels=labels,
        label_names=dataset.label_names,
        source=_source(len(index), len(there), split, dataset.name),
        metrics=read_metrics(run.path / METRICS),
        best_epoch=result.get("best_epoch") or None,
        warmup=run.config.warmup,
        facts={
            "data": dataset.name,
            "latent space": run.config.shells,
            "likelihood": run.model.likelihood.title,
            "network": run.config.network,
            "seed": str(run.config.seed),
            **_figures(result),
        },
        seed=seed,
    )


def kl_strength(folder: str | os.PathLike[str]) -> list[Path]:
    """Draw KL(vMF || uniform) against the concentration: kl-strength.png and .svg in `folder`.

    Raises:
        EnvironmentProblem: matplotlib is not installed; the disk failed.
    """
    extras.require("matplotlib", "plots")
    from hvae.plots import kl_by_concentration as picture
    from hvae.plots.style import style
    from hvae.plots.writing import drawing, write

    path = _made(Path(folder))
    with style():
        return write(drawing(picture.draw()), path, "kl-strength")


def _check(only: Sequence[str], rows: int, split: str, seed: int) -> None:
    for name in only:
        if name not in PICTURES:
            raise refused_option("only", name, ", ".join(PICTURES))
    if split not in SPLITS:
        raise refused_option("split", split, ", ".join(SPLITS))
    if not (type(rows) is int and 1 <= rows <= MAX_ROWS):
        raise refused_option("rows", rows, f"an integer from 1 to {MAX_ROWS}")
    if not (type(seed) is int and 0 <= seed < 2**63):
        raise refused_option("seed", seed, "an integer from 0 to 2^63 - 1")


def _some(count: int, most: int, seed: int) -> Tensor:
    """int64, at most so many of `count` rows, in a random order: a split may be sorted by class."""
    generator = torch.Generator().manual_seed(random.seed_of(random.stream(seed, "user")))
    return torch.randperm(count, generator=generator)[:most]


def _chosen(view: RunView, only: Sequence[str]) -> dict[str, Picture]:
    there = {name: picture for name, picture in PICTURES.items() if picture.applies(view)}
    for name in only:
        if name not in there:
            raise Refused(f"--only: {view.name} has no {name}; allowed: {', '.join(there)}")
    return {name: picture for name, picture in there.items() if not only or name in only}


def _write(chosen: dict[str, Picture], view: RunView, folder: Path, html: bool) -> list[Path]:
    from hvae.plots.page import Shown, page
    from hvae.plots.style import caption_of, style, title_of
    from hvae.plots.writing import drawing, write

    with style():
        figures = {name: picture.draw(view) for name, picture in chosen.items()}
        _made(folder)
        written, shown = [], []
        for name, figure in figures.items():
            drawn = drawing(figure)
            written += write(drawn, folder, name)
            shown.append(Shown(name, title_of(figure), caption_of(figure), drawn.svg))
        if html:
            files.write_bytes(folder / PAGE, page(view, shown).encode())
            written.append(folder / PAGE)
    return written


def _made(folder: Path) -> Path:
    with files.writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    return folder


def _source(shown: int, there: int, split: str, name: str) -> str:
    rows = f"all {there}" if shown == there else f"{shown} of {there}"
    return f"{rows} rows of the {split} split of {name}"


def _figures(result: dict[str, Any]) -> dict[str, str]:
    best = result.get("validation")
    if not best:
        return {}
    figures = ", ".join(f"{name} {best[key]:.2f}" for name, key in _NAMES.items())
    return {"best epoch": f"{result['best_epoch']} of {result['epochs']}", "validation": figures}


_NAMES = {"ELBO": "elbo", "RE": "re", "KL": "kl"}
