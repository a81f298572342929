"""hvae.training.stack: every replica computes what it would alone, up to the order of sums."""

import itertools
import math

import few
import pytest
import torch
from few import config, digits

from hvae.errors import Refused
from hvae.training.divergence import NotFinite
from hvae.training.loop import open_state
from hvae.training.protocol import TrainingState
from hvae.training.stack import Stack

# Seeds, and compositions of five coordinates: other widths of the raw parameters, other weights.
REPLICAS = [
    {"seed": 1, "shells": "3,e2"},
    {"seed": 2, "shells": "3,e2"},
    {"seed": 1, "shells": "5"},
    {"seed": 3, "shells": "2,3", "kl_weights": "1,0.5", "parameterization": "scaled"},
]
VARIANTS = {
    "mlp": {},
    "gated": {"network": "gated"},
    "samples": {"samples": 3, "kappa_grad": "reinforce"},
    "mixture": {"prior": "mixture", "prior_components": 4, "kl_weights": "equal"},
    "vamp": {"prior": "vamp", "prior_components": 4, "kl_weights": "equal"},
    "gaussian": {"likelihood": "gaussian"},
}


def states(replicas=REPLICAS, **settings):
    return [open_state(config(**{**own, **settings}), digits()) for own in replicas]


def relative(found, expected):
    """The largest difference of two tensors against the largest number in the second."""
    return ((found - expected).abs().max() / expected.abs().max().clamp(min=1e-30)).item()


@pytest.mark.parametrize("settings", VARIANTS.values(), ids=VARIANTS)
def test_twenty_steps_are_those_of_the_single_run_to_1e_5(settings):
    """Losses and KL of every row, the gradients that arrive, and in the end the weights."""
    alone, together = (states(batch_size=6, **settings) for _ in range(2))
    stack = Stack(together)
    parts = [zip(*[s.begin_epoch() for s in part], strict=True) for part in (alone, together)]
    for single, joint in itertools.islice(zip(*parts, strict=True), 20):
        for state, given, trace in zip(alone, single, stack.step(joint), strict=True):
            expected = state.trainer.step(*given)
            assert relative(trace.log_likelihood, expected.log_likelihood) < 1e-5
            assert relative(trace.kl, expected.kl) < 1e-5
            assert relative(trace.raw_gradient, expected.raw_gradient) < 1e-4
            assert given.skipped == 0
    for one, other in zip(alone, together, strict=True):
        weights = dict(other.model.named_parameters())
        for name, weight in one.model.named_parameters():
            way = 20 * config().lr * math.sqrt(weight.numel())  # of twenty steps, at most
            assert (weights[name] - weight).norm() <= 1e-5 * max(weight.norm(), way), name
        expected, found = one.trainer.optimizer_state(), other.trainer.optimizer_state()
        assert set(found) == set(expected)
        for name, tensor in expected.items():
            assert (found[name] - tensor).norm() <= 1e-4 * tensor.norm(), name
        assert found["to_posterior.bias.step"] == 20


def test_streams_and_rows_are_those_of_the_single_run_to_the_bit():
    """So are the random numbers, which are a function of them."""
    alone, together = states(), states()
    stack = Stack(together)
    for epoch in range(2):
        given = [[list(state.begin_epoch()) for state in part] for part in (alone, together)]
        for single, joint in zip(*given, strict=True):
            assert len(single) == len(joint) == 3
            for one, other in zip(single, joint, strict=True):
                for field in ("rows", "rng", "kl_weights"):
                    assert torch.equal(getattr(one, field), getattr(other, field))
                assert one.of == other.of and one.rng[1] // 3 == epoch
        for state in alone:
            state.run_epoch()
        list(stack.run_epoch())


def finished(**settings):
    """Runs to their end, one after the other and in a stack: states, lines, sizes of the stack."""
    alone, together = (states(**settings) for _ in range(2))
    single = [list(state.epochs()) for state in alone]
    joint, sizes, stack = [[] for _ in together], [], Stack(together)
    while stack.states:
        sizes.append(len(stack.states))
        for state, line in stack.run_epoch():
            joint[together.index(state)].append(line)
    return alone, together, single, joint, sizes


def test_whole_runs_are_as_close_as_rounding_lets_them_be():
    """Nearer to the run of their seed than seeds are to each other, by far, in every figure."""
    *_, single, joint, sizes = finished(epochs=12)
    assert sizes == [4] * 12
    for alone, line in zip(single, joint, strict=True):
        for one, other in zip(alone, line, strict=True):
            assert one.keys() == other.keys() and one["kl_weight"] == other["kl_weight"]
            for part in ("train", "validation"):
                for name, value in one[part].items():
                    assert other[part][name] == pytest.approx(value, rel=1e-3, abs=1e-4)
    seeds = abs(single[0][-1]["validation"]["elbo"] - single[1][-1]["validation"]["elbo"])
    for alone, line in zip(single, joint, strict=True):
        own = abs(alone[-1]["validation"]["elbo"] - line[-1]["validation"]["elbo"])
        assert own < 0.01 * seeds


def test_each_stops_by_itself_with_its_own_best_weights():
    """With an impatient rule they stop at different epochs; who is left goes on."""
    alone, together, single, joint, sizes = finished(epochs=60, lookahead=1, lr=0.02)
    assert [len(line) for line in joint] == [len(line) for line in single]
    assert len(set(sizes)) > 1 and sizes == sorted(sizes, reverse=True)
    for one, other in zip(alone, together, strict=True):
        assert other.ended == one.ended
        assert other.progress.best_epoch == one.progress.best_epoch
        assert other.progress.steps == one.progress.steps
        for group, tensors in one.tensors.items():
            assert set(tensors) == set(other.tensors[group])
        for name, weight in one.tensors["best"].items():
            assert (other.tensors["best"][name] - weight).norm() <= 1e-2 * weight.norm(), name


def test_a_replica_that_diverges_leaves_and_touches_no_other():
    """The others are what they are beside a sound one: to the bit, as long as the stack is."""
    outcomes = {}
    for spoiled in (False, True):
        part = states(epochs=3)
        if spoiled:
            with torch.no_grad():
                part[1].model.decoder[0].bias[0] = math.inf
        stack, lines = Stack(part), []
        while stack.states:
            lines += [(part.index(state), line) for state, line in stack.run_epoch()]
        outcomes[spoiled] = lines
    (error,) = [line for i, line in outcomes[True] if i == 1]
    assert isinstance(error, NotFinite) and error.epoch == 1 and error.step == 0
    for i in (0, 2, 3):
        sound, beside = ([x for j, x in outcomes[s] if j == i] for s in (False, True))
        assert beside[0]["validation"] == sound[0]["validation"]
        elbos = [[line["validation"]["elbo"] for line in lines] for lines in (beside, sound)]
        assert elbos[0] == pytest.approx(elbos[1], rel=1e-5)


def test_a_state_that_was_in_a_stack_goes_on_alone():
    """Its tensors are ordinary ones: what it kept is put back into a new state."""
    (kept, *_), whole = states(epochs=4), states(epochs=4)[0]
    stack = Stack([kept, *states(REPLICAS[1:2], epochs=4)])
    for _ in range(2):
        list(stack.run_epoch())
    other = states(REPLICAS[:1], epochs=4)[0]
    other.check(kept.progress)
    other.restore(kept.progress, kept.tensors)
    rest = list(other.epochs())
    expected = list(whole.epochs())
    assert [line["epoch"] for line in rest] == [3, 4]
    for one, line in zip(expected[2:], rest, strict=True):
        assert line["validation"]["elbo"] == pytest.approx(one["validation"]["elbo"], rel=1e-4)


def test_states_that_were_restored_are_stacked_where_they_were():
    whole, cut = states(epochs=4), states(epochs=4)
    stack = Stack(cut)
    list(stack.run_epoch())
    again = states(epochs=4)
    for new, old in zip(again, cut, strict=True):
        new.restore(old.progress, old.tensors)
    for stacked in (Stack(whole), Stack(again)):
        while stacked.states:
            list(stacked.run_epoch())
    for one, other in zip(whole, again, strict=True):
        assert one.progress.best_validation == other.progress.best_validation
        for name, weight in one.tensors["weights"].items():
            assert torch.equal(other.tensors["weights"][name], weight), name


class TestRefused:
    def test_a_network_of_other_layers(self):
        one = TrainingState(config(), few.batch_normalized(), digits(), [1.0, 1.0])
        with pytest.raises(Refused, match="replicas: the .* allowed: --network mlp or gated"):
            Stack([one])

    @pytest.mark.parametrize("name", ["lr", "samples", "batch_size", "epochs", "lookahead"])
    def test_other_settings(self, name):
        value = {"lr": 0.5}.get(name, 7)
        pair = [*states(REPLICAS[:1]), *states(REPLICAS[1:2], **{name: value})]
        with pytest.raises(Refused, match=f"replicas: {name} is {value} of one and .* of anothe"):
            Stack(pair)

    @pytest.mark.parametrize("other", [{"shells": "6"}, {"shells": "5", "hidden": (16, 8)}])
    def test_other_widths(self, other):
        with pytest.raises(Refused, match="replicas: the networks have other widths"):
            Stack([*states(REPLICAS[:1]), *states([other])])

    def test_other_epochs(self):
        pair = states(REPLICAS[:2])
        pair[0].run_epoch()
        with pytest.raises(Refused, match="or are at other epochs; allowed: "):
            Stack(pair)
