"""hvae.training: runs from beginning to end, what is kept, and what happens when one diverges."""

import json
import math
from dataclasses import replace

import exact
import pytest
import torch
from few import config, digits, trainer
from parts import Convolutions
from torch import nn

from hvae import data, files, load_run, resume, train
from hvae.description import DataDescription, Kind
from hvae.errors import Diverged, EnvironmentProblem, Interrupted, Refused
from hvae.evaluation.elbo import elbo
from hvae.latent import KAPPA_GRADIENTS
from hvae.model import NETWORKS
from hvae.observer import Observer
from hvae.runs import read_config
from hvae.runs.assembly import assemble
from hvae.runs.checkpoints import Checkpoints, State
from hvae.runs.folder import BEST, CONFIG, METRICS, RESULT
from hvae.training import loop
from hvae.training.protocol import TrainingState
from hvae.training.step import Trainer


@pytest.fixture(autouse=True)
def few_digits(monkeypatch):
    monkeypatch.setattr(data, "load", lambda name, folder=None, **options: digits())


def lines(path):
    return [json.loads(line) for line in (path / METRICS).read_text().splitlines()]


def newest(path):
    """The tensors and the state of a run's newest checkpoint."""
    packed, document = files.read_packed(Checkpoints(path).paths()[0])
    return packed, State.from_json(document)


def without_seconds(path):
    return [{key: value for key, value in line.items() if key != "seconds"} for line in lines(path)]


class TestTrain:
    def test_the_run_folder(self, tmp_path):
        result = train(config(), tmp_path / "run")
        folder = tmp_path / "run"
        assert {entry.name for entry in folder.iterdir()} == {
            "config.json", "metrics.jsonl", "best.safetensors", "last", "result.json",
            ".lock",
        }  # fmt: skip
        assert read_config(folder) == config()
        assert [line["epoch"] for line in lines(folder)] == [1, 2, 3]
        assert [line["kl_weight"] for line in lines(folder)] == [0.5, 1, 1]
        for line in lines(folder):
            for split in ("train", "validation"):
                means = line[split]
                assert means["elbo"] == -(means["re"] + means["kl"])
                assert means["kl"] == math.fsum(means["kl_per_shell"])
                assert len(means["kl_per_shell"]) == len(means["kappa"]) == 2
            assert line["seconds"] > 0
        assert result == {"run": str(folder), **files.read_json(folder / RESULT)}
        assert result["completed"] is True and result["stopped"] == "epochs"
        assert (result["epochs"], result["steps"]) == (3, 9)
        assert result["data_checksum"] == digits().checksum
        best = lines(folder)[result["best_epoch"] - 1]
        assert result["validation"] == best["validation"]

    @pytest.mark.parametrize("count", [1, 2])
    def test_it_works_with_the_threads_that_were_asked_for(self, tmp_path, count):
        before = torch.get_num_threads()
        torch.set_num_threads(3 - count)
        try:
            asked = config(epochs=1, warmup=1, threads=count)
            assert train(asked, tmp_path / "run")["threads"] == torch.get_num_threads() == count
        finally:
            torch.set_num_threads(before)

    def test_it_learns(self, tmp_path):
        train(config(epochs=12, hidden=(64, 32)), tmp_path / "run")
        validation = [line["validation"]["elbo"] for line in lines(tmp_path / "run")]
        assert validation[-1] > validation[0] + 5

    @pytest.mark.parametrize(
        "settings",
        [
            {},
            {"kappa_grad": "reinforce"},
            {"kappa_grad": "reinforce", "samples": 3, "kl_weights": "0.5,2"},
        ],
    )
    def test_the_same_settings_give_the_same_bits(self, tmp_path, settings):
        for name, seed in (("a", 3), ("b", 3), ("c", 4)):
            train(config(seed=seed, threads=1, **settings), tmp_path / name)
        a, b, c = (tmp_path / name for name in "abc")
        assert without_seconds(a) == without_seconds(b)
        assert without_seconds(a) != without_seconds(c)
        assert (a / BEST).read_bytes() == (b / BEST).read_bytes()
        (one, first), (other, second) = (newest(a), newest(b))
        assert first.epoch == second.epoch == 3
        assert one.keys() == other.keys() and all(torch.equal(one[k], other[k]) for k in one)

    def test_torchs_global_generator_does_not_matter_and_is_not_used(self, tmp_path):
        torch.manual_seed(0)
        train(config(), tmp_path / "a")
        torch.manual_seed(1)
        state = torch.get_rng_state()
        train(config(), tmp_path / "b")
        assert torch.equal(torch.get_rng_state(), state)
        assert without_seconds(tmp_path / "a") == without_seconds(tmp_path / "b")

    def test_best_weights_are_those_of_the_best_epoch(self, tmp_path):
        result = train(config(epochs=6, lr=0.05), tmp_path / "run")
        run = load_run(tmp_path / "run")
        assert elbo(run.model, digits().validation, 0) == result["validation"]

    @pytest.mark.parametrize(
        ("settings", "options"),
        [
            ({}, {}),
            ({"kl_weights": "0.5,2"}, {"kl_weights": (0.5, 2.0)}),
            ({"shells": "2,5"}, {"shells": "2,5", "kl_weights": (1.0, 1.75)}),
            ({"samples": 2, "kappa_grad": "reinforce"},) * 2,
        ],
        ids=["defaults", "kl_weights", "auto", "reinforce"],
    )
    def test_last_weights_are_those_of_the_last_epoch(self, tmp_path, settings, options):
        """The trainer gets every setting: three epochs by hand are those of the run."""
        train(config(**settings), tmp_path / "run")
        packed, state = newest(tmp_path / "run")
        assert (state.epoch, state.steps) == (3, 9)
        one = trainer(**options)
        for epoch, weight in ((1, 0.5), (2, 1.0), (3, 1.0)):
            one.epoch(digits().train, epoch, weight)
        weights, optimizer = one.model.state_dict(), one.optimizer_state()
        assert all(torch.equal(packed[f"weights/{k}"], v) for k, v in weights.items())
        assert all(torch.equal(packed[f"optimizer/{k}"], v) for k, v in optimizer.items())
        assert len(packed) == 5 * len(one.parameters)

    def test_the_settings_of_the_loss_are_recorded(self, tmp_path):
        settings = config(kl_weights="0.5,2", samples=2, kappa_grad="reinforce")
        train(settings, tmp_path / "run")
        document = files.read_json(tmp_path / "run" / CONFIG)
        assert document["kl_weights"] == "0.5,2.0" and document["samples"] == 2
        assert read_config(tmp_path / "run") == settings

    def test_the_gradient_of_the_concentration_makes_the_run(self, tmp_path):
        """Each of the three trains, and to weights of its own."""
        for name in KAPPA_GRADIENTS:
            assert train(config(kappa_grad=name), tmp_path / name)["completed"] is True
        weights = [(tmp_path / name / BEST).read_bytes() for name in KAPPA_GRADIENTS]
        assert len(set(weights)) == 3

    def test_a_run_shorter_than_the_warm_up_records_its_last_epoch(self, tmp_path):
        result = train(config(epochs=2, warmup=100), tmp_path / "run")
        assert result["best_epoch"] == 2

    def test_it_stops_early(self, tmp_path):
        result = train(config(epochs=50, warmup=2, lookahead=3, lr=1e-9), tmp_path / "run")
        assert (result["stopped"], result["best_epoch"], result["epochs"]) == ("lookahead", 2, 5)
        assert len(lines(tmp_path / "run")) == 5

    def test_dynamic_binarization_is_drawn_anew_every_epoch(self, tmp_path, monkeypatch):
        epochs = []

        class Grey(data.Dataset):
            def epoch(self, seed, epoch):
                epochs.append((seed, epoch))
                return self.train

        grey = Grey(**vars(digits()))
        monkeypatch.setattr(data, "load", lambda *arguments, **options: grey)
        train(config(seed=5), tmp_path / "run")
        assert epochs == [(5, 1), (5, 2), (5, 3)]

    def test_the_observer_hears_warnings_and_epochs(self, tmp_path, monkeypatch):
        class Ear(Observer):
            def __init__(self):
                self.heard = []

            def warning(self, text):
                self.heard.append(text)

            def epoch(self, line, epochs):
                self.heard.append((line["epoch"], epochs))

        odd = data.Dataset(**{**vars(digits()), "warnings": ("odd",), "verified": False})
        monkeypatch.setattr(data, "load", lambda *arguments, **options: odd)
        ear = Ear()
        result = train(config(), tmp_path / "run", observer=ear)
        assert ear.heard == ["odd", (1, 3), (2, 3), (3, 3)]
        assert result["warnings"] == ["odd"] and result["data_verified"] is False


class TestDevices:
    @pytest.mark.parametrize("device", exact.DEVICES)
    def test_a_run_repeats_to_the_bit(self, tmp_path, device):
        for name in ("a", "b"):
            train(config(device=device, threads=1), tmp_path / name)
        assert without_seconds(tmp_path / "a") == without_seconds(tmp_path / "b")

    @pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU here")
    def test_a_run_on_a_gpu_agrees_with_one_on_the_cpu(self, tmp_path):
        """The noise is that of the CPU; float32 sums differ in order, and Adam divides by small
        roots, so weights drift by parts of lr * steps = 9e-3 and nats by parts of a thousandth."""
        for device in ("cpu", "cuda"):
            train(config(device=device, threads=1), tmp_path / device)
        cpu, cuda = (without_seconds(tmp_path / device) for device in ("cpu", "cuda"))
        for one, other in zip(cpu, cuda, strict=True):
            for split in ("train", "validation"):
                assert one[split]["elbo"] == pytest.approx(other[split]["elbo"], rel=1e-3)
                assert one[split]["kappa"] == pytest.approx(other[split]["kappa"], rel=1e-2)


class TestOtherParts:
    """A network of another package, with batch normalization, behind its name."""

    @pytest.fixture(autouse=True)
    def convolutional(self, monkeypatch):
        monkeypatch.setitem(NETWORKS.own, "convolutional", Convolutions)

    def test_the_best_model_is_the_one_that_was_validated(self, tmp_path):
        """As it is read back, with the running means of that epoch."""
        result = train(config(network="convolutional", epochs=4), tmp_path / "run")
        model = load_run(tmp_path / "run").model
        assert isinstance(model.encoder[2], nn.BatchNorm2d) and not model.training
        assert elbo(model, digits().validation, 0) == result["validation"]

    def test_it_goes_on_to_the_same_bits(self, tmp_path):
        class Cut(Observer):
            def epoch(self, line, epochs):
                if line["epoch"] == 2:
                    raise KeyboardInterrupt

        settings = config(network="convolutional", epochs=4)
        train(settings, tmp_path / "whole")
        with pytest.raises(Interrupted):
            train(settings, tmp_path / "cut", observer=Cut())
        resume(tmp_path / "cut")
        whole, cut = (newest(tmp_path / name)[0] for name in ("whole", "cut"))
        assert whole["weights/decoder.4.num_batches_tracked"] == 12
        assert whole.keys() == cut.keys()
        assert all(torch.equal(whole[name], cut[name]) for name in whole)

    def test_data_that_it_does_not_fit_are_refused_before_anything_is_written(
        self, tmp_path, monkeypatch
    ):
        flat = replace(digits(), description=DataDescription((64,), Kind.BINARY))
        monkeypatch.setattr(data, "load", lambda *arguments, **options: flat)
        with pytest.raises(Refused, match="^--network: convolutional .* allowed: images of 8 x 8"):
            train(config(network="convolutional"), tmp_path / "run")
        assert list(tmp_path.iterdir()) == []


class TestDivergence:
    @pytest.fixture
    def diverged(self, tmp_path, monkeypatch):
        """A run whose weights are poisoned after two epochs: its third meets a NaN in shell 2."""
        original = Trainer.epoch

        def poisoned(self, rows, epoch, factor, before_step):
            if epoch == 3:
                self.model.to_posterior.bias.data[4] = math.nan
            return original(self, rows, epoch, factor, before_step)

        monkeypatch.setattr(Trainer, "epoch", poisoned)
        with pytest.raises(Diverged) as error:
            train(config(epochs=5), tmp_path / "run")
        return tmp_path / "run", str(error.value)

    def test_the_message_names_epoch_step_shell_and_what_is_kept(self, diverged):
        folder, message = diverged
        assert message == (
            "training diverged in epoch 3, step 6, shell 2 of 2 (e2): "
            "the loss or a gradient is not finite; "
            f"the last good checkpoint is {folder / 'last' / 'epoch-000002.safetensors'}"
        )

    def test_the_last_good_weights_are_kept(self, diverged):
        packed, state = newest(diverged[0])
        assert state.epoch == 2 and all(tensor.isfinite().all() for tensor in packed.values())

    def test_the_best_epoch_before_can_be_evaluated(self, diverged):
        result = files.read_json(diverged[0] / RESULT)
        model = load_run(diverged[0]).model
        assert elbo(model, digits().validation, 0) == result["validation"]

    def test_the_result_says_so(self, diverged):
        result = files.read_json(diverged[0] / RESULT)
        assert result["completed"] is False and result["stopped"] == "diverged"
        assert result["diverged"] == {"epoch": 3, "step": 6, "shell": "2 of 2 (e2)"}
        assert len(lines(diverged[0])) == result["epochs"] == 2

    def test_in_the_first_epoch_the_initial_weights_are_kept(self, tmp_path):
        with pytest.raises(Diverged, match="epoch 1, .* checkpoint is .*epoch-000000"):
            train(config(lr=1e25), tmp_path / "run")
        packed, state = newest(tmp_path / "run")
        assert (state.epoch, state.best_epoch) == (0, 0)
        initial = assemble(config(), digits().description)
        initial.initialize(0)
        weights = initial.state_dict()
        assert all(torch.equal(packed[f"weights/{name}"], weights[name]) for name in weights)

    def test_a_validation_that_is_not_finite_ends_the_run(self, tmp_path):
        """One step of the largest rate: its own loss was finite, that of its weights is not."""
        with pytest.raises(Diverged, match="the validation ELBO is not finite; .*epoch-000000"):
            train(config(lr=1e25, batch_size=200), tmp_path / "run")


class TestData:
    def test_they_are_looked_for_where_the_settings_say(self, tmp_path, monkeypatch):
        asked, observer = [], Observer()

        def load(*arguments, **options):
            asked.append((arguments, options))
            return digits()

        monkeypatch.setattr(data, "load", load)
        train(config(data_dir=str(tmp_path), epochs=1), tmp_path / "run", observer=observer)
        assert asked == [
            (("digits", str(tmp_path)), {"recorded": None, "progress": observer.download})
        ]


class TestTrouble:
    def test_nothing_is_written_on_refusal(self, tmp_path, monkeypatch):
        def refuse(*arguments, **options):
            raise Refused("broken")

        monkeypatch.setattr(data, "load", refuse)
        with pytest.raises(Refused):
            train(config(), tmp_path / "deep" / "run")
        assert list(tmp_path.iterdir()) == []

    def test_an_occupied_folder_is_refused_before_the_data_are_looked_for(
        self, tmp_path, monkeypatch
    ):
        train(config(), tmp_path / "run")
        monkeypatch.setattr(data, "load", None)
        with pytest.raises(Refused, match="--out: .* holds a run; allowed: a new or empty folder"):
            train(config(), tmp_path / "run")

    def test_an_interrupt_keeps_the_last_epoch(self, tmp_path):
        class Interrupt(Observer):
            def epoch(self, line, epochs):
                if line["epoch"] == 2:
                    raise KeyboardInterrupt

        with pytest.raises(Interrupted, match="epoch-000002.* to go on: hvae train --resume "):
            train(config(), tmp_path / "run", observer=Interrupt())
        folder = tmp_path / "run"
        assert newest(folder)[1].epoch == 2
        assert not (folder / RESULT).exists()
        assert (folder / BEST).exists()

    @pytest.mark.parametrize(("every", "epochs"), [(0, [1, 2, 3]), (3600, [3])])
    def test_checkpoints_are_written_now_and_then(self, tmp_path, monkeypatch, every, epochs):
        saved = []
        original = Checkpoints.write
        monkeypatch.setattr(
            Checkpoints,
            "write",
            lambda self, state, *rest: (saved.append(state.epoch), original(self, state, *rest)),
        )
        train(config(), tmp_path / "run", checkpoint_every=every)
        assert saved == epochs

    def test_work_between_checkpoints_is_foreseen(self, tmp_path, monkeypatch):
        """Epochs of 4 s and checkpoints at most 10 s apart: after the second, the fourth, ..."""
        now = [0.0]
        monkeypatch.setattr(loop.time, "perf_counter", lambda: now[0])
        original = TrainingState.run_epoch

        def slow(self, before_step):
            now[0] += 4
            return {**original(self, before_step), "seconds": 4.0}

        monkeypatch.setattr(TrainingState, "run_epoch", slow)
        saved = []
        write = Checkpoints.write
        monkeypatch.setattr(
            Checkpoints,
            "write",
            lambda self, state, *rest: (saved.append(state.epoch), write(self, state, *rest)),
        )
        train(config(epochs=5), tmp_path / "run", checkpoint_every=10)
        assert saved == [2, 4, 5]

    @pytest.mark.parametrize("every", [-1, math.nan, math.inf, "3", True])
    def test_intervals_that_are_refused(self, tmp_path, every):
        with pytest.raises(Refused, match="--checkpoint-every: .* allowed: seconds from 0"):
            train(config(), tmp_path / "run", checkpoint_every=every)
        assert list(tmp_path.iterdir()) == []

    @pytest.mark.parametrize(
        "error", [MemoryError(), RuntimeError("... can't allocate memory ...")]
    )
    def test_exhausted_memory_is_the_environments(self, tmp_path, monkeypatch, error):
        def exhaust(*arguments):
            raise error

        monkeypatch.setattr(Trainer, "step", exhaust)
        with pytest.raises(EnvironmentProblem, match="memory"):
            train(config(), tmp_path / "run")

    def test_other_errors_are_not_hidden(self, tmp_path, monkeypatch):
        def fail(*arguments):
            raise RuntimeError("a fault of the program")

        monkeypatch.setattr(Trainer, "step", fail)
        with pytest.raises(RuntimeError, match="a fault of the program"):
            train(config(), tmp_path / "run")
