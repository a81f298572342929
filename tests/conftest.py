"""What tests of every folder share: the modules beside this file, and fixtures."""

import os
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parent))

import exact
import pytest
import thorough
import torch

from hvae import ops  # noqa: F401  # registers torch.ops.hvae

if "PYTEST_XDIST_WORKER" in os.environ:
    torch.set_num_threads(1)  # the workers share the cores


def pytest_addoption(parser):
    parser.addoption(
        "--thorough", action="store_true", help="the long tests with all their examples"
    )


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """With `-n`, halves of the list and stealing: a module's fixtures are made once, not twice."""
    from xdist.scheduler import WorkStealingScheduling

    return WorkStealingScheduling(config, log) if config.getoption("dist") == "load" else None


def pytest_configure(config):
    thorough.ASKED = config.getoption("--thorough")


@pytest.fixture(params=[torch.float64, torch.float32], ids=["float64", "float32"])
def dtype(request):
    """A dtype that the kernels compute in."""
    return request.param


@pytest.fixture(params=exact.DEVICES)
def device(request):
    """A device; new tensors are made there."""
    with torch.device(request.param):
        yield request.param


@pytest.fixture(params=torch.ops.hvae.tiers().split())
def tier(request):
    """The instruction set of the CPU's kernels; the one chosen before is back afterwards."""
    chosen = torch.ops.hvae.tier()
    torch.ops.hvae.use_tier(request.param)
    yield request.param
    torch.ops.hvae.use_tier(chosen)
