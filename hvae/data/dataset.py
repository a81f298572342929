"""A loaded data set, and its binarization anew in every epoch."""

from dataclasses import dataclass

import torch

from hvae import ops, random

_CHUNK_ROWS = 4096  # bounds the uniforms of `Dataset.epoch` to 13 MB at 784 pixels


@dataclass(frozen=True, eq=False)
class Dataset:
    """Images split in three, as rows of pixels: upright, row-major, the object is 1.

    train, validation, test: contiguous uint8 tensors [N, D], D = height * width. validation and
    test hold 0 and 1 only. So does train where binarization is "none"; where it is "dynamic", train
    holds grey levels 0..255 and `epoch` binarizes it.
    checksum: SHA-256 (hex) of the arrays as decoded from the files, uint8, rows of pixels, in the
    files' order, one part after the other, before orientation, polarity, split and binarization.
    verified: False if a file differs from the published one; `warnings` then says which, how, and
    what its figures must not be called.
    source: where the data came from, for the record of a run.
    """

    name: str
    train: torch.Tensor
    validation: torch.Tensor
    test: torch.Tensor
    image_shape: tuple[int, int]
    binarization: str
    checksum: str
    verified: bool
    source: str
    warnings: tuple[str, ...] = ()

    def epoch(self, seed: int, epoch: int) -> torch.Tensor:
        """The training images of one epoch: uint8 [N, D] of 0 and 1, on the device of `train`.

        A "dynamic" set draws every pixel anew, 1 with probability grey/255, from the stream
        (seed, "binarization", step=epoch): the same call gives the same images. Any other set
        returns `train` itself, which is not to be written to.
        """
        if self.binarization == "none":
            return self.train
        images = torch.empty_like(self.train)
        for start in range(0, len(images), _CHUNK_ROWS):
            grey = self.train[start : start + _CHUNK_ROWS]
            device = grey.device
            rng = random.stream(seed, "binarization", step=epoch, row=start, device=device)
            uniform = ops.uniform(rng, 1, *grey.shape, dtype=torch.float32)[0]
            # <= and not <: the largest uniform below 1 rounds to 1 in float32, and a pixel of
            # 255 is an object with certainty; the smallest is above 0, the background's chance.
            images[start : start + _CHUNK_ROWS] = uniform <= grey / 255
        return images
