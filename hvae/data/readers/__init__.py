"""Readers of files that users bring, one file a format, and which one reads what.

A reader is `read(path, options) -> Table`. On damaged bytes it raises whatever the library below it
raises; `hvae.data.open_file` makes one line of it. Nothing here unpickles.
"""

from collections.abc import Callable, Mapping
from pathlib import Path

from hvae.data.file_options import FileOptions
from hvae.data.readers import anndata_file, image_folder, npy, npz, parquet, text
from hvae.data.table import Table
from hvae.errors import Refused

Reader = Callable[[Path, FileOptions], Table]

BY_SUFFIX: Mapping[str, Reader] = {
    ".npy": npy.read,
    ".npz": npz.read,
    ".csv": text.read,
    ".csv.gz": text.read,
    ".h5ad": anndata_file.read,
    ".parquet": parquet.read,
}
ALLOWED = f"{', '.join(BY_SUFFIX)}, or a folder of PNG or JPEG images"


def reader_of(path: Path) -> Reader:
    """The reader of a file by its name, or of a folder.

    Raises:
        Refused: there is none.
    """
    if path.is_dir():
        return image_folder.read
    name = path.name.lower()
    for suffix, read in BY_SUFFIX.items():
        if name.endswith(suffix):
            return read
    raise Refused(f"--data: {path} is of no format that is known; allowed: {ALLOWED}")


def stem(path: Path) -> str:
    """The file's name without the suffix of its format."""
    for suffix in sorted(BY_SUFFIX, key=len, reverse=True):
        if path.name.lower().endswith(suffix) and len(path.name) > len(suffix):
            return path.name[: -len(suffix)]
    return path.name
