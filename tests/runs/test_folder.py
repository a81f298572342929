"""hvae.runs.folder: the names of folders, and which are free."""

import re
import time

import pytest

from hvae.errors import EnvironmentProblem, Refused
from hvae.runs import RunFolder, TrainConfig, default_folder, refuse_taken


class TestNames:
    def test_a_default_name_tells_the_run(self):
        name = default_folder(TrainConfig(shells="10,e5", seed=7)).name
        assert re.fullmatch(r"digits-10,e5-seed7-\d{8}-\d{6}", name)

    def test_a_long_list_is_counted(self):
        name = default_folder(TrainConfig(shells=",".join(["2"] * 40))).name
        assert name.startswith("digits-40shells-m80-seed0-")

    def test_names_are_unique(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(time, "strftime", lambda form: "now")
        names = []
        for _ in range(3):
            path = default_folder(TrainConfig())
            with RunFolder.create(path, TrainConfig()):
                names.append(path.name)
        assert names == [f"digits-5,5,5,5-seed0-now{end}" for end in ("", "-2", "-3")]


class TestTaken:
    def test_new_and_empty_folders_are_free(self, tmp_path):
        refuse_taken(tmp_path / "a" / "b")
        refuse_taken(tmp_path)

    @pytest.mark.parametrize("name", ["config.json", "notes.txt"])
    def test_others_are_not(self, tmp_path, name):
        (tmp_path / name).write_text("")
        with pytest.raises(Refused, match="allowed: a new or empty folder"):
            refuse_taken(tmp_path)

    def test_a_file_is_not(self, tmp_path):
        (tmp_path / "run").write_text("")
        with pytest.raises(Refused, match="is not an empty folder"):
            refuse_taken(tmp_path / "run")

    def test_below_a_file_nothing_can_be_made(self, tmp_path):
        (tmp_path / "file").write_text("")
        path = tmp_path / "file" / "run"
        failing = pytest.raises(EnvironmentProblem, match="cannot be")
        with failing, RunFolder.create(path, TrainConfig()):
            pass
