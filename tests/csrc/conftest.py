"""Fixtures of the tests of the scalar mathematics, which works on NumPy arrays."""

import numpy as np
import pytest


@pytest.fixture(params=[np.float64, np.float32], ids=["float64", "float32"])
def dtype(request):
    """A dtype that the kernels compute in."""
    return request.param
