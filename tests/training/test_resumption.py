"""hvae.training.resumption: all that counts is carried over, damage is named and never used."""

import os
import pickle
import shutil

import exact
import pytest
import torch
from few import config, digits
from processes import outcome, tree

import hvae
from hvae import data, files
from hvae.errors import Interrupted, Refused
from hvae.observer import Observer
from hvae.runs import load_run
from hvae.runs.checkpoints import Checkpoints
from hvae.runs.folder import BEST, CONFIG, METRICS, RESULT
from hvae.training import protocol

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


def reseal(run, change):
    """Change the newest checkpoint, which stays valid."""
    path = newest(run)
    tensors, document = files.read_packed(path)
    change(tensors, document)
    files.write_tensors(path, tensors, document)
    return path


def result(run):
    return files.read_json(run / RESULT)


def best(run):
    """The epoch that best.safetensors is of."""
    return files.read_packed(run / BEST)[1]["epoch"]


class TestBest:
    """Validation ELBOs by script, so that the epochs after the cut are on one side of the best."""

    def follow(self, monkeypatch, *elbos):
        """Let the validation ELBO of the next epochs be these."""
        script = iter(elbos)
        original = protocol.elbo
        scripted = lambda *given: {**original(*given), "elbo": next(script)}  # noqa: E731
        monkeypatch.setattr(protocol, "elbo", scripted)

    @pytest.mark.parametrize(
        ("before", "after", "epoch"),
        [
            ((-9, -10, -12, -13), (-11, -10.5), 2),
            ((-9, -12, -10, -13), (-9.995, -11), 3),
            ((-9, -12, -10, -13), (-9.5, -11), 5),
            ((-9, -10, -12, -13), (-11, -9), 6),
        ],
    )
    def test_a_later_epoch_must_be_better_than_the_best_before(
        self, tmp_path, monkeypatch, before, after, epoch
    ):
        """Warm-up ends with epoch 2: the first one, better in some of these, never counts."""
        with monkeypatch.context() as patch:
            self.follow(patch, *before, *after)
            hvae.train(config(epochs=EPOCHS), tmp_path / "whole", checkpoint_every=0)
        run = tmp_path / "run"
        with monkeypatch.context() as patch:
            self.follow(patch, *before)
            with pytest.raises(Interrupted):
                hvae.train(config(epochs=EPOCHS), run, checkpoint_every=0, observer=Cut())
        with monkeypatch.context() as patch:
            self.follow(patch, *after)
            assert resume(run).epochs == [CUT]
        assert outcome(run) == outcome(tmp_path / "whole")
        assert (result(run)["best_epoch"], best(run)) == (epoch, epoch)

    def test_lookahead_counts_from_the_best_epoch_before(self, tmp_path, monkeypatch):
        settings, run = config(epochs=50, lookahead=4), tmp_path / "run"
        with monkeypatch.context() as patch:
            self.follow(patch, -9, -10, -12, -13)
            with pytest.raises(Interrupted):
                hvae.train(settings, run, checkpoint_every=0, observer=Cut())
        with monkeypatch.context() as patch:
            self.follow(patch, -11, -12)  # 2 + 4 is the last epoch: a further one would find none
            resume(run)
        ended = result(run)
        assert (ended["stopped"], ended["epochs"], ended["best_epoch"]) == ("lookahead", 6, 2)


class TestCarriedOver:
    @pytest.fixture
    def clock(self, monkeypatch):
        """The time of `time.perf_counter`, which stands still unless a test moves it."""
        now = [100.0]
        monkeypatch.setattr(protocol.time, "perf_counter", lambda: now[0])
        return now

    def test_seconds_add_up(self, run, clock):
        reseal(run, lambda tensors, document: document.update(seconds=1000.0))

        class Slow(Observer):
            def epoch(self, line, epochs):
                clock[0] += 3.5

        hvae.resume(run, observer=Slow(), checkpoint_every=0)
        assert result(run)["seconds"] == 1000.0 + (EPOCHS - CUT) * 3.5
        assert files.read_packed(newest(run))[1]["seconds"] == 1000.0 + (EPOCHS - CUT) * 3.5

    def test_the_time_between_the_two_processes_does_not_count(self, run, clock):
        seconds = files.read_packed(newest(run))[1]["seconds"]
        clock[0] += 1e6
        resume(run)
        assert result(run)["seconds"] == seconds > 0

    def test_warnings_are_neither_lost_nor_doubled(self, run, monkeypatch):
        """Those of the data are found again by every process; others stand in the checkpoint."""
        kept = ["the file is another", "epochs 1 to 2 were trained with hvae 0.0"]
        reseal(run, lambda tensors, document: document.update(warnings=kept))
        warned = data.Dataset(**{**vars(digits()), "warnings": ("the file is another", "a new")})
        monkeypatch.setattr(data, "load", lambda *arguments, **options: warned)
        ear = resume(run)
        assert ear.warnings == ["the file is another", "a new"]
        expected = ["the file is another", "a new", "epochs 1 to 2 were trained with hvae 0.0"]
        assert result(run)["warnings"] == expected
        assert files.read_packed(newest(run))[1]["warnings"] == expected

    def test_steps_and_the_best_figures(self, run):
        state = files.read_packed(newest(run))[1]
        lines = (run / METRICS).read_text().splitlines()
        resume(run)
        steps = -(-len(digits().train) // 50)
        assert (state["steps"], result(run)["steps"]) == (CUT * steps, EPOCHS * steps)
        assert (run / METRICS).read_text().splitlines()[:CUT] == lines


class TestInterval:
    @pytest.fixture
    def saved(self, monkeypatch):
        """The epochs whose checkpoints are written."""
        epochs, write = [], Checkpoints.write

        def noted(self, state, tensors):
            epochs.append(state.epoch)
            return write(self, state, tensors)

        monkeypatch.setattr(Checkpoints, "write", noted)
        return epochs

    @pytest.mark.parametrize(("every", "epochs"), [(0.0, [5, 6]), (1e9, [6])])
    def test_that_of_the_run_is_remembered(self, tmp_path, saved, every, epochs):
        run = tmp_path / "run"
        with pytest.raises(Interrupted):
            hvae.train(config(epochs=EPOCHS, checkpoint_every=every), run, observer=Cut())
        saved.clear()
        resume(run)
        assert saved == epochs
        assert files.read_packed(newest(run))[1]["config"]["checkpoint_every"] == every

    @pytest.mark.parametrize(("every", "epochs"), [(0, [5, 6]), (1e9, [6])])
    def test_another_is_for_this_time(self, tmp_path, saved, every, epochs):
        """The settings stay as they are, and with them what the run does the next time."""
        run, own = tmp_path / "run", 0.0 if every else 1e9
        with pytest.raises(Interrupted):
            hvae.train(config(epochs=EPOCHS, checkpoint_every=own), run, observer=Cut())
        settings = (run / CONFIG).read_bytes()
        saved.clear()
        hvae.resume(run, checkpoint_every=every)
        assert saved == epochs and (run / CONFIG).read_bytes() == settings

    @pytest.mark.parametrize("every", [-1, "3", True])
    def test_one_that_is_not_allowed_is_refused_and_nothing_changes(self, run, every):
        before = tree(run)
        with pytest.raises(Refused, match="--checkpoint-every: .* allowed: seconds from 0"):
            hvae.resume(run, checkpoint_every=every)
        assert tree(run) == before


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
        path = reseal(run, lambda tensors, document: document.update(change))
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

        self.used_the_one_before(made, run, reseal(run, change), message)

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

        reseal(run, older)
        [warning] = resume(run).warnings
        assert warning.startswith(f"epochs 1 to {CUT} were trained with ") and "2.10" in warning
        assert files.read_json(run / RESULT)["warnings"] == [warning]
