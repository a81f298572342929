"""What a run's model says of the rows of a file, and what it makes of latent points, in files."""

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hvae import memory, tables
from hvae.devices import use_threads
from hvae.errors import Refused, refused_option
from hvae.evaluation.encoding import coordinate_names, encode
from hvae.evaluation.importance import check_samples
from hvae.evaluation.points import check_points
from hvae.evaluation.scoring import score
from hvae.observer import Observer
from hvae.rows import Rows
from hvae.runs import Run, load_run
from hvae.runs.data_of import data_of, rows_of

SPLITS = ("test", "validation", "train")

MAX_POINTS = 10**7

_TABLES = (tables.NPZ, tables.CSV)
_ROWS = 1000
_LOWEST = 5  # rows that a summary of scores names

Folder = str | os.PathLike[str]


@dataclass(frozen=True)
class Work:
    """How and with what a command works.

    Attributes:
        device, threads, data_dir: as in `hvae.evaluate_run`.
        force: whether a file at `out` is replaced.
        observer: told of downloads, warnings and progress.
    """

    device: str = "cpu"
    threads: int | None = None
    data_dir: str | None = None
    force: bool = False
    observer: Observer = Observer()


@dataclass(frozen=True)
class _Source:
    """Rows and what stands beside them: arrays [N] by key, the keys of the output."""

    rows: Rows
    beside: dict[str, NDArray[Any]]


def encode_file(
    folder: Folder, source: str, out: Folder | None = None, work: Work | None = None
) -> dict[str, Any]:
    """Posteriors of every row of a file, in its order.

    Args:
        folder: of the run.
        source: a file of rows as the run's own, or one of `SPLITS` of the run's own data; "train"
            of data that are binarized anew every epoch is epoch 0.
        out: .npz or .csv with `mean_direction`, `concentration`, `kl` (`hvae.evaluation.encoding`),
            and where they are there `row_names`, `labels` and one-hot `covariates`; .h5ad, where
            `source` is one: a copy of it with .obsm of X_hvae, hvae_concentration and hvae_kl. None
            writes nothing.
        work: how to work.

    Returns:
        a summary: the run, rows, shells, means over rows of KL and concentration, and where the
        file is.

    Raises:
        Refused: the run, the source or the output; nothing is written.
        EnvironmentProblem: the memory, the disk or the network.
    """
    work = work or Work()
    from_h5ad = Path(source).suffix == tables.H5AD
    suffixes = (tables.NPZ, tables.CSV, *[tables.H5AD] * from_h5ad)
    path = _output(out, suffixes, work, Path(source))
    run = _opened(folder, work)
    found = _source(run, source, work)
    with memory.guarded():
        encoding = encode(run.model, found.rows, run.config.seed, work.observer)
    kept = {name: tensor.numpy() for name, tensor in vars(encoding).items()}
    if path is not None and path.suffix == tables.H5AD:
        direction, concentration, kl = kept.values()
        obsm = {"X_hvae": direction, "hvae_concentration": concentration, "hvae_kl": kl}
        tables.write_obsm(Path(source), path, obsm)
    elif path is not None:
        tables.write(path, {**found.beside, **kept}, _names(run))
    return {
        **_summary(run, source, found, path),
        "kl_per_shell": encoding.kl.double().mean(0).tolist(),
        "kappa": encoding.concentration.double().mean(0).tolist(),
    }


def score_file(
    folder: Folder,
    source: str,
    out: Folder | None = None,
    work: Work | None = None,
    *,
    samples: int = 500,
    seed: int | None = None,
) -> dict[str, Any]:
    """ELBO and LL of every row of a file, in its order (`hvae.evaluation.scoring`).

    Where the run draws its data 0 and 1 from numbers of the unit interval, so are these, once.

    Args:
        folder, source, work: as `encode_file`.
        out: .npz or .csv with `elbo` and `ll`, and `row_names` and `labels` where they are there.
            None writes nothing.
        samples: importance samples a row.
        seed: of the draws; None is the run's own.

    Returns:
        a summary: the run, rows, means over rows (None where one is not finite), and under "lowest"
        the rows that the model finds least likely, counted from 0.

    Raises:
        Refused, EnvironmentProblem: as `encode_file`.
        Diverged: a row's scores are not numbers.
    """
    work = work or Work()
    check_samples(samples)
    path = _output(out, _TABLES, work, Path(source))
    run = _opened(folder, work)
    found = _source(run, source, work, binarized=True)
    seed = run.config.seed if seed is None else seed
    scores = score(run.model, found.rows, samples, seed, work.observer)
    elbo, ll = scores.elbo.numpy(), scores.ll.numpy()
    if path is not None:
        beside = {name: found.beside[name] for name in found.beside if name != "covariates"}
        tables.write(path, {**beside, "elbo": elbo, "ll": ll}, {})
    names = found.beside.get("row_names", np.arange(len(ll)))
    lowest = np.argsort(ll, kind="stable")[:_LOWEST]
    return {
        **_summary(run, source, found, path),
        "elbo": _finite(elbo.mean()),
        "ll": _finite(ll.mean()),
        "iw_samples": samples,
        "seed": seed,
        "lowest": [{"row": int(i), "name": str(names[i]), "ll": _finite(ll[i])} for i in lowest],
    }


def decode_file(
    folder: Folder,
    source: Folder,
    out: Folder,
    work: Work | None = None,
    *,
    covariates: Sequence[str] = (),
) -> dict[str, Any]:
    """E[x | z] of latent points in a file.

    Args:
        folder, work: as `encode_file`.
        source: .npz or .csv with `mean_direction` or `z`, as `encode_file` and `sample_file` write
            them: [N, m], checked (`hvae.evaluation.points`).
        out: .npz or .csv with `mean` [N, D], in the data's units, and `row_names` where they are
            there.
        covariates: "COLUMN=VALUE", for a model that was told of them, where `source` has no
            `covariates`.

    Returns:
        a summary.

    Raises:
        Refused, EnvironmentProblem: as `encode_file`.
    """
    work = work or Work()
    path = _output(out, _TABLES, work, Path(source))
    run = _opened(folder, work)
    arrays = tables.read(Path(source), {**_names(run), "row_names": ()})
    z = _points(run, Path(source), arrays)
    told = _told(run, arrays, covariates, Path(source))
    beside = {name: arrays[name] for name in ("row_names",) if name in arrays}
    return _write_decoded(run, path, z, told, beside, with_z=False)


def sample_file(
    folder: Folder,
    out: Folder,
    work: Work | None = None,
    *,
    samples: int = 64,
    shell: int | None = None,
    around: int | None = None,
    source: str = "test",
    covariates: Sequence[str] = (),
    seed: int | None = None,
) -> dict[str, Any]:
    """Latent points from the prior and what the decoder makes of them.

    Args:
        folder, work: as `encode_file`.
        out: .npz or .csv with `z` [samples, m] and `mean` [samples, D], E[x | z].
        samples: how many points.
        shell: draw this component only, in the order of `--shells`, from 1; all others are at the
            mode of the posterior of the row `around`. None draws all.
        around: a row of `source`, counted from 0; given with `shell` and at no other time.
        source: as of `encode_file`; read where `around` is given.
        covariates: "COLUMN=VALUE" for every column that the model was told of; of a row `around`
            its own where none are given.
        seed: of the draws; None is the run's own.

    Returns:
        a summary.

    Raises:
        Refused, EnvironmentProblem: as `encode_file`.
    """
    work = work or Work()
    if (shell is None) != (around is None):
        raise Refused("--shell and --around: one without the other; allowed: both or none")
    if not 1 <= samples <= MAX_POINTS:
        raise refused_option("n", samples, f"an integer from 1 to {MAX_POINTS}")
    path = _output(out, _TABLES, work, Path(source))
    run = _opened(folder, work)
    seed = run.config.seed if seed is None else seed
    row, own = None, {}
    if around is not None:
        row = _row(_source(run, source, work).rows, around, source)
        _, beside = run.model.split(row)
        own = {} if beside is None or covariates else {"covariates": beside.cpu().numpy()}
    told = _told(run, own, covariates, None)
    with memory.guarded():
        if row is None or shell is None:
            z = run.prior(samples, seed)
        else:
            z = run.around(row, shell, samples, seed)
    return _write_decoded(run, path, z.cpu(), told, {}, with_z=True)


def _output(out: Folder | None, suffixes: Sequence[str], work: Work, source: Path) -> Path | None:
    """Where the output goes, checked before any work is done."""
    if out is None:
        return None
    tables.check_output(Path(out), suffixes, work.force, source)
    return Path(out)


def _opened(folder: Folder, work: Work) -> Run:
    run = load_run(folder, work.device)
    use_threads(work.threads)
    return run


def _source(run: Run, source: str, work: Work, binarized: bool = False) -> _Source:
    """The rows of a file or of a split of the run's own data; binarized: as `rows_of` has it."""
    if source not in SPLITS:
        found = rows_of(run.config, run.description, source, binarized=binarized)
        names = None if found.row_names is None else np.array(found.row_names)
        return _beside(run, found.rows, found.labels, found.label_names, names)
    own = run.config
    progress = work.observer.download
    dataset = data_of(own, work.data_dir, recorded=own.data_dir, progress=progress)
    for warning in dataset.warnings:
        work.observer.warning(warning)
    rows: Rows = dataset.epoch(own.seed, 0) if source == "train" else getattr(dataset, source)
    labels = None if dataset.labels is None else dataset.labels[source]
    return _beside(run, rows, labels, dataset.label_names, None)


def _beside(
    run: Run,
    rows: Rows,
    labels: Tensor | None,
    label_names: Sequence[str] | None,
    row_names: NDArray[Any] | None,
) -> _Source:
    beside: dict[str, NDArray[Any]] = {}
    if row_names is not None:
        beside["row_names"] = row_names
    if labels is not None:
        numbers = labels.numpy()
        beside["labels"] = numbers if label_names is None else np.array(label_names)[numbers]
    if run.description.covariates:
        blocks = [rows[i : i + _ROWS] for i in range(0, len(rows), _ROWS)]
        told = torch.cat([block[:, run.description.size :] for block in blocks])
        beside["covariates"] = told.cpu().numpy()
    return _Source(rows, beside)


def _row(rows: Rows, number: int, source: str) -> Tensor:
    """[1, W]."""
    if not 0 <= number < len(rows):
        allowed = f"a row of {source}, an integer from 0 to {len(rows) - 1}"
        raise refused_option("around", number, allowed)
    return rows[number : number + 1]


def _names(run: Run) -> dict[str, tuple[str, ...]]:
    """The names of the columns of every key [N, c]."""
    components = run.model.latent.components
    own = tuple(str(i + 1) for i in range(len(components)))
    coordinates = tuple(coordinate_names(run.model.latent))
    features = run.description.features or range(1, run.description.size + 1)
    return {
        "mean_direction": coordinates,
        "z": coordinates,
        "concentration": own,
        "kl": own,
        "covariates": run.description.covariates,
        "mean": tuple(map(str, features)),
    }


def _points(run: Run, path: Path, arrays: Mapping[str, NDArray[Any]]) -> Tensor:
    """Latent points of a file: [N, m] in the model's dtype, checked."""
    there = [key for key in ("mean_direction", "z") if key in arrays]
    if len(there) != 1:
        raise Refused(
            f"{path}: {' and '.join(there) or 'no latent points'}; allowed: mean_direction or z, "
            "one of them"
        )
    [key], latent = there, run.model.latent
    found = arrays[key]
    if found.dtype.kind not in "fiu":
        raise Refused(f"{path}: {key} is of type {found.dtype}; allowed: numbers")
    z = torch.from_numpy(found.astype(np.float64))
    check_points(latent, z, f"{path}: {key}")
    return z.to(run.model.dtype)


def _told(
    run: Run, arrays: Mapping[str, NDArray[Any]], values: Sequence[str], path: Path | None
) -> Tensor | None:
    """Covariates [N, C] or [C] for the decoder; None for a model without any."""
    if not run.description.covariates:
        return run.covariates(values) if values else None
    if values or "covariates" not in arrays:
        return run.covariates(values)
    found = arrays["covariates"]
    if found.dtype.kind not in "fiub" or found.shape[1:] != (len(run.description.covariates),):
        raise Refused(
            f"{path}: covariates are {found.shape} {found.dtype}; allowed: numbers [N, "
            f"{len(run.description.covariates)}]"
        )
    return torch.from_numpy(found.astype(np.float32))


def _write_decoded(
    run: Run,
    path: Path | None,
    z: Tensor,
    told: Tensor | None,
    beside: Mapping[str, NDArray[Any]],
    with_z: bool,
) -> dict[str, Any]:
    """Decode points [N, m], write them and say so."""
    if told is not None and told.ndim == 2 and len(told) not in (1, len(z)):
        raise Refused(f"covariates: {len(told)} rows for {len(z)} points; allowed: one for each")
    means = []
    with memory.guarded():
        for first in range(0, len(z), _ROWS):
            part = slice(first, first + _ROWS)
            own = told[part] if told is not None and told.ndim == 2 and len(told) > 1 else told
            means.append(run.decode(z[part], own).cpu())
    arrays = {**beside, **({"z": z.numpy()} if with_z else {}), "mean": torch.cat(means).numpy()}
    assert path is not None
    tables.write(path, arrays, _names(run))
    return {**_head(run), "rows": len(z), "out": str(path)}


def _summary(run: Run, source: str, found: _Source, path: Path | None) -> dict[str, Any]:
    out = None if path is None else str(path)
    return {**_head(run), "file": source, "rows": len(found.rows), "out": out}


def _head(run: Run) -> dict[str, Any]:
    return {"run": run.path.resolve().name, "shells": run.config.shells}


def _finite(value: float) -> float | None:
    """For JSON, which has no infinity."""
    return float(value) if math.isfinite(value) else None
