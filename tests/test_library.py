"""Loading the compiled ops: what is refused, and in which words."""

import os
import subprocess
import sys

import pytest
import torch

from hvae import _library, ops  # noqa: F401  # ops registers torch.ops.hvae


def test_an_unknown_tier_is_refused():
    """A misspelled $HVAE_TIER must not run as another one."""
    command = "import sys; from hvae.cli import main; sys.exit(main(['info']))"
    done = subprocess.run(
        [sys.executable, "-c", command],
        env={**os.environ, "HVAE_TIER": "avx3"},
        capture_output=True,
        text=True,
    )
    there = ", ".join(torch.ops.hvae.tiers().split())
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr == f"hvae: error: HVAE_TIER is 'avx3'; allowed on this machine: {there}\n"


def test_a_missing_library_is_one_line(tmp_path, monkeypatch):
    monkeypatch.setattr(_library, "__file__", str(tmp_path / "_library.py"))
    with pytest.raises(ImportError, match="are missing from .*; rebuild with: pip install") as one:
        _library.load()
    assert one.value.exit_status == 4
    (tmp_path / "_C.so").write_bytes(b"not a library")
    with pytest.raises(ImportError, match=r"do not load under torch .*; rebuild with: pip") as two:
        _library.load()
    assert two.value.exit_status == 4 and "\n" not in str(two.value)
