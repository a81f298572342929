"""Loads the compiled ops, once, with one clear line when that fails."""

import os
from pathlib import Path

import torch

from hvae.errors import EnvironmentProblem, Refused

REBUILD = (
    "rebuild with: pip install --no-build-isolation --force-reinstall --no-deps PROJECT_FOLDER"
)


class LibraryProblem(EnvironmentProblem, ImportError):
    """The compiled ops are not there, or not for this torch; the message says how to rebuild."""


def load() -> None:
    """Registers the ops of `hvae._C` with torch.

    Raises:
        LibraryProblem: if the library was not built, or was built for another torch or another kind
            of torch (CUDA or CPU).
        Refused: if $HVAE_TIER names an instruction set that is not there.
    """
    folder = Path(__file__).parent
    found = sorted(folder.glob("_C*.so")) + sorted(folder.glob("_C*.pyd"))
    if not found:
        raise LibraryProblem(f"hvae's compiled ops are missing from {folder}; {REBUILD}")
    try:
        torch.ops.load_library(found[0])
    except OSError as error:
        reason = str(error).splitlines()[0]
        raise LibraryProblem(
            f"hvae's compiled ops do not load under torch {torch.__version__} ({reason}); {REBUILD}"
        ) from error
    wanted, there = os.environ.get("HVAE_TIER"), torch.ops.hvae.tiers().split()
    if wanted is not None and wanted not in there:
        raise Refused(f"HVAE_TIER is {wanted!r}; allowed on this machine: {', '.join(there)}")
