"""hvae.training: the protocol, the step, what is kept, and what happens when a run diverges."""

import json
import math

import exact
import pytest
import torch
from few import config, digits
from torch.utils._python_dispatch import TorchDispatchMode

from hvae import data, evaluation, files, random, runs, training
from hvae.checkpoints import Checkpoints, State
from hvae.config import KAPPA_GRADIENTS
from hvae.errors import Diverged, EnvironmentProblem, Interrupted, Refused
from hvae.model import VAE
from hvae.observer import Observer
from hvae.shells import parse
from hvae.trainer import NotFinite, Trace, Trainer, first_bad_shell, order
from hvae.training import Selection, kl_weight, train


@pytest.fixture(autouse=True)
def few_digits(monkeypatch):
    monkeypatch.setattr(data, "load", lambda name, folder=None, **options: digits())


def trainer(shells="3,e2", lr=1e-3, batch_size=50, seed=0, kappa_grad="implicit", **options):
    model = VAE(64, parse(shells), (16, 12), kappa_grad=kappa_grad)
    model.initialize(seed)
    return Trainer(model, lr, batch_size, seed, **options)


def step(one, images=None, skipped=None):
    images = digits().train[:50] if images is None else images
    skipped = torch.zeros(()) if skipped is None else skipped
    weight = torch.ones(len(one.model.latent.shells))
    return one.step(images, random.stream(0, "train", step=one.steps), weight, skipped)


def values(tensors):
    return [tensor.detach().clone() for tensor in tensors]


class TestProtocol:
    def test_kl_weight(self):
        assert [kl_weight(epoch, 4) for epoch in range(1, 7)] == [0.25, 0.5, 0.75, 1, 1, 1]
        assert kl_weight(1, 0) == 1

    def test_the_best_epoch_of_a_scripted_run(self):
        """Nothing before the warm-up; then each improvement of 0.01 nats, from the last best."""
        selection = Selection(first=3, lookahead=2)
        script = [
            (1, -50.0, False),
            (2, -40.0, False),
            (3, -60.0, True),
            (4, -59.9921875, False),  # 1/128 < 0.01
            (5, -59.984375, True),  # 1/64 from epoch 3
            (6, -61.0, False),
            (7, math.nan, False),
        ]
        for epoch, elbo, best in script:
            assert selection.record(epoch, elbo) is best
        assert (selection.best_epoch, selection.best_elbo) == (5, -59.984375)

    def test_an_improvement_of_exactly_the_bar_counts(self):
        selection = Selection(first=1, lookahead=1, best_epoch=1, best_elbo=0.0)
        assert selection.record(2, training.IMPROVEMENT)

    def test_it_stops_lookahead_epochs_after_the_last_improvement(self):
        selection = Selection(first=1, lookahead=3)
        assert not selection.exhausted(100)
        selection.record(4, -10.0)
        assert [selection.exhausted(epoch) for epoch in (4, 5, 6, 7, 8)] == [False] * 3 + [True] * 2


class TestOrder:
    def test_it_is_a_permutation_of_the_epoch(self):
        one, same, next_epoch, other_seed = (
            order(130, seed, epoch) for seed, epoch in ((0, 1), (0, 1), (0, 2), (1, 1))
        )
        assert one.sort().values.tolist() == list(range(130))
        assert torch.equal(one, same)
        assert not torch.equal(one, next_epoch) and not torch.equal(one, other_seed)

    def test_every_image_is_used_once_in_batches_of_the_given_size(self):
        one, batches = trainer(), []
        original = one.step
        one.step = lambda images, *rest: (batches.append(images), original(images, *rest))[1]
        one.epoch(digits().train, 1)
        assert [len(batch) for batch in batches] == [50, 50, 30]
        used = sorted(torch.cat(batches).tolist())
        assert used == sorted(digits().train.tolist())

    def test_every_step_has_its_own_stream(self):
        one, streams = trainer(), []
        original = one.step
        one.step = lambda x, rng, *rest: (streams.append(rng.tolist()), original(x, rng, *rest))[1]
        one.epoch(digits().train, 1)
        one.epoch(digits().train, 2)
        key = random.key(0, "train")
        assert streams == [[key, number, 0, 0] for number in range(6)]


class TestStep:
    @pytest.mark.parametrize("samples", [1, 3])
    def test_it_is_adam_on_the_mean_of_the_weighted_bound(self, samples):
        """Against the loss written out and torch's unfused Adam, to the rounding of float32."""
        one, other = trainer(samples=samples), trainer()
        plain = torch.optim.Adam(other.parameters, lr=1e-3, fused=False)
        images = digits().train[:50]
        weight = torch.tensor([0.25, 0.75])
        for number in range(3):
            rng = random.stream(0, "train", step=number)
            one.step(images, rng, weight, torch.zeros(()))
            terms = other.model.terms(other.model.encode(images), images, rng, samples)
            kl = 0.25 * terms.kl[:, 0] + 0.75 * terms.kl[:, 1]
            plain.zero_grad()
            (kl - sum(terms.log_likelihood) / samples).mean().backward()
            plain.step()
        for a, b in zip(one.parameters, other.parameters, strict=True):
            torch.testing.assert_close(a, b, rtol=0, atol=1e-5)  # 3 steps of 1e-3

    def test_its_trace_has_the_mean_over_samples(self):
        one = trainer(samples=3)
        images, rng = digits().train[:50], random.stream(0, "train", step=0)
        with torch.no_grad():
            terms = one.model.terms(one.model.encode(images), images, rng, 3)
        trace = step(one)
        assert torch.equal(trace.log_likelihood, terms.log_likelihood.mean(0))
        assert torch.equal(trace.kl, terms.kl)

    def test_the_warm_up_multiplies_the_weights_of_the_components(self):
        one, weights = trainer(kl_weights=(0.5, 2.0)), []
        original = one.step

        def watched(images, rng, weight, skipped):
            weights.append(weight.tolist())
            return original(images, rng, weight, skipped)

        one.step = watched
        one.epoch(digits().train, 1, 0.25)
        one.epoch(digits().train, 2)
        assert weights == [[0.125, 0.5]] * 3 + [[0.5, 2.0]] * 3

    def test_the_figures_of_an_epoch_are_without_weights(self):
        """With a rate that moves nothing, they are those of weights of 1."""
        plain, weighted = (trainer(lr=1e-30, kl_weights=w) for w in (None, (0.5, 2.0)))
        assert plain.epoch(digits().train, 1) == weighted.epoch(digits().train, 1)

    def test_a_loss_that_is_not_finite_changes_nothing(self):
        one = trainer()
        step(one)
        with torch.no_grad():
            one.model.decoder[0].bias[0] = math.inf
        before = values([*one.parameters, *one.optimizer_state().values()])
        skipped = torch.zeros(())
        step(one, skipped=skipped)
        assert skipped.item() == 1
        after = [*one.parameters, *one.optimizer_state().values()]
        assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))

    def test_a_finite_step_is_not_skipped(self):
        one, skipped = trainer(), torch.zeros(())
        before = values(one.parameters)
        step(one, skipped=skipped)
        assert skipped.item() == 0
        counts = [t.item() for key, t in one.optimizer_state().items() if key.endswith(".step")]
        assert counts == [1] * len(one.parameters)
        assert not any(torch.equal(a, b) for a, b in zip(before, one.parameters, strict=True))

    def test_the_first_bad_step_is_named_and_later_steps_go_on(self):
        one, calls = trainer(), []
        original = one.step

        def poisoned(images, rng, weight, skipped):
            calls.append(rng[1].item())
            if len(calls) != 2:
                return original(images, rng, weight, skipped)
            bias = one.model.head.bias.data
            bias[4], kept = math.nan, bias[4].clone()  # columns: 3 directions, kappa, 2 means, ...
            trace = original(images, rng, weight, skipped)
            bias[4] = kept
            return trace

        one.step = poisoned
        with pytest.raises(NotFinite) as error:
            one.epoch(digits().train, 7)
        assert calls == [0, 1, 2]
        assert (error.value.epoch, error.value.step) == (7, 1)
        assert error.value.shell == "2 of 2 (e2)"
        assert all(parameter.isfinite().all() for parameter in one.parameters)


class TestFirstBadShell:
    """By its KL or its head, then by its gradient; a fault of the network is no shell's."""

    @pytest.fixture
    def model(self):
        return trainer("3,4,e2").model  # columns: 3 + 4 directions, 2 kappas, 2 means, 2 variances

    def trace(self, **broken):
        shapes = {"log_likelihood": (5,), "kl": (5, 3), "head": (5, 13), "head_gradient": (13,)}
        parts = {name: torch.zeros(shape) for name, shape in shapes.items()}
        for name, place in broken.items():
            parts[name][place] = math.nan
        return Trace(**parts)

    @pytest.mark.parametrize(
        ("broken", "shell"),
        [
            ({"kl": (3, 1), "log_likelihood": 0}, "2 of 3 (4)"),
            ({"head": (2, 0), "head_gradient": slice(None)}, "1 of 3 (3)"),
            ({"head": (2, 8), "kl": (0, 2)}, "2 of 3 (4)"),
            ({"head_gradient": 7}, "1 of 3 (3)"),
            ({"head_gradient": [10, 12]}, "3 of 3 (e2)"),
            ({"head_gradient": slice(None)}, "none (the network)"),
            ({"log_likelihood": 4, "head_gradient": slice(None)}, "none (the network)"),
            ({}, "none (the network)"),
        ],
    )
    def test_cases(self, model, broken, shell):
        assert first_bad_shell(model, self.trace(**broken)) == shell

    def test_a_single_shell_is_named_by_its_gradient(self):
        model = trainer("3").model
        trace = Trace(
            torch.zeros(5), torch.zeros(5, 1), torch.zeros(5, 4), torch.full((4,), math.inf)
        )
        assert first_bad_shell(model, trace) == "1 of 1 (3)"


def lines(path):
    return [json.loads(line) for line in (path / runs.METRICS).read_text().splitlines()]


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
        assert runs.read_config(folder) == config()
        assert [line["epoch"] for line in lines(folder)] == [1, 2, 3]
        assert [line["kl_weight"] for line in lines(folder)] == [0.5, 1, 1]
        for line in lines(folder):
            for split in ("train", "validation"):
                means = line[split]
                assert means["elbo"] == -(means["re"] + means["kl"])
                assert means["kl"] == math.fsum(means["kl_per_shell"])
                assert len(means["kl_per_shell"]) == len(means["kappa"]) == 2
            assert line["seconds"] > 0
        assert result == {"run": str(folder), **files.read_json(folder / runs.RESULT)}
        assert result["completed"] is True and result["stopped"] == "epochs"
        assert (result["epochs"], result["steps"]) == (3, 9)
        assert result["data_checksum"] == digits().checksum
        best = lines(folder)[result["best_epoch"] - 1]
        assert result["validation"] == best["validation"]

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
        assert (a / runs.BEST).read_bytes() == (b / runs.BEST).read_bytes()
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
        run = runs.load_run(tmp_path / "run")
        assert evaluation.elbo(run.model, digits().validation, 0) == result["validation"]

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
        document = files.read_json(tmp_path / "run" / runs.CONFIG)
        assert document["kl_weights"] == "0.5,2.0" and document["samples"] == 2
        assert runs.read_config(tmp_path / "run") == settings

    def test_the_gradient_of_the_concentration_makes_the_run(self, tmp_path):
        """Each of the three trains, and to weights of its own."""
        for name in KAPPA_GRADIENTS:
            assert train(config(kappa_grad=name), tmp_path / name)["completed"] is True
        weights = [(tmp_path / name / runs.BEST).read_bytes() for name in KAPPA_GRADIENTS]
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
    def test_a_run_repeats_to_the_bit_and_agrees_with_the_cpu(self, tmp_path, device):
        """The noise is that of the CPU; float32 sums differ in order, and Adam divides by small
        roots, so weights drift by parts of lr * steps = 9e-3 and nats by parts of a thousandth."""
        for name, where in (("cpu", "cpu"), ("a", device), ("b", device)):
            train(config(device=where, threads=1), tmp_path / name)
        cpu, a, b = (without_seconds(tmp_path / name) for name in ("cpu", "a", "b"))
        assert a == b
        for one, other in zip(cpu, a, strict=True):
            for split in ("train", "validation"):
                assert one[split]["elbo"] == pytest.approx(other[split]["elbo"], rel=1e-3)
                assert one[split]["kappa"] == pytest.approx(other[split]["kappa"], rel=1e-2)

    @pytest.mark.parametrize("device", exact.DEVICES)
    @pytest.mark.parametrize(
        ("kappa_grad", "samples", "most"), [("implicit", 1, 64), ("reinforce", 3, 104)]
    )
    def test_a_step_reads_nothing_from_the_device_and_has_few_ops(
        self, device, kappa_grad, samples, most
    ):
        """What a read would dispatch does not occur, and 40 shells take the ops that 3 take."""

        class Recorder(TorchDispatchMode):
            def __torch_dispatch__(self, function, types, arguments=(), options=None):
                names.append(function.overloadpacket.__name__)
                return function(*arguments, **(options or {}))

        recorded = []
        for shells in ("3,4,5", ",".join(["2"] * 40)):
            names = []
            model = VAE(64, parse(shells), (16, 12), kappa_grad=kappa_grad)
            model.initialize(0)
            one = Trainer(model.to(device), 1e-3, samples=samples)
            images = digits().train[:50].to(device)
            rng = random.stream(0, "train", device=device)
            weight = torch.ones(len(model.latent.shells), device=device)
            skipped = torch.zeros((), device=device)
            with Recorder():
                one.step(images, rng, weight, skipped)
            recorded.append(names)
        assert recorded[0] == recorded[1]
        names = recorded[0]
        assert {"addmm", "sample", "sample_backward", "bernoulli", "_fused_adam_"} <= set(names)
        assert not {"_local_scalar_dense", "nonzero", "equal", "is_nonzero"} & set(names)
        assert names.count("sample") == names.count("sample_backward") == 1
        views = {"t", "transpose", "view", "_unsafe_view", "split_with_sizes", "detach", "expand"}
        assert len([name for name in names if name not in views]) <= most


class TestDivergence:
    @pytest.fixture
    def diverged(self, tmp_path, monkeypatch):
        """A run whose weights are poisoned after two epochs: its third meets a NaN in shell 2."""
        original = Trainer.epoch

        def poisoned(self, images, epoch, weight, between):
            if epoch == 3:
                self.model.head.bias.data[4] = math.nan
            return original(self, images, epoch, weight, between)

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
        result = files.read_json(diverged[0] / runs.RESULT)
        model = runs.load_run(diverged[0]).model
        assert evaluation.elbo(model, digits().validation, 0) == result["validation"]

    def test_the_result_says_so(self, diverged):
        result = files.read_json(diverged[0] / runs.RESULT)
        assert result["completed"] is False and result["stopped"] == "diverged"
        assert result["diverged"] == {"epoch": 3, "step": 6, "shell": "2 of 2 (e2)"}
        assert len(lines(diverged[0])) == result["epochs"] == 2

    def test_in_the_first_epoch_the_initial_weights_are_kept(self, tmp_path):
        with pytest.raises(Diverged, match="epoch 1, .* checkpoint is .*epoch-000000"):
            train(config(lr=1e25), tmp_path / "run")
        packed, state = newest(tmp_path / "run")
        assert (state.epoch, state.best_epoch) == (0, 0)
        initial = VAE.like(config(), 64)
        initial.initialize(0)
        weights = initial.state_dict()
        assert all(torch.equal(packed[f"weights/{name}"], weights[name]) for name in weights)

    def test_a_validation_that_is_not_finite_ends_the_run(self, tmp_path):
        """One step of the largest rate: its own loss was finite, that of its weights is not."""
        with pytest.raises(Diverged, match="the validation ELBO is not finite; .*epoch-000000"):
            train(config(lr=1e25, batch_size=200), tmp_path / "run")


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
        assert not (folder / runs.RESULT).exists()
        assert (folder / runs.BEST).exists()

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
        monkeypatch.setattr(training.time, "perf_counter", lambda: now[0])
        original = training._Session.run_epoch

        def slow(self, between):
            now[0] += 4
            return {**original(self, between), "seconds": 4.0}

        monkeypatch.setattr(training._Session, "run_epoch", slow)
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
