"""What the tests of the command line share: no process is left behind."""

import processes
import pytest
from processes import SHORT, hvae


@pytest.fixture(autouse=True)
def no_process_is_left():
    """Ends what a test has started and not waited for: its failure must not hang the session."""
    yield
    processes.end_all()


@pytest.fixture(scope="session")
def home(tmp_path_factory):
    """A folder in which one run was trained with nothing but short settings."""
    folder = tmp_path_factory.mktemp("home")
    ran = hvae("train", *SHORT, "--seed", 3, cwd=folder)
    assert ran.returncode == 0, ran.stderr
    return folder, ran
