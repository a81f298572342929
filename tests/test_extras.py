"""hvae.extras: a package that is missing is one line that says what to install."""

import json

import made_files
import pytest

from hvae import extras
from hvae.data import open_file
from hvae.errors import EnvironmentProblem


def test_what_is_there_is_imported():
    assert extras.require("json", "data") is json


def test_what_is_not_is_named_with_its_extra():
    with pytest.raises(EnvironmentProblem) as missing:
        extras.require("no_such_package.inner", "plots")
    line = 'no_such_package is not installed; to have it: pip install "hvae[plots]"'
    assert str(missing.value) == line


@pytest.mark.parametrize(
    ("package", "name", "write"),
    [
        ("h5py", "a.h5ad", made_files.cells),
        ("anndata", "a.h5ad", made_files.cells),
        ("pyarrow", "a.parquet", made_files.table),
        ("PIL", "a", made_files.pictures),
    ],
)
def test_every_reader_says_what_it_lacks(tmp_path, monkeypatch, package, name, write):
    write(tmp_path / name)
    real = extras.importlib.import_module

    def absent(module):
        if module.partition(".")[0] == package:
            raise ModuleNotFoundError(f"No module named {package!r}", name=package)
        return real(module)

    monkeypatch.setattr(extras.importlib, "import_module", absent)
    with pytest.raises(EnvironmentProblem, match=rf'{package} is not .*"hvae\[data\]"'):
        open_file(tmp_path / name)
