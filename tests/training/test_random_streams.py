"""The random numbers of a run: whose stream each of its draws is of, and from which place on."""

import itertools
from dataclasses import replace

import pytest
from few import config, digits

from hvae import data, evaluate_run, load_run, ops, random, train
from hvae.evaluation import elbo, importance

SEED, OTHER = 3, 11
PURPOSE = {
    random.key(seed, name): (name, seed) for name in random.PURPOSES for seed in (SEED, OTHER)
}


@pytest.fixture
def drawn(monkeypatch):
    """What every random op is asked for: (op, purpose, seed, step, row, sample)."""
    calls = []

    def watch(name):
        original = getattr(ops, name)

        def watched(*arguments, **options):
            rng = next(
                x for x in (*arguments, options.get("rng")) if getattr(x, "shape", None) == (4,)
            )
            key, *place = rng.tolist()
            calls.append((name, *PURPOSE[key], *place))
            return original(*arguments, **options)

        monkeypatch.setattr(ops, name, watched)

    for name in ("sample", "normal", "uniform"):
        watch(name)
    return calls


@pytest.fixture
def grey(monkeypatch):
    """A set that is binarized anew in every epoch."""
    few = replace(digits(), train=digits().train * 255, binarization="dynamic")
    monkeypatch.setattr(data, "load", lambda *arguments, **options: few)


def test_keys_of_purposes_and_seeds_all_differ():
    seeds = [*range(100), 2**63 - 1, 2**32, SEED + 2**32]
    pairs = list(itertools.product(seeds, random.PURPOSES))
    assert len({random.key(*pair) for pair in pairs}) == len(pairs) == 103 * len(random.PURPOSES)


def test_a_run_draws_from_the_stream_of_each_purpose(drawn, grey, monkeypatch, tmp_path):
    """130 rows in batches of 50, two epochs; validation of 40 rows in blocks of 25."""
    monkeypatch.setattr(elbo, "_ENCODER_ROWS", 25)
    train(config(epochs=2, seed=SEED, samples=2), tmp_path / "run")
    weights = [("uniform", "weights", SEED, layer, 0, 0) for layer in range(6)]

    def both(*place):
        return [("sample", *place), ("normal", *place)]

    def epoch(number, steps):
        yield ("uniform", "binarization", SEED, number, 0, 0)
        yield ("uniform", "shuffle", SEED, number, 0, 0)
        for step in steps:
            yield from both("train", SEED, step, 0, 0)
        for row in (0, 25):
            yield from both("validation", SEED, 0, row, 0)

    assert drawn == [*weights, *epoch(1, (0, 1, 2)), *epoch(2, (3, 4, 5))]


def test_the_use_of_a_run_draws_from_other_streams(drawn, grey, monkeypatch, tmp_path):
    """35 images in blocks of 20 with 7 samples in chunks of at most 4."""
    train(config(epochs=1, seed=SEED), tmp_path / "run")
    run = load_run(tmp_path / "run")
    monkeypatch.setattr(importance, "_ROWS", 20)
    points = 80 * importance.point_bytes(run.model)
    monkeypatch.setitem(importance._CHUNK_BYTES, "cpu", points)
    drawn.clear()
    evaluate_run(tmp_path / "run", samples=7, seed=OTHER)
    places = [(row, sample) for row, most in ((0, 4), (20, 5)) for sample in range(0, 7, most)]
    expected = [("evaluation", OTHER, 0, *place) for place in places]
    assert [call[1:] for call in drawn[::2]] == [call[1:] for call in drawn[1::2]] == expected
    drawn.clear()
    evaluate_run(tmp_path / "run", samples=1, split="train", seed=OTHER)
    assert drawn[0] == ("uniform", "binarization", SEED, 0, 0, 0)
    assert {call[1:4] for call in drawn[1:]} == {("evaluation", OTHER, 0)}
    drawn.clear()
    run.encode(digits().test, samples=2, seed=SEED)
    run.prior(5, seed=OTHER)
    assert drawn[:2] == [(op, "user", SEED, 0, 0, 0) for op in ("sample", "normal")]
    assert {call[1:] for call in drawn[2:]} == {("prior", OTHER, 0, 0, 0)}
    drawn.clear()
    run.encode(digits().test)
    run.concentration(digits().test)
    run.decode(run.encode(digits().test))
    assert drawn == []


def test_the_seed_of_a_stream_is_of_all_its_numbers():
    """Below 2^63, and another for each place; the same stream gives the same."""
    places = [
        random.stream(seed, purpose, step, row, sample)
        for seed, purpose in ((SEED, "user"), (OTHER, "user"), (SEED, "prior"))
        for step, row, sample in itertools.product((0, 1), repeat=3)
    ]
    seeds = [random.seed_of(place) for place in places]
    assert len(set(seeds)) == len(places)
    assert all(0 <= seed < 2**63 for seed in seeds)
    assert seeds == [random.seed_of(place.clone()) for place in places]
