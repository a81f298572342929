"""Loads the compiled ops, once, with one clear line when that fails."""

from pathlib import Path

import torch

REBUILD = (
    "rebuild with: pip install --no-build-isolation --force-reinstall --no-deps PROJECT_FOLDER"
)


def load() -> None:
    """Registers the ops of `hvae._C` with torch.

    Raises:
        ImportError: if the library was not built, or was built for another torch or another kind of
            torch (CUDA or CPU).
    """
    folder = Path(__file__).parent
    found = sorted(folder.glob("_C*.so")) + sorted(folder.glob("_C*.pyd"))
    if not found:
        raise ImportError(f"hvae's compiled ops are missing from {folder}; {REBUILD}")
    try:
        torch.ops.load_library(found[0])
    except OSError as error:
        reason = str(error).splitlines()[0]
        raise ImportError(
            f"hvae's compiled ops do not load under torch {torch.__version__} ({reason}); {REBUILD}"
        ) from error
