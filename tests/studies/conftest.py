"""What the tests of studies share: no process is left behind."""

import pytest
import small


@pytest.fixture(autouse=True)
def no_leader_is_left():
    """Ends the studies that a test has begun."""
    yield
    small.end_all()
