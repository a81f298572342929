"""A loaded data set, and its binarization anew in every epoch."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from hvae import ops, random
from hvae.data.source import Binarization
from hvae.description import DataDescription

_CHUNK_NUMBERS = 1 << 22  # bounds the uniforms of `Dataset.epoch` to 16 MiB


@dataclass(frozen=True, eq=False)
class Dataset:
    """Data split in three, and what it is.

    Attributes:
        name: of the set.
        train, validation, test: contiguous tensors [N, D] of flattened rows, D =
            `description.size`. Images are upright and row-major. Where the kind is binary they are
            uint8: validation and test hold 0 and 1 only, 1 is the object. So does train where
            `binarization` is "none"; where it is "dynamic", train holds grey levels 0..255, and
            `epoch` binarizes it.
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
    """

    name: str
    train: Tensor
    validation: Tensor
    test: Tensor
    description: DataDescription
    binarization: Binarization
    checksum: str
    verified: bool
    source: str
    warnings: tuple[str, ...] = ()
    labels: Mapping[str, Tensor] | None = None

    def epoch(self, seed: int, epoch: int) -> Tensor:
        """The training rows of one epoch, [N, D], on the device of `train`.

        A "dynamic" set draws every pixel anew, uint8 1 with probability grey/255 and else 0, from
        the stream (seed, "binarization", step=epoch): the same call gives the same images. Any
        other set returns `train` itself, which is not to be written to.
        """
        if self.binarization == "none":
            return self.train
        images = torch.empty_like(self.train)
        rows, columns = self.train.shape
        chunk = max(1, _CHUNK_NUMBERS // columns)
        for start in range(0, rows, chunk):
            grey = self.train[start : start + chunk]
            rng = random.stream(seed, "binarization", step=epoch, row=start, device=grey.device)
            uniform = ops.uniform(rng, 1, len(grey), columns, dtype=torch.float32)[0]
            # <= and not <: the largest uniform below 1 rounds to 1 in float32, and a pixel of
            # 255 is an object with certainty. The smallest is above 0, which stays background.
            images[start : start + chunk] = uniform <= grey / 255
        return images
