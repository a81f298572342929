"""hvae.training.replicas: runs that are trained together leave the folders of ordinary runs."""

from dataclasses import replace

import pytest
from few import config, digits
from processes import lines, timeless, tree

import hvae
from hvae import data, files
from hvae.errors import Diverged, Interrupted, Refused
from hvae.evaluation.of_run import evaluate_run
from hvae.observer import Observer
from hvae.runs import load_run, products, read_config
from hvae.runs.checkpoints import Checkpoints
from hvae.training import replica_rates
from hvae.training.replicas import OWN, train_replicas

EPOCHS = 4
RUNS = [
    {"seed": 1, "shells": "3,e2"},
    {"seed": 2, "shells": "3,e2", "kl_weights": "1,0.5"},
    {"seed": 1, "shells": "5", "parameterization": "paper"},
]


@pytest.fixture(autouse=True)
def few_digits(monkeypatch, tmp_path):
    monkeypatch.setattr(data, "load", lambda name, folder=None, **options: digits())
    monkeypatch.chdir(tmp_path)


def configs(**settings):
    return [config(**{"epochs": EPOCHS, "checkpoint_every": 0, **own, **settings}) for own in RUNS]


class Cut(Observer):
    """Interrupts all of it at the end of an epoch."""

    def __init__(self, last):
        self.last = last

    def epoch(self, line, epochs):
        if line["epoch"] == self.last:
            raise KeyboardInterrupt


def alike(one, other, relative=1e-4):
    """The figures of every epoch, to what the order of sums makes of them."""
    for a, b in zip(lines(one), lines(other), strict=True):
        for part in ("train", "validation"):
            for name, value in a[part].items():
                assert b[part][name] == pytest.approx(value, rel=relative, abs=1e-4), name


def test_every_folder_is_that_of_an_ordinary_run(tmp_path):
    results = train_replicas(configs(), ["a", "b", "c"])
    for name, settings, result in zip("abc", configs(), results, strict=True):
        alone = hvae.train(settings, f"alone-{name}")
        folder, single = tmp_path / name, tmp_path / f"alone-{name}"
        alike(single, folder)
        assert {p.relative_to(folder) for p in tree(folder)} == {
            p.relative_to(single) for p in tree(single)
        }
        assert read_config(folder) == read_config(single)
        assert result == {"run": name, **files.read_json(folder / "result.json")}
        assert result.keys() == alone.keys()
        assert (result["replicas"], alone["replicas"]) == (3, 1)
        same = ("completed", "stopped", "epochs", "steps", "best_epoch", "parameters")
        assert {key: result[key] for key in same} == {key: alone[key] for key in same}
        ours, theirs = (evaluate_run(run, samples=20)["ll"] for run in (folder, single))
        assert ours == pytest.approx(theirs, rel=1e-4)
        assert load_run(folder).config.shells == settings.shells


def test_each_tells_its_own_observer():
    told = [[] for _ in RUNS]

    class Ear(Observer):
        def __init__(self, number):
            self.number = number

        def begun(self, run):
            told[self.number].append(run)

        def epoch(self, line, epochs):
            told[self.number].append((line["epoch"], epochs))

    train_replicas(configs(), ["a", "b", "c"], observers=[Ear(i) for i in range(3)])
    for name, heard in zip("abc", told, strict=True):
        assert heard == [name, *((epoch, EPOCHS) for epoch in range(1, EPOCHS + 1))]


def test_what_was_cut_short_goes_on_to_the_same_bits(tmp_path):
    """With the same runs in the stack; nothing of it is trained twice."""
    whole = train_replicas(configs(), ["a", "b", "c"])
    with pytest.raises(Interrupted, match="interrupted; 3 of 3 replicas are kept; the same"):
        train_replicas(configs(), ["x", "y", "z"], observers=[Observer(), Observer(), Cut(2)])
    assert not (tmp_path / "x" / "result.json").exists()
    (newest, *_) = Checkpoints(tmp_path / "z").paths()
    assert newest.name == "epoch-000002.safetensors"
    again = train_replicas(configs(), ["x", "y", "z"])
    for one, other in zip(("a", "b", "c"), ("x", "y", "z"), strict=True):
        assert lines(tmp_path / one) == lines(tmp_path / other)
        weights = [load_run(run).model.state_dict() for run in (one, other)]
        assert all((weights[0][name] == weights[1][name]).all() for name in weights[0])
    gone = ("run", "versions")
    for one, other in zip(whole, again, strict=True):
        assert {k: v for k, v in timeless(one).items() if k not in gone} == {
            k: v for k, v in timeless(other).items() if k not in gone
        }


def test_runs_at_different_epochs_go_on_in_stacks_of_their_own(tmp_path):
    """One was never begun, one was cut short alone, one is complete and is not touched."""
    done, cut, new = configs()
    hvae.train(done, "done")
    with pytest.raises(Interrupted):
        hvae.train(cut, "cut", observer=Cut(2))
    before = tree(tmp_path / "done")
    results = train_replicas([done, cut, new], ["done", "cut", "new"])
    assert [result["epochs"] for result in results] == [EPOCHS] * 3
    assert tree(tmp_path / "done") == before
    for name, settings in (("cut", cut), ("new", new)):
        hvae.train(settings, f"alone-{name}")
        alike(tmp_path / f"alone-{name}", tmp_path / name)


def test_one_of_them_can_be_resumed_alone(tmp_path):
    with pytest.raises(Interrupted):
        train_replicas(configs(), ["a", "b", "c"], observers=[Cut(3), Observer(), Observer()])
    hvae.resume("b")
    hvae.train(configs()[1], "alone")
    alike(tmp_path / "alone", tmp_path / "b")


def test_a_run_that_ended_but_for_its_result_is_concluded(tmp_path):
    train_replicas(configs(), ["a", "b", "c"])
    (tmp_path / "b" / "result.json").unlink()
    before = lines(tmp_path / "b")
    results = train_replicas(configs(), ["a", "b", "c"])
    assert results[1]["completed"] and lines(tmp_path / "b") == before


def test_runs_that_diverge_say_so_and_the_others_go_on(tmp_path, monkeypatch):
    original = replica_rates.open_state

    def spoiled(settings, *rest, **more):
        state = original(settings, *rest, **more)
        if settings.seed == 2:
            state.model.decoder[0].bias.data[0] = float("inf")
        return state

    monkeypatch.setattr("hvae.training.replicas.open_state", spoiled)
    results = train_replicas(configs(), ["a", "b", "c"])
    assert [result["completed"] for result in results] == [True, False, True]
    assert (results[1]["stopped"], results[1]["diverged"]["epoch"]) == ("diverged", 1)
    assert train_replicas(configs(), ["a", "b", "c"])[1]["completed"] is False
    with pytest.raises(Diverged):
        hvae.resume("b")


class TestRefused:
    """Before anything is written."""

    def check(self, settings, folders, message, tmp_path):
        before = tree(tmp_path)
        with pytest.raises(Refused, match=message) as refused:
            train_replicas(settings, folders)
        assert "\n" not in str(refused.value) and "allowed: " in str(refused.value)
        assert tree(tmp_path) == before

    @pytest.mark.parametrize(
        ("name", "value"), [("lr", 0.1), ("epochs", 9), ("hidden", (8,)), ("dataset", "caltech")]
    )
    def test_settings_that_replicas_share(self, tmp_path, name, value):
        other = replace(configs()[1], **{name: value})
        message = f"replicas: {name} is .* allowed: replicas that differ in {', '.join(OWN)}"
        self.check([configs()[0], other], ["a", "b"], message, tmp_path)

    def test_a_latent_space_of_another_size(self, tmp_path):
        other = replace(configs()[1], shells="3,e4", kl_weights="auto")
        self.check([configs()[0], other], ["a", "b"], "the networks have other widths", tmp_path)

    def test_a_network_that_is_not_stacked(self, tmp_path):
        settings = configs(network="conv", hidden=(4, 8))
        self.check(settings, ["a", "b", "c"], "allowed: --network mlp or gated", tmp_path)

    def test_a_folder_of_another_run(self, tmp_path):
        hvae.train(replace(configs()[0], seed=77), "a")
        self.check(configs(), ["a", "b", "c"], "a holds a run with other settings", tmp_path)

    def test_a_folder_that_is_taken(self, tmp_path):
        (tmp_path / "b").mkdir()
        (tmp_path / "b" / "mine").touch()
        self.check(configs(), ["a", "b", "c"], "b is not an empty folder", tmp_path)

    def test_too_few_folders(self, tmp_path):
        self.check(configs(), ["a", "b"], "3 settings, 2 folders and 2 observers", tmp_path)

    def test_no_settings(self, tmp_path):
        self.check([], [], "replicas: no settings", tmp_path)


def test_what_multiplies_is_found_once_for_all(monkeypatch, tmp_path):
    monkeypatch.setattr(products, "chosen_products", lambda device: "onednn")
    train_replicas(configs(products="auto", epochs=1), ["a", "b", "c"])
    assert [read_config(tmp_path / name).products for name in "abc"] == ["onednn"] * 3
    assert train_replicas(configs(products="auto", epochs=1), ["a", "b", "c"])[0]["completed"]


class TestRates:
    def test_steps_are_counted_for_every_size(self):
        found = replica_rates.rates(configs(), digits(), (1, 3, 4), seconds=0.03)
        assert list(found) == [1, 3, 4] and all(0 < rate < 1e7 for rate in found.values())

    @pytest.mark.parametrize(
        ("measured", "many", "best"),
        [
            ({1: 10.0, 3: 20.0, 9: 30.0, 33: 60.0}, 40, 33),
            ({1: 10.0, 3: 20.0, 9: 30.0, 33: 60.0}, 12, 9),
            ({1: 10.0, 3: 20.0, 9: 20.5, 33: 60.0}, 40, 3),
            ({1: 10.0, 3: 10.4}, 40, 1),
            ({}, 2, 1),
        ],
    )
    def test_the_best_number_is_the_largest_that_gains(self, monkeypatch, measured, many, best):
        """Nothing is measured beyond the first that does not, or beyond the runs that there are."""
        asked = []

        def rates(settings, dataset, counts):
            asked.extend(counts)
            return {count: measured.get(count, 1.0) for count in counts}

        monkeypatch.setattr(replica_rates, "rates", rates)
        assert replica_rates.best_count([configs()[0]] * many) == best
        assert max(asked) <= many
