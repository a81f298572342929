"""Faults of the disk and of the data: a clear line, the right status, and a run that goes on.

The small and the read-only disk are real: a tmpfs that a process of its own mounts in a mount
namespace of its own (unshare of util-linux), which root may do and any user where the system has
user namespaces.
"""

import json
import shutil
import subprocess
import sys

import numpy as np
import pytest
from few import CALTECH_FILE, few_silhouettes
from processes import one_line, outcome

from hvae.cli import main

WIDE = ["--epochs", "5", "--warmup", "1", "--shells", "3,e2", "--threads", "1"]  # 1.6 MB each
WIDE += ["--checkpoint-every", "0", "--quiet"]
SMALL, LARGE = "size=5m", "size=64m"

MOUNT = 'mount -t tmpfs -o "$0" tmpfs "$1" && shift && exec "$@"'

STEPS = """
import contextlib, io, json, os, shutil, subprocess, sys
from pathlib import Path
from hvae.cli import main

disk, keep = map(Path, sys.argv[1:3])
os.chdir(disk)
for step in json.loads(sys.argv[3]):
    if isinstance(step, str):
        subprocess.run(["mount", "-o", step, str(disk)], check=True)
        continue
    shown = io.StringIO()
    with contextlib.redirect_stderr(shown), contextlib.redirect_stdout(io.StringIO()):
        status = main(step)
    files = {str(path): path.stat().st_size for path in disk.rglob("*") if path.is_file()}
    print(json.dumps([status, shown.getvalue(), files]))
shutil.copytree(disk / "run", keep)
"""

TRAIN = ["train", *WIDE, "--out", "run"]
RESUME = ["train", "--resume", "run", "--checkpoint-every", "0", "--quiet"]
EVAL = ["eval", "run", "--iw-samples", "1", "--quiet"]


@pytest.fixture(scope="module")
def disk(tmp_path_factory):
    """What each command said on a disk that was too small, then read-only, then large enough."""
    home = tmp_path_factory.mktemp("disk")
    (home / "disk").mkdir()
    steps = [TRAIN, "remount,ro", RESUME, ["train", *WIDE, "--out", "new"], EVAL]
    steps += [f"remount,rw,{LARGE}", RESUME, "remount,ro", RESUME, EVAL]
    command = ["unshare", "--map-root-user", "--mount", "sh", "-c", MOUNT, SMALL, home / "disk"]
    command += [sys.executable, "-c", STEPS, home / "disk", home / "kept", json.dumps(steps)]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=150)
    assert ran.returncode == 0, ran.stderr
    names = ["full", "resume", "new", "eval", "room", "complete", "eval complete"]
    said = dict(zip(names, map(json.loads, ran.stdout.splitlines()), strict=True))
    return said, home / "kept"


class TestDisk:
    def test_a_full_one_is_4_and_the_checkpoints_stay(self, disk):
        status, shown, left = disk[0]["full"]
        assert status == 4 and "No space left on device" in one_line(shown)
        assert "is kept; to go on: hvae train --resume run" in shown
        kept = [path for path in left if "epoch-" in path]
        assert len(kept) == 2 and not [path for path in left if path.endswith(".tmp")]

    @pytest.mark.parametrize("name", ["resume", "new", "eval", "eval complete"])
    def test_a_read_only_one_is_4_and_nothing_changes(self, disk, name):
        status, shown, left = disk[0][name]
        assert status == 4 and "Read-only file system" in one_line(shown)
        assert left == disk[0]["complete" if name == "eval complete" else "full"][2]

    def test_with_room_again_the_run_ends_as_ever(self, disk, tmp_path, capfd, monkeypatch):
        said, kept = disk
        assert said["room"][0] == 0, said["room"][1]
        monkeypatch.chdir(tmp_path)
        assert main(TRAIN) == 0
        assert outcome(kept) == outcome(tmp_path / "run")

    def test_a_complete_run_on_a_read_only_one_says_so(self, disk):
        assert disk[0]["complete"][:2] == [0, "run is complete: there is nothing left to train\n"]


SHORT = ["--dataset", "caltech", "--epochs", "1", "--hidden", "8", "--quiet", "--data-dir", "data"]


class TestData:
    @pytest.fixture
    def home(self, tmp_path, monkeypatch):
        """A folder with a small Caltech in data/, and no network."""
        for name in ("http_proxy", "https_proxy"):
            monkeypatch.setenv(name, "http://127.0.0.1:9")
        monkeypatch.delenv("no_proxy", raising=False)
        monkeypatch.delenv("HVAE_DATA_DIR", raising=False)
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
        monkeypatch.chdir(tmp_path)
        (tmp_path / "data").mkdir()
        (tmp_path / "data" / CALTECH_FILE).write_bytes(few_silhouettes(monkeypatch))
        return tmp_path

    def test_a_vanished_file_is_4_and_a_new_place_will_do(self, home, capfd):
        assert main(["train", *SHORT, "--out", "run"]) == 0
        (home / "run" / "result.json").unlink()
        shutil.move(home / "data", home / "moved")
        (home / "data").mkdir()
        before = sorted((home / "run").rglob("*"))
        capfd.readouterr()
        for arguments in (["train", "--resume", "run", "--quiet"], ["eval", "run", "--quiet"]):
            assert main(arguments) == 4
            assert CALTECH_FILE in one_line(capfd.readouterr().err)
        assert sorted((home / "run").rglob("*")) == before
        assert main(["train", "--resume", "run", "--data-dir", "moved"]) == 0

    @pytest.mark.parametrize("split", ["train", "validation", "test"])
    def test_nan_is_2_and_nothing_is_written(self, home, monkeypatch, capfd, split):
        rows = {"train": 20, "validation": 7, "test": 6}[split]
        broken = np.zeros((rows, 784))
        broken[-1, 5] = np.nan
        (home / "data" / CALTECH_FILE).write_bytes(few_silhouettes(monkeypatch, **{split: broken}))
        assert main(["train", *SHORT, "--out", "run"]) == 2
        assert f"the {split} part has values outside 0..1, or NaN" in one_line(
            capfd.readouterr().err
        )
        assert not (home / "run").exists()
