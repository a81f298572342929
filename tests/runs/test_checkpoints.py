"""hvae.runs.checkpoints: written, read back, and only then the oldest dropped."""

import pytest
import torch

from hvae import files
from hvae.errors import EnvironmentProblem
from hvae.runs.checkpoints import Checkpoints, State
from hvae.runs.metrics import START


def flip(path):
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def a_state(epoch, **change):
    return State(
        **{
            **dict(config={}, data_checksum="", epoch=epoch, steps=epoch, best_epoch=0),
            **dict(best_validation=None, metrics=START, seconds=1.0, warnings=[], versions={}),
            **change,
        }
    )


def some_tensors(value=1.0):
    return {"weights": {"a": torch.full((3,), value)}, "best": {"a": torch.zeros(3)}}


def test_the_two_newest_are_kept(tmp_path):
    ours = Checkpoints(tmp_path)
    for epoch in (1, 2, 5, 9):
        assert ours.write(a_state(epoch), some_tensors()) == ours.path(epoch)
    assert ours.paths() == [ours.path(9), ours.path(5)]
    ours.write(a_state(7), some_tensors())  # gone back beyond 9, which was damaged
    assert ours.paths() == [ours.path(7), ours.path(5)]


def test_what_is_read_is_what_was_written(tmp_path):
    ours, tensors = Checkpoints(tmp_path), some_tensors(0.1)
    state, found = ours.read(ours.write(a_state(3), tensors), tensors)
    assert state == a_state(3)
    assert torch.equal(found["weights"]["a"], tensors["weights"]["a"])


def test_a_disk_that_gives_back_other_bytes_costs_no_earlier_checkpoint(tmp_path, monkeypatch):
    ours = Checkpoints(tmp_path)
    for epoch in (1, 2):
        ours.write(a_state(epoch), some_tensors())
    monkeypatch.setattr(files, "forget_cached", flip)
    with pytest.raises(EnvironmentProblem, match="gives back other bytes: .*epoch-000003"):
        ours.write(a_state(3), some_tensors())
    assert ours.paths() == [ours.path(2), ours.path(1)]


def test_other_files_are_left_alone(tmp_path):
    ours = Checkpoints(tmp_path)
    ours.folder.mkdir()
    for name in ("epoch-1.safetensors", "epoch-000001.safetensors.bak", "notes"):
        (ours.folder / name).write_text("")
    for epoch in (1, 2, 3):
        ours.write(a_state(epoch), some_tensors())
    assert len(list(ours.folder.iterdir())) == 5 and len(ours.paths()) == 2
