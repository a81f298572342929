"""hvae.training.protocol: warm-up, selection and early stopping; training that knows no file."""

import math
from dataclasses import dataclass, replace

import pytest
import torch
from few import config, digits, vae

from hvae.errors import Refused
from hvae.training import protocol
from hvae.training.divergence import NotFinite
from hvae.training.protocol import (
    IMPROVEMENT,
    Progress,
    Selection,
    Snapshot,
    TrainingState,
    warmup_factor,
)


class TestProtocol:
    def test_warmup_factor(self):
        assert [warmup_factor(epoch, 4) for epoch in range(1, 7)] == [0.25, 0.5, 0.75, 1, 1, 1]
        assert warmup_factor(1, 0) == 1

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

    def test_the_bar_is_a_hundredth_of_a_nat(self):
        """Exactly: the difference that is the float 0.01 counts, the float below it does not."""
        assert IMPROVEMENT == 0.01
        selection = Selection(first=1, lookahead=1, best_epoch=1, best_elbo=0.0)
        assert not selection.record(2, math.nextafter(0.01, 0))
        assert (selection.best_epoch, selection.best_elbo) == (1, 0.0)
        assert selection.record(3, 0.01)
        assert (selection.best_epoch, selection.best_elbo) == (3, 0.01)

    def test_an_improvement_of_exactly_the_bar_counts(self):
        selection = Selection(first=1, lookahead=1, best_epoch=1, best_elbo=0.0)
        assert selection.record(2, IMPROVEMENT)

    def test_it_stops_lookahead_epochs_after_the_last_improvement(self):
        selection = Selection(first=1, lookahead=3)
        assert not selection.exhausted(100)
        selection.record(4, -10.0)
        assert [selection.exhausted(epoch) for epoch in (4, 5, 6, 7, 8)] == [False] * 3 + [True] * 2


@dataclass
class Rows:
    """Data as the protocol asks for them: no data set, no file."""

    train: torch.Tensor
    validation: torch.Tensor
    asked: tuple = ()

    def epoch(self, seed, epoch):
        self.asked += ((seed, epoch),)
        return self.train


def begin(warnings=(), kl_weights=(1.0, 1.0), **settings):
    rows = Rows(digits().train, digits().validation)
    chosen = config(**settings)
    return TrainingState(chosen, vae(seed=chosen.seed), rows, kl_weights, warnings)


@pytest.fixture
def script(monkeypatch):
    """Makes the ELBOs of validation what the test says, epoch by epoch."""

    def script(*elbos):
        given = iter(elbos)
        monkeypatch.setattr(protocol, "elbo", lambda *_: {"elbo": next(given)})

    return script


def copy(tensors):
    return {name: tensor.detach().clone() for name, tensor in tensors.items()}


def same(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


class TestTraining:
    def test_the_best_weights_are_those_of_the_best_epoch(self, script):
        """From the end of the warm-up; below 0.01 nats of improvement the older ones stay."""
        script(9.0, -1.0, 0.0, math.nextafter(0.01, 0), 0.01, -5.0)
        state, weights = begin(epochs=6, warmup=2), []
        for epoch, best in enumerate((0, 2, 3, 3, 5, 5), start=1):
            state.run_epoch()
            weights.append(copy(state.model.state_dict()))
            progress, tensors = state.progress, state.tensors
            assert (progress.epoch, progress.steps) == (epoch, 3 * epoch)
            assert progress.best_epoch == best == state.selection.best_epoch
            assert same(tensors["weights"], weights[-1])
            assert same(tensors["optimizer"], state.trainer.optimizer_state())
            if best:
                assert same(tensors["best"], weights[best - 1])
                assert progress.best_validation == {"elbo": {2: -1.0, 3: 0.0, 5: 0.01}[best]}
            else:
                assert progress.best_validation is None
        assert not same(weights[4], weights[5])

    @pytest.mark.parametrize(
        ("warmup", "epochs", "first"), [(0, 4, 1), (1, 4, 1), (3, 4, 3), (9, 4, 4)]
    )
    def test_the_best_epoch_is_not_before_the_end_of_the_warm_up(
        self, script, warmup, epochs, first
    ):
        script(-1.0, -2.0, -3.0, -4.0)
        state = begin(epochs=epochs, warmup=warmup)
        for _ in range(epochs):
            state.run_epoch()
        assert state.progress.best_epoch == first

    def test_it_ends_after_the_last_epoch(self, script):
        script(1.0, 2.0)
        state = begin(epochs=2)
        assert state.ended is None
        state.run_epoch()
        assert state.ended is None
        state.run_epoch()
        assert state.ended == "epochs"

    def test_it_ends_where_nothing_improves_any_more(self, script):
        script(0.0, 0.02, 0.025, 0.029, 9.0)
        state = begin(epochs=50, warmup=0, lookahead=2)
        for ended in (None, None, None, "lookahead"):
            state.run_epoch()
            assert state.ended == ended
        assert state.progress.best_epoch == 2

    def test_an_epoch_is_trained_with_its_warm_up_on_its_rows(self, monkeypatch):
        state, epochs = begin(warmup=4, seed=6, kl_weights=(0.5, 2.0)), []
        original = state.trainer.epoch

        def watched(rows, epoch, factor, before_step):
            epochs.append((rows is digits().train, epoch, factor))
            return original(rows, epoch, factor, before_step)

        monkeypatch.setattr(state.trainer, "epoch", watched)
        lines = [state.run_epoch() for _ in range(2)]
        assert epochs == [(True, 1, 0.25), (True, 2, 0.5)]
        assert state.data.asked == ((6, 1), (6, 2))
        assert state.trainer.kl_weights.tolist() == [0.5, 2.0]
        for number, line in enumerate(lines, start=1):
            assert list(line) == ["epoch", "kl_weight", "train", "validation", "seconds"]
            assert (line["epoch"], line["kl_weight"]) == (number, number / 4)
        assert lines[1]["validation"] == protocol.elbo(state.model, digits().validation, 6)

    def test_every_step_is_announced_and_what_that_raises_ends_the_epoch(self):
        state, calls = begin(), []

        def announced():
            calls.append(state.trainer.steps)
            if len(calls) == 5:
                raise KeyboardInterrupt

        state.run_epoch(announced)
        kept = copy(state.tensors["weights"])
        with pytest.raises(KeyboardInterrupt):
            state.run_epoch(announced)
        assert len(calls) == 5 and state.progress.epoch == 1
        assert same(state.tensors["weights"], kept)

    @pytest.mark.parametrize("elbo", [math.nan, math.inf, -math.inf])
    def test_a_validation_that_is_not_finite_leaves_the_epoch_before(self, script, elbo):
        script(-3.0, elbo)
        state = begin(warmup=0)
        state.run_epoch()
        kept = {name: copy(tensors) for name, tensors in state.tensors.items()}
        with pytest.raises(NotFinite, match="epoch 2, step 5, .*: the validation ELBO is not fin"):
            state.run_epoch()
        assert all(same(state.tensors[name], kept[name]) for name in kept)
        assert (state.progress.epoch, state.progress.best_epoch) == (1, 1)

    def test_seconds_are_those_of_work_and_go_on(self, monkeypatch):
        now = [100.0]
        monkeypatch.setattr(protocol.time, "perf_counter", lambda: now[0])
        state = begin()
        now[0] = 130.0
        assert state.progress.seconds == 30.0
        state.restore(replace(state.progress, seconds=1000.0), state.tensors)
        now[0] = 135.0
        assert state.progress.seconds == 1035.0


class TestRestore:
    def test_it_goes_on_to_the_same_bits(self):
        """Two epochs, and two more in another process's stead, are four."""
        whole, first, second = (begin(epochs=4, seed=2) for _ in range(3))
        lines = [whole.run_epoch() for _ in range(4)]
        before = [first.run_epoch() for _ in range(2)]
        progress, tensors = first.progress, first.tensors
        kept = {name: copy(part) for name, part in tensors.items()}
        second.check(progress)
        second.restore(progress, kept)
        assert second.progress.epoch == 2 and second.progress.steps == 6
        after = [second.run_epoch() for _ in range(2)]
        for line, other in zip(lines, [*before, *after], strict=True):
            assert {**line, "seconds": 0} == {**other, "seconds": 0}
        assert all(same(whole.tensors[name], second.tensors[name]) for name in kept)

    def test_an_epoch_worse_than_the_best_before_is_not_the_best_after(self, script):
        script(5.0, 3.0, 4.0, 5.005, 6.0)
        first, second = (begin(epochs=9, warmup=0, lookahead=3) for _ in range(2))
        first.run_epoch()
        best = copy(first.model.state_dict())
        first.run_epoch()
        second.restore(first.progress, first.tensors)
        for _ in range(2):
            second.run_epoch()
            assert second.progress.best_epoch == 1
            assert second.progress.best_validation == {"elbo": 5.0}
            assert same(second.tensors["best"], best)
        assert second.ended == "lookahead"
        second.run_epoch()
        assert second.progress.best_epoch == 5

    def test_warnings_are_kept_once_the_present_ones_first(self):
        state = begin(warnings=("new", "both"))
        state.restore(replace(state.progress, warnings=["old", "both"]), state.tensors)
        assert state.progress.warnings == ["new", "both", "old"]
        state.warn("later")
        assert state.progress.warnings == ["new", "both", "old", "later"]
        assert begin(warnings=("new",)).progress.warnings == ["new"]

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"epoch": 4, "steps": 12}, "no run with these settings has 12 steps"),
            ({"steps": 5}, "no run with these settings has 5 steps"),
            ({"steps": 7}, "no run with these settings has 7 steps"),
            ({"best_epoch": 3}, "its best epoch is not one"),
            ({"best_epoch": 0}, "its best epoch is not one"),
            ({"best_validation": None}, "its best epoch is not one"),
        ],
    )
    def test_progress_that_these_settings_cannot_have_made_is_refused(self, change, message):
        state = begin(epochs=3)
        made = Progress(epoch=2, steps=6, best_epoch=2, best_validation={"elbo": 0.0})
        state.check(made)
        state.check(Progress())
        with pytest.raises(Refused, match=f"^{message}"):
            state.check(replace(made, **change))


class TestSnapshot:
    def test_it_is_a_copy_that_is_put_back(self):
        live = {"a": torch.ones(2, requires_grad=True), "b": torch.tensor(3)}
        snapshot = Snapshot(live)
        with torch.no_grad():
            live["a"].mul_(5)
            live["b"].add_(1)
        assert snapshot.kept["a"].tolist() == [1.0, 1.0] and snapshot.kept["b"] == 3
        snapshot.put_back()
        assert live["a"].tolist() == [1.0, 1.0] and live["b"] == 3
        live["b"].add_(4)
        snapshot.take()
        assert snapshot.kept["b"] == 7 and not snapshot.kept["a"].requires_grad
        snapshot.fill({"b": torch.tensor(9), "a": torch.zeros(2)})
        assert snapshot.kept["a"].tolist() == [0.0, 0.0] and live["b"] == 7
        snapshot.put_back()
        assert live["a"].tolist() == [0.0, 0.0] and live["b"] == 9
