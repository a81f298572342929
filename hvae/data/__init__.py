"""Data: the published sets and files of one's own, where they are found, and how they are split.

`load("caltech")` looks in `data_dir`, else in $HVAE_DATA_DIR, then in the user's cache, and
downloads what it finds in none; `locate` only looks. `NAMES` lists the sets and `describe` says in
one line what a set is. `absolute_folder` is how a run records its `data_dir`.

`open_file("cells.h5ad", FileOptions(labels="type"))` is a file as a data set, and `read_rows` all
rows of a file for a model that is there. `FORMATS` lists what a file can be, `FILE_OPTIONS` what
can be said of it.
"""

from hvae.data.dataset import Dataset
from hvae.data.file_options import NAMES as FILE_OPTIONS
from hvae.data.file_options import FileOptions
from hvae.data.folders import absolute_folder
from hvae.data.loading import load, locate
from hvae.data.opening import FileRows, dataset_name, open_file, read_rows
from hvae.data.readers import ALLOWED as FORMATS
from hvae.data.sources import NAMES, describe

__all__ = [
    "FILE_OPTIONS",
    "FORMATS",
    "NAMES",
    "Dataset",
    "FileOptions",
    "FileRows",
    "absolute_folder",
    "dataset_name",
    "describe",
    "load",
    "locate",
    "open_file",
    "read_rows",
]
