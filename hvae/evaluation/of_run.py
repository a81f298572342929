"""The evaluation of a run: its best model on a split of its data, kept in its folder."""

import os
import time
from dataclasses import asdict, replace
from typing import Any

import torch

from hvae import build
from hvae.devices import use_threads
from hvae.errors import refused_option
from hvae.evaluation.importance import Evaluation, check_samples, evaluate
from hvae.evaluation.refinement import check_steps
from hvae.evaluation.refinement import refine as refine_posteriors
from hvae.model.likelihoods import AUTO
from hvae.model.linear import use_products
from hvae.observer import Observer
from hvae.rows import Rows
from hvae.runs import Run, RunFolder, load_run
from hvae.runs.data_of import data_of, other_data
from hvae.runs.products import with_products

SPLITS = ("test", "validation", "train")


def evaluate_run(
    folder: str | os.PathLike[str],
    *,
    split: str = "test",
    samples: int = 500,
    refine: int = 0,
    seed: int | None = None,
    device: str = "cpu",
    threads: int | None = None,
    products: str = AUTO,
    data_dir: str | None = None,
    observer: Observer | None = None,
) -> dict[str, Any]:
    """Evaluate the best model of a run on a split and store the result in the run's folder.

    Args:
        folder: the run's folder.
        split: one of `SPLITS`; "train" of a set that is binarized anew every epoch is evaluated as
            epoch 0, which training never sees.
        samples: importance samples a row.
        refine: steps by which each row's posterior is fitted with the decoder held fixed
            (`hvae.evaluation.refinement`); its figures stand beside the plain ones, under
            "refined". 0 for none.
        seed: of the draws; None is the run's own.
        device: as in `TrainConfig`.
        threads: CPU threads; None leaves torch's own number.
        products: as in `TrainConfig`; by itself what is the faster here, and not what the run had.
        data_dir: as in `TrainConfig`; None is the run's own.
        observer: told of downloads, warnings and progress.

    Returns:
        the document of eval-SPLIT-SAMPLES-SEED.json, or of eval-SPLIT-SAMPLES-SEED-refineN.json.

    Raises:
        Refused: an argument, the run or the data; nothing is written.
        EnvironmentProblem: the memory, the disk or the network.
    """
    began = time.perf_counter()
    observer = observer or Observer()
    check_samples(samples)
    if refine != 0:
        check_steps(refine)
    if split not in SPLITS:
        raise refused_option("split", split, ", ".join(SPLITS))
    run = load_run(folder, device)
    own = run.config
    config = replace(
        own,
        seed=own.seed if seed is None else seed,
        threads=own.threads if threads is None else threads,
        device=device,
        products=products,
    )
    use_threads(threads)
    config = with_products(config)
    use_products(run.model, config.products)
    dataset = data_of(config, data_dir, recorded=own.data_dir, progress=observer.download)
    observer.data(dataset.summary)
    warnings = [*dataset.warnings, *other_data(run.result, dataset)]
    for warning in warnings:
        observer.warning(warning)
    rows = dataset.epoch(own.seed, 0) if split == "train" else getattr(dataset, split)
    evaluation = evaluate(run.model, rows, samples, config.seed, observer)
    document = {
        "run": run.path.resolve().name,
        "dataset": dataset.name,
        "shells": config.shells,
        "split": split,
        "seed": config.seed,
        **_figures(evaluation),
        **_refined(run, rows, samples, refine, config.seed, observer),
        "data_checksum": dataset.checksum,
        "data_verified": dataset.verified,
        "warnings": warnings,
        "threads": torch.get_num_threads(),
        "products": config.products,
        "versions": build.versions(),
        "seconds": time.perf_counter() - began,
    }
    RunFolder(run.path).save_evaluation(document)
    return document


def _refined(
    run: Run, rows: Rows, samples: int, steps: int, seed: int, observer: Observer
) -> dict[str, Any]:
    """The figures after refinement, under "refined"; nothing for no steps."""
    if steps == 0:
        return {}
    raw = refine_posteriors(run.model, rows, steps, seed, observer)
    evaluation = evaluate(run.model, rows, samples, seed, observer, raw)
    return {"refined": {"steps": steps, **_figures(evaluation)}}


def _figures(evaluation: Evaluation) -> dict[str, Any]:
    """What an evaluation says; of a prior that is not learned it does not say r."""
    return {
        name: value
        for name, value in asdict(evaluation).items()
        if value is not None or name != "r"
    }
