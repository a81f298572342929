"""hvae.training.resumption: damage is named and never used, and nothing is unpickled."""

import os
import pickle
import shutil

import exact
import pytest
import torch
from few import config, digits
from processes import outcome

import hvae
from hvae import data, files
from hvae.errors import Interrupted, Refused
from hvae.observer import Observer
from hvae.runs import load_run
from hvae.runs.checkpoints import Checkpoints
from hvae.runs.folder import BEST, CONFIG, METRICS, RESULT

EPOCHS, CUT = 6, 4


@pytest.fixture(autouse=True)
def few_digits(monkeypatch):
    monkeypatch.setattr(data, "load", lambda name, folder=None, **options: digits())


class Cut(Observer):
    """Interrupts a run at the end of epoch CUT."""

    def epoch(self, line, epochs):
        if line["epoch"] == CUT:
            raise KeyboardInterrupt


class Ear(Observer):
    def __init__(self):
        self.warnings, self.epochs = [], []

    def warning(self, text):
        self.warnings.append(text)

    def resumed(self, epoch, epochs):
        self.epochs.append(epoch)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A whole run, and one that was cut short after CUT epochs with checkpoints of the last two."""
    home = tmp_path_factory.mktemp("made")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(data, "load", lambda name, folder=None, **options: digits())
        hvae.train(config(epochs=EPOCHS), home / "whole", checkpoint_every=0)
        with pytest.raises(Interrupted, match="epoch-000004"):
            hvae.train(config(epochs=EPOCHS), home / "cut", checkpoint_every=0, observer=Cut())
    return home


@pytest.fixture
def run(made, tmp_path):
    return shutil.copytree(made / "cut", tmp_path / "run")


def newest(run):
    return Checkpoints(run).paths()[0]


def resume(run):
    ear = Ear()
    hvae.resume(run, observer=ear)
    return ear


def tree(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def flip(path, place):
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)


def cut(path, size):
    path.write_bytes(path.read_bytes()[:size])


def header(path):
    return 8 + int.from_bytes(path.read_bytes()[:8], "little")


DAMAGES = {
    "length": lambda path: flip(path, 0),
    "header": lambda path: flip(path, 40),
    "end of header": lambda path: flip(path, header(path) - 2),
    "first tensor": lambda path: flip(path, header(path)),
    "middle": lambda path: flip(path, path.stat().st_size // 2),
    "tail": lambda path: flip(path, -1),
    "zero length": lambda path: cut(path, 0),
    "cut in header": lambda path: cut(path, 100),
    "cut in the middle": lambda path: cut(path, path.stat().st_size // 2),
    "cut at the tail": lambda path: cut(path, -1),
    "longer": lambda path: path.write_bytes(path.read_bytes() + b"\0"),
    "zeros": lambda path: path.write_bytes(bytes(path.stat().st_size)),
    "not safetensors": lambda path: path.write_bytes(b"\x80\x04."),
}


class TestDamage:
    def test_without_any_the_newest_is_used(self, made, run):
        ear = resume(run)
        assert (ear.epochs, ear.warnings) == ([CUT], [])
        assert outcome(run) == outcome(made / "whole")

    @pytest.mark.parametrize("damage", DAMAGES)
    def test_it_is_named_and_the_checkpoint_before_is_used(self, made, run, damage):
        path = newest(run)
        DAMAGES[damage](path)
        ear = resume(run)
        [warning] = ear.warnings
        assert warning.startswith(f"{path} is damaged: ") and ear.epochs == [CUT - 1]
        assert outcome(run) == outcome(made / "whole")

    def test_a_missing_one_is_not_missed(self, made, run):
        newest(run).unlink()
        ear = resume(run)
        assert (ear.epochs, ear.warnings) == ([CUT - 1], [])
        assert outcome(run) == outcome(made / "whole")

    def test_without_checkpoints_it_begins_anew(self, made, run):
        shutil.rmtree(run / "last")
        assert resume(run).epochs == [0]
        assert outcome(run) == outcome(made / "whole")

    def test_where_none_is_whole_nothing_is_thrown_away(self, run):
        for path in Checkpoints(run).paths():
            cut(path, 1000)
        before = tree(run)
        with pytest.raises(Refused, match="no checkpoint that can be used; .*epoch-000004"):
            resume(run)
        assert tree(run) == before

    @pytest.mark.parametrize("planted", ["pickle", "torch.save", "pickle behind a header"])
    def test_a_pickle_is_refused_and_not_executed(self, made, run, tmp_path, planted):
        class Bomb:
            def __reduce__(self):
                return os.mkdir, (str(tmp_path / "bang"),)

        path = newest(run)
        if planted == "torch.save":
            torch.save({"weights": Bomb()}, path)
        elif planted == "pickle":
            path.write_bytes(pickle.dumps(Bomb()))
        else:
            content = path.read_bytes()
            path.write_bytes(content[: header(path)] + pickle.dumps(Bomb()))
        ear = resume(run)
        assert "is damaged" in ear.warnings[0] and ear.epochs == [CUT - 1]
        assert not (tmp_path / "bang").exists()
        assert outcome(run) == outcome(made / "whole")

    def test_a_damaged_result_is_written_anew(self, made, tmp_path):
        run = shutil.copytree(made / "whole", tmp_path / "run")
        flip(run / RESULT, 200)
        ear = resume(run)
        assert f"{run / RESULT} is damaged" in ear.warnings[0]
        assert outcome(run) == outcome(made / "whole")

    @pytest.mark.parametrize(
        "change",
        [
            {"completed": 1},
            {"validation": None},
            {"seconds": "3"},
            {"completed": False, "diverged": [1]},
        ],
        ids=str,
    )
    def test_so_is_what_is_not_a_result(self, made, tmp_path, change):
        run = shutil.copytree(made / "whole", tmp_path / "run")
        files.write_json(run / RESULT, {**files.read_json(run / RESULT), **change})
        assert "is not the result of a run" in resume(run).warnings[0]
        assert outcome(run) == outcome(made / "whole")

    @pytest.mark.parametrize("device", exact.DEVICES)
    def test_on_every_device(self, tmp_path, device):
        """The bits of metrics and weights, as `test_a_run_repeats_to_the_bit` has them."""
        settings = config(epochs=EPOCHS, device=device)
        hvae.train(settings, tmp_path / "whole", checkpoint_every=0)
        with pytest.raises(Interrupted):
            hvae.train(settings, tmp_path / "run", checkpoint_every=0, observer=Cut())
        assert resume(tmp_path / "run").epochs == [CUT]
        assert outcome(tmp_path / "run") == outcome(tmp_path / "whole")

    def test_damaged_settings_are_refused(self, run):
        path = run / CONFIG
        path.write_bytes(path.read_bytes().replace(b'"seed": 0', b'"seed": 1'))
        before = tree(run)
        with pytest.raises(Refused, match=r"config\.json is damaged: its checksum"):
            resume(run)
        assert tree(run) == before

    def test_a_damaged_best_model_is_not_evaluated(self, run):
        flip(run / BEST, -1)
        with pytest.raises(Refused, match="best.safetensors is damaged: its checksum"):
            load_run(run)


class TestMetrics:
    def test_lines_beyond_the_checkpoint_go(self, made, run):
        with open(run / METRICS, "a") as file:
            file.write('{"epoch": 5, "kl_')
        assert resume(run).warnings == []
        assert outcome(run) == outcome(made / "whole")

    def test_where_the_last_line_is_damaged_the_checkpoint_before_is_used(self, made, run):
        flip(run / METRICS, -10)
        ear = resume(run)
        assert ear.epochs == [CUT - 1]
        assert f"{run / METRICS} is damaged" in ear.warnings[0]
        assert outcome(run) == outcome(made / "whole")

    @pytest.mark.parametrize("lost", ["first line", "file"])
    def test_where_the_first_is_nothing_is_thrown_away(self, run, lost):
        if lost == "file":
            (run / METRICS).unlink()
        else:
            flip(run / METRICS, 3)
        before = tree(run)
        with pytest.raises(Refused, match="no checkpoint that can be used"):
            resume(run)
        assert tree(run) == before


class TestStrangers:
    """A checkpoint with a valid checksum, but not of this run."""

    def reseal(self, run, change):
        path = newest(run)
        tensors, document = files.read_packed(path)
        change(tensors, document)
        files.write_tensors(path, tensors, document)
        return path

    def used_the_one_before(self, made, run, path, message):
        ear = resume(run)
        assert str(path) in ear.warnings[0] and message in ear.warnings[0]
        assert ear.epochs == [CUT - 1] and outcome(run) == outcome(made / "whole")

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"epoch": 99}, "cannot be used"),
            ({"epoch": -1}, "its epoch is not one"),
            ({"epoch": True}, "its epoch is not one"),
            ({"epoch": 10**400}, "its epoch is not one"),
            ({"steps": 3}, "cannot be used"),
            ({"best_epoch": 0}, "cannot be used"),
            ({"best_epoch": EPOCHS}, "cannot be used"),
            ({"best_validation": None}, "cannot be used"),
            ({"best_validation": {"elbo": 1.0}}, "its best_validation is not one"),
            ({"metrics": [0]}, "its metrics is not one"),
            ({"metrics": [10**9, "0"]}, "cannot be used"),
            ({"seconds": -1.0}, "its seconds is not one"),
            ({"warnings": [3]}, "its warnings is not one"),
            ({"versions": []}, "its versions is not one"),
            ({"config": None}, "its config is not one"),
            ({"config": {}}, "cannot be used: config: absent: dataset, "),
            ({"more": 1}, "not the state of a run"),
        ],
    )
    def test_states(self, made, run, change, message):
        path = self.reseal(run, lambda tensors, document: document.update(change))
        self.used_the_one_before(made, run, path, message)

    @pytest.mark.parametrize(
        ("value", "message"),
        [
            (None, "other names"),
            (torch.ones(3), "another shape"),
            (torch.ones(8, dtype=torch.float64), "another shape or dtype"),
            (torch.full((8,), float("nan")), "is not finite"),
        ],
    )
    def test_tensors(self, made, run, value, message):
        def change(tensors, document):
            assert tensors["weights/to_posterior.bias"].shape == (8,)
            if value is None:
                del tensors["weights/to_posterior.bias"]
            else:
                tensors["weights/to_posterior.bias"] = value

        self.used_the_one_before(made, run, self.reseal(run, change), message)

    def test_of_another_seed(self, made, run, tmp_path):
        hvae.train(config(epochs=CUT, seed=1), tmp_path / "other")
        shutil.copy(newest(tmp_path / "other"), newest(run))
        self.used_the_one_before(made, run, newest(run), "other settings")

    def test_other_data_are_refused(self, run, monkeypatch):
        other = data.Dataset(**{**vars(digits()), "checksum": "0" * 64})
        monkeypatch.setattr(data, "load", lambda *arguments, **options: other)
        before = tree(run)
        with pytest.raises(Refused, match="was trained on other data"):
            resume(run)
        assert tree(run) == before

    def test_other_versions_are_told_and_recorded(self, run):
        def older(tensors, document):
            document["versions"]["torch"] = "2.10"

        self.reseal(run, older)
        [warning] = resume(run).warnings
        assert warning.startswith(f"epochs 1 to {CUT} were trained with ") and "2.10" in warning
        assert files.read_json(run / RESULT)["warnings"] == [warning]
