"""A loaded data set, and its binarization anew in every epoch."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from hvae.data.binarization import Binarized, binarized
from hvae.data.source import Binarization
from hvae.description import DataDescription
from hvae.rows import Rows


@dataclass(frozen=True, eq=False)
class Dataset:
    """Data split in three, and what it is.

    Attributes:
        name: of the set.
        train, validation, test: [N, W] flattened rows, the D = `description.size` numbers and the
            covariates behind them: contiguous tensors, or for a file that is sparse or larger than
            memory rows that are read as they are asked for. Images are upright and row-major. Of
            the published sets they are uint8: validation and test hold 0 and 1 only, 1 is the
            object. So does train where `binarization` is "none"; where it is "dynamic", train holds
            grey levels 0..255 (of a user's file that has them, numbers from 0 to 1), and `epoch`
            binarizes it.
        description: the shape and the kind of a row, as a model sees it.
        binarization: of train: "none", or "dynamic" for grey levels drawn anew every epoch.
        checksum: SHA-256 (hex) of the arrays as decoded from the files, rows of numbers in the
            files' order, one part after the other, before orientation, colours, split and
            binarization; the published sets' are uint8.
        verified: False if a file differs from the published one; `warnings` then says which, how,
            and what its figures must not be called.
        source: where the rows came from, for the record of a run.
        labels: the class of every row, int64 [N] by "train", "validation" and "test", numbered as
            in the files. None where a file has no labels.
        label_names: class c is called label_names[c]. None where the file has no names.
        summary: what was found in a user's file, in one line; "" for a published set.
    """

    name: str
    train: Rows
    validation: Rows
    test: Rows
    description: DataDescription
    binarization: Binarization
    checksum: str
    verified: bool
    source: str
    warnings: tuple[str, ...] = ()
    labels: Mapping[str, Tensor] | None = None
    label_names: tuple[str, ...] | None = None
    summary: str = ""

    def epoch(self, seed: int, epoch: int) -> Rows:
        """The training rows of one epoch, [N, W], on the device of `train`.

        A "dynamic" set draws every pixel anew, uint8 1 with probability grey/255 and else 0, from
        the stream (seed, "binarization", step=epoch): the same call gives the same images, whether
        they are in memory or read as they are asked for. Any other set returns `train` itself,
        which is not to be written to.
        """
        if self.binarization == "none":
            return self.train
        columns = self.description.size
        if isinstance(self.train, Tensor):
            return binarized(self.train, columns, seed, step=epoch)
        return Binarized(self.train, columns, seed, step=epoch)

    def to(self, device: torch.device) -> "Dataset":
        """The same, with train and validation on the device where they are tensors."""
        return replace(
            self, train=_moved(self.train, device), validation=_moved(self.validation, device)
        )


def _moved(rows: Rows, device: torch.device) -> Rows:
    return rows.to(device) if isinstance(rows, Tensor) else rows
