"""The data of a run: the published set or the file that its settings name."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hvae import data
from hvae.data.fetch import Progress
from hvae.data.folders import Folder
from hvae.description import DataDescription, Kind
from hvae.model import LIKELIHOODS
from hvae.model.likelihoods import AUTO, DEFAULTS
from hvae.runs.config import TrainConfig


def data_of(
    config: TrainConfig,
    data_dir: Folder | None = None,
    recorded: Folder | None = None,
    progress: Progress | None = None,
) -> data.Dataset:
    """What a run is trained on and evaluated with.

    Args:
        config: the settings of the run.
        data_dir: a folder that the user names now. The file of a run is looked for there by its
            name, and without one where it was.
        recorded: the folder that the run was trained from, as in `hvae.data.load`.
        progress: as in `hvae.data.load`.

    Raises:
        Refused, EnvironmentProblem: as `hvae.data.load` or `hvae.data.open_file`.
    """
    if config.data is None:
        return data.load(config.dataset, data_dir, recorded=recorded, progress=progress)
    takes, binarizes = _wants(config)
    path = Path(config.data) if data_dir is None else Path(data_dir) / Path(config.data).name
    return data.open_file(path, config.file_options, takes=takes, binarized=binarizes)


def other_data(result: Mapping[str, Any] | None, dataset: data.Dataset) -> list[str]:
    """What must be said of a data set that is not the one which a run was trained on.

    Args:
        result: of the run, None where it has not ended.
        dataset: what there is now.
    """
    trained = (result or {}).get("data_checksum", dataset.checksum)
    return [] if trained == dataset.checksum else [f"the run was trained on other data: {trained}"]


def rows_of(
    config: TrainConfig,
    description: DataDescription,
    path: str | os.PathLike[str],
    *,
    binarized: bool = False,
) -> data.FileRows:
    """Every row of a file, for the model of a run.

    Args:
        config: the settings of the run.
        description: of its data.
        path: of the file.
        binarized: whether numbers of the unit interval are drawn 0 and 1, once, where the run's
            likelihood wants that: what is scored must be, what is encoded need not.

    Raises:
        Refused, EnvironmentProblem: as `hvae.data.read_rows`.
    """
    drawn = binarized and _wants(config)[1]
    return data.read_rows(path, description, config.file_options, binarized=drawn)


def _wants(config: TrainConfig) -> tuple[frozenset[Kind] | None, bool]:
    """The kinds that the likelihood takes (None: all), and whether it wants 0 and 1 drawn."""
    if config.likelihood == AUTO:
        return None, LIKELIHOODS[DEFAULTS[Kind.UNIT]].binarizes
    likelihood = LIKELIHOODS[config.likelihood]
    return likelihood.takes, likelihood.binarizes
