"""Data sets of binary images: what there is, where it is found, how it is split.

`load("caltech")` looks in `data_dir`, else $HVAE_DATA_DIR, then in the user's cache, and downloads
what is in neither. `NAMES` lists the sets and `describe` tells one in a line.
"""

from hvae.data.dataset import Dataset
from hvae.data.loading import load
from hvae.data.sources import NAMES, describe

__all__ = ["NAMES", "Dataset", "describe", "load"]
