"""Data: the published sets, where their files are found, and how they are split.

`load("caltech")` looks in `data_dir`, else in $HVAE_DATA_DIR, then in the user's cache, and
downloads what it finds in none. `NAMES` lists the sets and `describe` says in one line what a set
is. `absolute_folder` is how a run records its `data_dir`.
"""

from hvae.data.dataset import Dataset
from hvae.data.folders import absolute_folder
from hvae.data.loading import load
from hvae.data.sources import NAMES, describe

__all__ = ["NAMES", "Dataset", "absolute_folder", "describe", "load"]
