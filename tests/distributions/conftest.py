"""What the tests of `hvae.distributions` share: the device, values validated, numbers fixed."""

import exact
import pytest
import torch


@pytest.fixture(params=exact.DEVICES, autouse=True)
def device(request):
    """New tensors are made there, values are validated, and the random numbers are fixed."""
    torch.distributions.Distribution.set_default_validate_args(True)  # torch.compile turns it off
    with torch.device(request.param):
        torch.manual_seed(5)
        yield request.param
