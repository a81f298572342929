"""hvae.runs.lock: one process at a time, on every file system, and who looks disturbs nobody."""

import contextlib
import errno
import fcntl
import os

import pytest
from few import config, digits
from processes import outcome

from hvae import data, load_run, resume, train
from hvae.errors import EnvironmentProblem, Refused
from hvae.runs import RunFolder, lock, refuse_taken


def nfs(flock):
    """flock(2) as on NFS, which makes record locks of them: what a lock needs of its handle."""

    def strict(handle, kind):
        mode = fcntl.fcntl(handle, fcntl.F_GETFL) & os.O_ACCMODE
        lacking = {fcntl.LOCK_EX: os.O_RDONLY, fcntl.LOCK_SH: os.O_WRONLY}
        if any(kind & lock and mode == denied for lock, denied in lacking.items()):
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))
        return flock(handle, kind)

    return strict


@pytest.fixture(params=["local", "nfs"])
def file_system(request, monkeypatch):
    if request.param == "nfs":
        monkeypatch.setattr(fcntl, "flock", nfs(fcntl.flock))


@contextlib.contextmanager
def another_looks(folder):
    """Another process is in the middle of `refuse_owned`."""
    handle = os.open(folder / lock.LOCK, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
        yield
    finally:
        os.close(handle)


def take(folder):
    """Own the folder, and give it back."""
    with lock.owned(folder):
        pass


def reopen(folder):
    with RunFolder.reopen(folder):
        pass


@pytest.mark.usefixtures("file_system")
class TestLock:
    def test_it_has_one_owner_until_the_block_ends(self, tmp_path):
        with lock.owned(tmp_path) as handle:
            lock.sign(handle)
            for attempt in (take, lock.refuse_owned):
                with pytest.raises(EnvironmentProblem, match=f"to process {os.getpid()}, which"):
                    attempt(tmp_path)
        lock.refuse_owned(tmp_path)
        take(tmp_path)

    def test_an_owner_that_has_not_signed_is_unknown(self, tmp_path):
        unknown = pytest.raises(EnvironmentProblem, match="belongs to process unknown, which")
        with lock.owned(tmp_path), unknown:
            lock.refuse_owned(tmp_path)

    def test_the_signature_of_a_longer_number_goes(self, tmp_path):
        (tmp_path / lock.LOCK).write_text("12345678901234567890")
        with lock.owned(tmp_path) as handle:
            lock.sign(handle)
        assert (tmp_path / lock.LOCK).read_text() == f"{os.getpid():<20}"

    def test_to_look_makes_no_file(self, tmp_path):
        lock.refuse_owned(tmp_path)
        assert list(tmp_path.iterdir()) == []

    def test_two_who_look_do_not_exclude_each_other(self, tmp_path):
        take(tmp_path)
        with another_looks(tmp_path):
            lock.refuse_owned(tmp_path)

    def test_who_looks_leaves_nothing_locked(self, tmp_path):
        take(tmp_path)
        lock.refuse_owned(tmp_path)
        take(tmp_path)

    def test_a_file_that_may_only_be_read_can_be_looked_at(self, tmp_path, monkeypatch):
        """Of another user, or on a disk that is read-only: no handle is opened for writing."""
        take(tmp_path)
        original = os.open

        def reading(path, flags, *mode):
            assert flags & os.O_ACCMODE == os.O_RDONLY and not flags & os.O_CREAT
            return original(path, flags, *mode)

        monkeypatch.setattr(os, "open", reading)
        lock.refuse_owned(tmp_path)

    def test_a_run_is_trained_resumed_and_evaluated(self, tmp_path, monkeypatch):
        monkeypatch.setattr(data, "load", lambda name, folder=None, **options: digits())
        train(config(), tmp_path / "run", checkpoint_every=0)
        expected = outcome(tmp_path / "run")
        with pytest.raises(Refused, match="holds a run"):
            train(config(), tmp_path / "run")
        (tmp_path / "run" / "result.json").unlink()
        resume(tmp_path / "run")
        assert outcome(tmp_path / "run") == expected
        load_run(tmp_path / "run")

    def test_an_owned_folder_is_neither_taken_nor_resumed(self, tmp_path, monkeypatch):
        monkeypatch.setattr(data, "load", lambda name, folder=None, **options: digits())
        with RunFolder.create(tmp_path / "run", config()):
            for attempt in (refuse_taken, resume, reopen):
                with pytest.raises(EnvironmentProblem, match="which is training it"):
                    attempt(tmp_path / "run")


def test_a_file_system_without_locks_is_named(tmp_path, monkeypatch):
    def none(handle, kind):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", none)
    for attempt in (take, lock.refuse_owned):
        with pytest.raises(EnvironmentProblem, match=r"\.lock cannot be locked: No locks avail"):
            attempt(tmp_path)


def test_the_emulation_of_nfs_is_stricter_than_this_disk(tmp_path):
    (tmp_path / "file").touch()
    strict = nfs(fcntl.flock)
    for flags, kind in ((os.O_RDONLY, fcntl.LOCK_EX), (os.O_WRONLY, fcntl.LOCK_SH)):
        handle = os.open(tmp_path / "file", flags)
        fcntl.flock(handle, kind | fcntl.LOCK_NB)
        with pytest.raises(OSError, match="Bad file descriptor"):
            strict(handle, kind | fcntl.LOCK_NB)
        os.close(handle)
