"""The kernels' random stream."""

import numpy as np

from hvae import _math


def test_scalar_philox():
    """Random123's published vectors, through NumPy."""
    counter = np.array([[0] * 4, [0xFFFFFFFF] * 4], np.uint32)
    assert _math.philox(counter[0], 0).tolist() == [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]
    ones = _math.philox(counter[1:], 0xFFFFFFFFFFFFFFFF)
    assert ones.tolist() == [[0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD]]
