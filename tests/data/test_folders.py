"""Where files are looked for: the folders named now, those recorded, and the cache."""

import os
from pathlib import Path

import pytest
from small_sets import caltech_file, drawn_parts, make_small, one_line, write

import hvae.data
from hvae.data import folders, sources
from hvae.errors import EnvironmentProblem, Refused


def distinct(folder, pixel):
    """The small Caltech file with one pixel of the test part changed, in `folder`."""
    arrays = drawn_parts("caltech")
    arrays["test"].flat[pixel] ^= 1
    folder.mkdir(parents=True, exist_ok=True)
    return write(folder, caltech_file(**arrays))


@pytest.fixture
def found(monkeypatch):
    """Loads the small Caltech and returns the folder where its file was."""
    make_small(monkeypatch, "caltech")

    def folder_of(data_dir=None, **options):
        dataset = hvae.data.load("caltech", data_dir, download=False, **options)
        return Path(dataset.source).parent

    return folder_of


def test_the_order_of_search(found, monkeypatch, tmp_path, cache):
    named, variable = (distinct(tmp_path / str(i), i) for i in range(2))
    distinct(cache, 2)
    empty = tmp_path / "empty"
    empty.mkdir()
    assert found() == cache
    assert found(empty) == cache
    monkeypatch.setenv("HVAE_DATA_DIR", str(variable))
    assert found() == variable
    assert found(str(named)) == named
    assert found(empty) == cache
    monkeypatch.setenv("HVAE_DATA_DIR", "")
    assert found() == cache


def test_the_order_of_search_with_a_recorded_folder(found, monkeypatch, tmp_path, cache):
    """data_dir alone, else the recorded folder, $HVAE_DATA_DIR and the cache."""
    recorded, variable, named = (distinct(tmp_path / str(i), i) for i in range(3))
    distinct(cache, 3)
    monkeypatch.setenv("HVAE_DATA_DIR", str(variable))
    assert found(recorded=str(recorded)) == recorded
    assert found(named, recorded=recorded) == named
    for path in recorded.iterdir():
        path.unlink()
    assert found(recorded=recorded) == variable  # an empty folder
    recorded.rmdir()
    assert found(recorded=recorded) == variable
    for gone in (str(tmp_path / "absent"), ""):
        monkeypatch.setenv("HVAE_DATA_DIR", gone)
        assert found(recorded=recorded) == cache
    monkeypatch.delenv("HVAE_DATA_DIR")
    assert found(recorded=recorded) == cache


def test_a_recorded_folder_does_not_need_the_variable(found, monkeypatch, tmp_path):
    recorded = distinct(tmp_path / "recorded", 0)
    monkeypatch.setenv("HVAE_DATA_DIR", str(tmp_path / "absent"))
    assert found(recorded=recorded) == recorded


def test_all_places_looked_at_are_named(found, monkeypatch, tmp_path, cache):
    recorded, variable = tmp_path / "recorded", tmp_path / "variable"
    variable.mkdir()
    monkeypatch.setenv("HVAE_DATA_DIR", str(variable))
    with pytest.raises(EnvironmentProblem) as error:
        found(recorded=recorded)
    one_line(
        error,
        f"{recorded} (recorded by the run, no folder) or {variable} ($HVAE_DATA_DIR) or "
        f"{cache} (the cache, no folder)",
    )
    with pytest.raises(EnvironmentProblem) as error:
        found(variable)
    one_line(error, f"{variable} (data_dir) or {cache} (the cache, no folder)")


def test_a_folder_that_is_not_there_is_refused(monkeypatch, tmp_path):
    file = tmp_path / "file"
    file.touch()
    for folder in (tmp_path / "absent", file, "\0"):
        for recorded in (None, tmp_path):
            with pytest.raises(Refused) as error:
                hvae.data.load("caltech", folder, recorded=recorded)
            one_line(error, "data_dir", repr(str(folder)))
    monkeypatch.setenv("HVAE_DATA_DIR", str(file))
    with pytest.raises(Refused) as error:
        hvae.data.load("caltech")
    one_line(error, "$HVAE_DATA_DIR", file)


def test_an_absolute_folder_is_the_same_from_anywhere(found, monkeypatch, tmp_path):
    for room in ("here", "elsewhere"):
        (tmp_path / room).mkdir()
    files = distinct(tmp_path / "here" / "files", 0)
    monkeypatch.chdir(tmp_path / "here")
    folder = hvae.data.absolute_folder("files")
    assert folder == hvae.data.absolute_folder(Path("files")) == str(files)
    assert found("files") == files  # what a data set says of its source is absolute too
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert hvae.data.absolute_folder(folder) == folder
    assert found(folder) == files


def test_a_working_directory_that_is_gone_is_the_environments_problem(monkeypatch, tmp_path):
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    os.rmdir(tmp_path / "gone")
    with pytest.raises(EnvironmentProblem) as error:
        hvae.data.absolute_folder("files")
    one_line(error, "working directory")
    assert hvae.data.absolute_folder(str(tmp_path)) == str(tmp_path)


def test_files_of_a_set_may_lie_in_several_places(monkeypatch, tmp_path, cache):
    files = make_small(monkeypatch, "mnist")
    cache.mkdir(parents=True)
    (first, one), *others = files.items()
    write(tmp_path / "files", {first: one})
    write(cache, dict(others), packed=True)
    dataset = hvae.data.load("mnist", tmp_path / "files", download=False)
    assert dataset.verified and dataset.labels is not None


def test_without_downloads_an_absent_file_is_named(cache, tmp_path):
    with pytest.raises(EnvironmentProblem) as error:
        hvae.data.load("static-mnist", tmp_path, download=False)
    text = one_line(error, tmp_path, cache, "downloads are off", "$HVAE_DATA_DIR")
    for file in (file for files in sources.SOURCES["static-mnist"].containers for file in files):
        assert file.name in text and file.url in text
    assert not cache.exists()


def test_a_file_that_vanishes_is_the_environments_problem(monkeypatch, tmp_path):
    make_small(monkeypatch, "caltech")
    gone = tmp_path / "gone.mat"
    monkeypatch.setattr(folders, "find", lambda file, places: gone)
    with pytest.raises(EnvironmentProblem) as error:
        hvae.data.load("caltech")
    one_line(error, gone)
