"""What a binarization must look like: pixels are 1 as often as their grey levels say."""

import numpy as np
import scipy.stats


def assert_frequencies(grey, images):
    """images: 0/1 drawn at grey/255; 0 and 255 are certain. Exact binomial tails of 1e-7 each.

    A false alarm in at most 254 * 2e-7 = 5e-5 of seeds; the seeds here are fixed.
    """
    drawn = np.bincount(grey.ravel())
    ones = np.bincount(grey.ravel(), weights=images.ravel())
    assert ones[0] == 0 and ones[255] == drawn[255]
    chance = np.arange(256) / 255
    assert scipy.stats.binom.cdf(ones, drawn, chance).min() > 1e-7
    assert scipy.stats.binom.sf(ones - 1, drawn, chance).min() > 1e-7


def grey_ramp(rows):
    """uint8 [rows, 512]: each row all grey levels twice."""
    return np.tile(np.arange(256, dtype=np.uint8).repeat(2), (rows, 1))
