"""The data of a run: its data set, and the rows of another file."""

import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from hvae import data
from hvae.data.fetch import Progress
from hvae.description import DataDescription
from hvae.errors import EnvironmentProblem, Refused
from hvae.rows import Rows
from hvae.runs.config import TrainConfig


@dataclass(frozen=True)
class FileRows:
    """Every row of a file, in its order."""

    rows: Rows
    labels: Tensor | None = None
    label_names: tuple[str, ...] | None = None
    row_names: tuple[str, ...] | None = None


def data_of(
    config: TrainConfig,
    data_dir: str | None = None,
    recorded: str | None = None,
    progress: Progress | None = None,
) -> data.Dataset:
    """The data set of a run."""
    return data.load(config.dataset, data_dir, recorded=recorded, progress=progress)


def rows_of(config: TrainConfig, description: DataDescription, path: str | Path) -> FileRows:
    """The rows of a .npy or .npz file (its first array), for the model of a run."""
    try:
        found = np.load(path, allow_pickle=False)
        array = found[found.files[0]] if isinstance(found, np.lib.npyio.NpzFile) else found
        rows = torch.from_numpy(np.array(array)).reshape(len(array), -1)
    except OSError as error:
        raise EnvironmentProblem(f"{path} cannot be read: {error.strerror}") from error
    except (ValueError, TypeError, EOFError, zipfile.BadZipFile) as error:
        raise Refused(f"{path}: not an array; allowed: .npy, .npz") from error
    if rows.shape[1] != description.width:
        raise Refused(f"{path}: {rows.shape[1]} columns; allowed: {description.width}")
    return FileRows(rows)
