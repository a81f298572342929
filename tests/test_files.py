"""hvae.files: whole or not at all, and never unpickled."""

import os
import pickle
import stat

import pytest
import torch

from hvae import files
from hvae.errors import EnvironmentProblem, Refused


class Bomb:
    """Leaves a file behind if it is ever unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


def test_json_round_trip(tmp_path):
    document = {"a": [1, 0.1, None, True], "b": {"c": "\u00e9"}}
    files.write_json(tmp_path / "x.json", document)
    assert files.read_json(tmp_path / "x.json") == document


def test_tensors_round_trip_bit_for_bit(tmp_path):
    tensors = {"a": torch.randn(3, 4).t(), "b": torch.tensor(7), "c": torch.empty(0, 2)}
    files.write_tensors(tmp_path / "x.safetensors", tensors)
    found = files.read_tensors(tmp_path / "x.safetensors")
    assert set(found) == set(tensors)
    assert all(torch.equal(found[name], tensors[name]) for name in tensors)


def test_what_is_not_json_is_not_written(tmp_path):
    with pytest.raises(ValueError):
        files.write_json(tmp_path / "x.json", {"elbo": float("nan")})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("broken", ["fsync", "replace"])
def test_a_write_that_fails_leaves_the_old_content_and_nothing_else(tmp_path, monkeypatch, broken):
    path = tmp_path / "x.json"
    files.write_json(path, {"old": 1})

    def fail(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, broken, fail)
    with pytest.raises(EnvironmentProblem, match="x.json cannot be written: No space left"):
        files.write_json(path, {"new": 1})
    assert files.read_json(path) == {"old": 1}
    assert [entry.name for entry in tmp_path.iterdir()] == ["x.json"]


@pytest.mark.parametrize(
    "write",
    [
        lambda path: files.write_bytes(path, b"content"),
        lambda path: files.write_json(path, {"a": 1}),
        lambda path: files.write_tensors(path, {"a": torch.ones(3)}),
    ],
    ids=["bytes", "json", "tensors"],
)
def test_the_content_and_then_the_name_are_on_the_disk(tmp_path, monkeypatch, write):
    """A new name is in the folder's own data: fsync(2) of the file alone does not keep it."""
    fsync, replace, calls = os.fsync, os.replace, []

    def synced(handle):
        status = os.fstat(handle)
        folder = stat.S_ISDIR(status.st_mode)
        calls.append(("folder", status.st_ino) if folder else ("file", status.st_size > 0))
        fsync(handle)

    def replaced(old, new):
        calls.append(("replace", new))
        replace(old, new)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(os, "replace", replaced)
    write(tmp_path / "x")
    folder = ("folder", tmp_path.stat().st_ino)
    assert calls == [("file", True), ("replace", tmp_path / "x"), folder]


def test_files_have_the_mode_of_any_other_file(tmp_path):
    files.write_bytes(tmp_path / "a", b"")
    (tmp_path / "b").write_bytes(b"")
    modes = {stat.S_IMODE((tmp_path / name).stat().st_mode) for name in "ab"}
    assert len(modes) == 1


@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b"\xff", b"[" * 100_000, b"3"])
def test_damaged_json_is_refused(tmp_path, content):
    (tmp_path / "x.json").write_bytes(content)
    with pytest.raises(Refused, match="x.json is damaged") as refused:
        files.read_json(tmp_path / "x.json")
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("cut", [0, 4, 20, -1])
def test_damaged_tensors_are_refused(tmp_path, cut):
    path = tmp_path / "x.safetensors"
    files.write_tensors(path, {"a": torch.ones(100)})
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(Refused, match="x.safetensors is damaged"):
        files.read_tensors(path)


def test_a_pickle_is_refused_and_not_executed(tmp_path):
    path = tmp_path / "x.safetensors"
    path.write_bytes(pickle.dumps(Bomb(tmp_path / "bang")))
    with pytest.raises(Refused, match="is damaged"):
        files.read_tensors(path)
    torch.save({"a": Bomb(tmp_path / "bang")}, path)
    with pytest.raises(Refused, match="is damaged"):
        files.read_tensors(path)
    assert not (tmp_path / "bang").exists()


def test_a_missing_file_is_refused_and_a_folder_is_a_problem(tmp_path):
    with pytest.raises(Refused, match="is missing"):
        files.read_json(tmp_path / "x.json")
    with pytest.raises(EnvironmentProblem, match="cannot be read"):
        files.read_json(tmp_path)


@pytest.mark.skipif(not hasattr(os, "posix_fadvise"), reason="the system has no posix_fadvise")
def test_the_whole_of_a_file_is_forgotten(tmp_path, monkeypatch):
    (tmp_path / "x").write_bytes(b"some")
    asked = []

    def advise(handle, first, length, advice):
        asked.append((os.fstat(handle).st_size, first, length, advice))

    monkeypatch.setattr(os, "posix_fadvise", advise)
    files.forget_cached(tmp_path / "x")
    assert asked == [(4, 0, 0, os.POSIX_FADV_DONTNEED)]
