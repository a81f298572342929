"""The CUDA kernels, wherever they can run here, and memory that shows what was not written."""

import os
import shutil

import backends
import pytest
import thorough
import torch

# `sanitize` sets it, to a build that needs a process of its own.
ONLY = os.environ.get("HVAE_CUDA_BACKEND")


def pytest_generate_tests(metafunc):
    """One library of emulated kernels a process, since two would register the same ops.

    g++ makes it, or nvcc where it is there and is asked for: it takes a minute.
    """
    if "backend" in metafunc.fixturenames:
        asked = thorough.ASKED or "cuda" in metafunc.config.getoption("markexpr")
        emulated = "ptx" if asked and shutil.which("nvcc") else "gcc"
        names = [ONLY] if ONLY else [emulated, "gpu"]
        metafunc.parametrize("backend", names, indirect=True, scope="session")


@pytest.fixture(scope="session")
def backend(request):
    """A callable of ops, see `backends.Backend`."""
    return backends.open_backend(request.param)


@pytest.fixture(autouse=True)
def _unwritten_is_nan():
    """What an op allocates holds NaN, so an output that is not written shows."""
    before = torch.are_deterministic_algorithms_enabled()
    torch.use_deterministic_algorithms(True)
    torch.utils.deterministic.fill_uninitialized_memory = True
    yield
    torch.use_deterministic_algorithms(before)


def pytest_collection_modifyitems(items):
    folder = os.path.dirname(__file__)
    for item in items:
        if str(item.path).startswith(folder):
            item.add_marker(pytest.mark.cuda)


@pytest.fixture
def each_dtype(backend):
    """The dtypes that the backend is built for."""
    return backend.dtypes
