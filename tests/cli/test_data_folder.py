"""--data-dir as a run remembers it: from every folder, and where that folder has gone since."""

import shutil

import pytest
from few import CALTECH_FILE, few_silhouettes
from processes import one_line

from hvae import files
from hvae.cli import main

SHORT = ["--dataset", "caltech", "--epochs", "2", "--hidden", "8", "--shells", "3", "--quiet"]


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A small Caltech in here/data, a run of it from here, and no other place to find one."""
    for name in ("http_proxy", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    for name in ("no_proxy", "HVAE_DATA_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    content = few_silhouettes(monkeypatch)
    for name in ("here/data", "there"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "here" / "data" / CALTECH_FILE).write_bytes(content)
    monkeypatch.chdir(tmp_path / "here")
    assert main(["train", *SHORT, "--data-dir", "data", "--out", "run"]) == 0
    return tmp_path


def evaluate_and_resume(run, *more):
    """Both on a run that lacks its result.json; their exit statuses."""
    (run / "result.json").unlink(missing_ok=True)
    evaluated = main(["eval", str(run), "--iw-samples", "2", "--quiet", *more])
    return evaluated, main(["train", "--resume", str(run), "--quiet", *more])


def test_a_relative_folder_is_recorded_absolutely(home):
    document = files.read_json(home / "here" / "run" / "config.json")
    assert document["data_dir"] == str(home / "here" / "data")


def test_none_is_recorded_as_none(home, monkeypatch):
    monkeypatch.setenv("HVAE_DATA_DIR", "data")
    assert main(["train", *SHORT, "--out", "other"]) == 0
    assert files.read_json(home / "here" / "other" / "config.json")["data_dir"] is None


@pytest.mark.parametrize("place", ["here", "there", "here/run"])
def test_the_run_goes_on_from_every_folder(home, monkeypatch, place):
    monkeypatch.chdir(home / place)
    assert evaluate_and_resume(home / "here" / "run") == (0, 0)


@pytest.mark.parametrize("left", ["nothing", "an empty folder", "a file"])
def test_where_it_has_gone_the_variable_will_do(home, monkeypatch, capfd, left):
    run = home / "here" / "run"
    shutil.move(home / "here" / "data", home / "moved")
    if left == "an empty folder":
        (home / "here" / "data").mkdir()
    elif left == "a file":
        (home / "here" / "data").write_text("")
    monkeypatch.chdir(home / "there")
    capfd.readouterr()
    assert evaluate_and_resume(run) == (4, 4)
    first, second = capfd.readouterr().err.splitlines(keepends=True)
    for message in (one_line(first), one_line(second)):
        assert f"{home / 'here' / 'data'} (recorded by the run" in message
        assert CALTECH_FILE in message
    monkeypatch.setenv("HVAE_DATA_DIR", str(home / "moved"))
    assert evaluate_and_resume(run) == (0, 0)
    assert files.read_json(run / "config.json")["data_dir"] == str(home / "here" / "data")


def test_a_variable_that_names_no_folder_does_not_matter_where_it_is_there(home, monkeypatch):
    monkeypatch.setenv("HVAE_DATA_DIR", str(home / "nowhere"))
    assert evaluate_and_resume(home / "here" / "run") == (0, 0)


def test_the_option_goes_before_all(home, monkeypatch, capfd):
    """It is relative to where one is now, and must be there."""
    shutil.move(home / "here" / "data", home / "there" / "data")
    monkeypatch.chdir(home / "there")
    run = home / "here" / "run"
    assert evaluate_and_resume(run, "--data-dir", "data") == (0, 0)
    capfd.readouterr()
    assert evaluate_and_resume(run, "--data-dir", "no") == (2, 2)
    for line in capfd.readouterr().err.splitlines(keepends=True):
        assert "data_dir is 'no', which is not a folder" in one_line(line)
