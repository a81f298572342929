"""From the arrays of the files to the three splits: orientation, colours, split, binarization.

Every choice here is fixed and made with numpy.random.RandomState, whose streams NumPy has frozen
(NEP 19), so that a split stays the same in years and needs no compiled extension.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hvae.data.source import Source

SHUFFLE_SEED = 123  # that of Burda's own split of Omniglot (github.com/yburda/iwae, datasets.py)
BINARIZATION_SEEDS = {"validation": 1, "test": 2}


def arrange(source: Source, parts: Mapping[str, NDArray[np.uint8]]) -> dict[str, NDArray[np.uint8]]:
    """{"train", "validation", "test": uint8 [N, D]}, upright, the object 1, from grey level parts.

    Validation and test are binarized here, once; train is not where the set is "dynamic".
    """
    splits = split(source, {name: _upright(source, part) for name, part in parts.items()})
    if source.binarization == "dynamic":
        for name, seed in BINARIZATION_SEEDS.items():
            splits[name] = binarize_once(splits[name], seed)
    return splits


def split(source: Source, parts: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """{"train", "validation", "test"} from parts whose first dimension counts the images.

    Images and labels are split alike, so that row i of one belongs to row i of the other.
    """
    train = parts["train"]
    if source.shuffled:
        train = train[fixed_order(len(train))]
    return {**parts, **_held_out(source, train)}


def fixed_order(rows: int) -> NDArray[np.int64]:
    """The permutation of `rows` images that comes before a split."""
    return np.random.RandomState(SHUFFLE_SEED).permutation(rows)


def binarize_once(grey: NDArray[np.uint8], seed: int) -> NDArray[np.uint8]:
    """uint8 0/1 of the shape of `grey` (0..255): 1 with probability grey/255, by the fixed seed."""
    uniform = np.random.RandomState(seed).random_sample(grey.shape)  # [0, 1): 0 and 255 are certain
    return (uniform * 255 < grey).astype(np.uint8)


def _upright(source: Source, part: NDArray[np.uint8]) -> NDArray[np.uint8]:
    if source.column_major:
        height, width = source.shape
        part = part.reshape(-1, width, height).transpose(0, 2, 1).reshape(part.shape)
    if source.object_is_zero:
        part = source.maximum - part
    if source.threshold is not None:
        part = (part >= source.threshold).astype(np.uint8)
    return part.astype(np.uint8, copy=False)


def _held_out(source: Source, train: NDArray[Any]) -> dict[str, NDArray[Any]]:
    splits = {}
    end = len(train)
    for name, rows in reversed(source.held_out):
        splits[name] = train[end - rows : end]
        end -= rows
    return splits | {"train": train[:end]}
