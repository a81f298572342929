"""Runs first in every Python process of a copy of the tree (`copies.py`).

It finds the packages that lie beside the library, where an installation would find those of the
original, and begins to note lines if $MUTATION_LINES names a folder.
"""

import importlib.abc
import importlib.util
import json
import os
import sys
from pathlib import Path


class Beside(importlib.abc.MetaPathFinder):
    """Packages by name, each in a folder of the copy."""

    def __init__(self, folders):
        self.folders = folders

    def find_spec(self, name, path=None, target=None):
        if name not in self.folders:
            return None
        folder = Path(self.folders[name])
        return importlib.util.spec_from_file_location(
            name, folder / "__init__.py", submodule_search_locations=[str(folder)]
        )


if "MUTATION_BESIDE" in os.environ:
    sys.meta_path.insert(0, Beside(json.loads(os.environ["MUTATION_BESIDE"])))
if "MUTATION_LINES" in os.environ:
    import mutation_lines

    mutation_lines.begin(Path(os.environ["MUTATION_LINES"]))
