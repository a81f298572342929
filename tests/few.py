"""A few real digits, for tests that train and evaluate."""

import functools
from dataclasses import replace

from hvae.config import TrainConfig
from hvae.data import load as _load  # bound here: tests replace hvae.data.load


@functools.lru_cache
def digits():
    """The first rows of every split of the embedded digits: 130, 40 and 35 images of 8 x 8."""
    whole = _load("digits")
    return replace(
        whole,
        train=whole.train[:130].clone(),
        validation=whole.validation[:40].clone(),
        test=whole.test[:35].clone(),
    )


def config(**settings):
    """Settings for a run of a few epochs with a small network."""
    small = {"shells": "3,e2", "epochs": 3, "warmup": 2, "hidden": (16, 12), "batch_size": 50}
    return TrainConfig(**{**small, **settings})
