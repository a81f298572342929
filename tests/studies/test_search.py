"""The search for a break-up: what it costs, what it compares, and that it goes on where it was."""

import json

import pytest
from few import digits
from small import Ear

from hvae import data, files
from hvae.cli import main
from hvae.errors import Refused
from hvae.runs.metrics import read_metrics
from hvae.studies import break_ups, table
from hvae.studies.engines import Engine, Task
from hvae.studies.folder import StudyFolder
from hvae.studies.search import Search, best_elbo, search
from hvae.studies.sweep import sweep
from hvae.studies.work import Failure, work

pytest.importorskip("optuna", reason='Optuna is not installed: pip install "hvae[search]"')

SETTINGS = {
    **{"hidden": (8,), "epochs": 12, "warmup": 4, "lookahead": 12, "batch_size": 50},
    **{"checkpoint_every": 1e9, "lr": 0.01},
}


def wanted(**more):
    return Search(**{"settings": SETTINGS, "seeds": (1, 2), "budget": 3.0, "size": 12, **more})


@pytest.fixture(autouse=True)
def few_digits(monkeypatch):
    monkeypatch.setattr(data, "load", lambda name, folder=None, **options: digits())


class Here(Engine):
    """Does jobs in this process; after `most` of them it fails every one."""

    def __init__(self, most=10**9):
        self.jobs, self.most = [], most

    def submit(self, job):
        if len(self.jobs) >= self.most:
            return Over(Failure("no disk", lost=False))
        self.jobs.append(job)
        work(job)
        return Over(None)

    def close(self):
        pass


class Over(Task):
    def __init__(self, failure):
        self._failure = failure

    def over(self):
        return True

    def failure(self):
        return self._failure


class Listener(Ear):
    def __init__(self):
        super().__init__()
        self.halvings = []

    def halved(self, document):
        self.halvings.append(document)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder, listener = tmp_path_factory.mktemp("search") / "found", Listener()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(data, "load", lambda name, folder=None, **options: digits())
        outcome = search(wanted(), folder, Here(), observer=listener)
    return StudyFolder(folder), outcome, listener


class TestBudget:
    def test_the_papers_protocol(self):
        """At 8 full runs of 300 epochs: 18 to epoch 100, 6 to 150, 2 to the end."""
        found = Search(settings={}, seeds=(1, 2, 3))
        assert found.rungs == (100, 150, 300) and found.candidates == 18
        assert found.cost(18) == 18 * 100 + 6 * 50 + 2 * 150 == 2400

    @pytest.mark.parametrize("budget", [2.0, 3.5, 8.0, 20.0])
    def test_it_is_kept_and_used(self, budget):
        found = wanted(budget=budget)
        assert found.cost(found.candidates) <= budget * 12 < found.cost(found.candidates + 1)

    def test_no_halving_before_the_end_of_the_warmup(self):
        for settings in ({"epochs": 12, "warmup": 4}, {"epochs": 5, "warmup": 100}, {"warmup": 0}):
            found = Search(settings=settings, seeds=(1,))
            epochs = settings.get("epochs", 300)
            assert found.rungs[0] >= min(settings.get("warmup", 100), epochs)
            assert found.rungs[-1] == epochs and sorted(set(found.rungs)) == list(found.rungs)

    @pytest.mark.parametrize(
        ("change", "said"),
        [
            ({"budget": 1.0}, "--budget: 1.0 is not allowed; allowed: 2 to 1000 full runs"),
            ({"budget": float("nan")}, "--budget: nan"),
            ({"size": 3}, "--size: 3 is not allowed"),
            ({"shells": ("1",)}, "'1' is too small"),
            ({"shells": tuple(str(n) for n in range(2, 12))}, "--budget: 3.0 .*more, for 10 cand"),
            ({"settings": {"lr": 0}}, "--lr: 0 is not allowed"),
        ],
    )
    def test_what_is_refused(self, change, said):
        with pytest.raises(Refused, match=said):
            wanted(**change)


class TestSearch:
    def test_candidates_are_different_spaces_of_the_size(self, whole):
        study, _, _ = whole
        first, second = study.search()["drawn"]
        assert len(first) == len(second) == 3
        assert len({*first, *second}) == 6
        for shells in (*first, *second):
            assert sum(map(int, shells.split(","))) == 12

    def test_the_better_third_goes_on(self, whole):
        study, _, listener = whole
        plan, document = study.plan(), study.search()
        assert document["halvings"] == listener.halvings
        assert [halving["epoch"] for halving in listener.halvings] == [4, 6, 12]
        names = {run.config.shells: run for run in plan.runs if run.config.seed == 0}
        left = set(names)
        for halving, count in zip(listener.halvings, (2, 1, 1), strict=True):
            assert set(halving["validation_elbo"]) == left
            for shells, elbo in halving["validation_elbo"].items():
                lines = read_metrics(study.run(names[shells].name) / "metrics.jsonl")
                elbos = [line["validation"]["elbo"] for line in lines[3 : halving["epoch"]]]
                assert elbo == max(elbos)
            order = sorted(left, key=halving["validation_elbo"].get, reverse=True)
            assert halving["kept"] == order[:count]
            left = set(order[:count])
        assert document["found"] == listener.halvings[-1]["kept"][0]

    def test_it_costs_no_more_than_the_budget(self, whole):
        study, _, _ = whole
        runs = [run for run in study.plan().runs if run.config.seed == 0]
        epochs = [len(read_metrics(study.run(run.name) / "metrics.jsonl")) for run in runs]
        assert sorted(epochs) == [4, 4, 4, 4, 6, 12] and sum(epochs) <= 3 * 12

    def test_what_is_found_alone_sees_the_test_split_and_in_the_end(self, whole):
        study, outcome, _ = whole
        assert outcome["failed"] == {} and outcome["chosen"]["found"]
        found = outcome["chosen"]["found"]
        evaluations = {path.parent.name for path in study.path.rglob("eval-*")}
        assert evaluations == {f"digits-{found}-seed1", f"digits-{found}-seed2"}
        made = (study.path / "search.json").stat().st_mtime_ns
        assert all(path.stat().st_mtime_ns > made for path in study.path.rglob("eval-*"))

    def test_its_table(self, whole):
        study, outcome, _ = whole
        found = table.gather([study.path])
        (row,) = found.rows
        assert row.settings["shells"] == outcome["chosen"]["found"]
        assert [run.config.seed for run in row.runs] == [1, 2]
        assert "found by validation among 6 candidates" in found.notes[0]
        assert len(table.halvings(found).rows) == 6 + 2 + 1
        assert main(["table", str(study.path), "--runs"]) == 0

    def test_it_goes_on_where_it_was(self, whole, tmp_path):
        """Whatever fails: after any number of jobs; and it finds the same."""
        study, outcome, _ = whole
        for most in (0, 1, 2, 4, 7, 9, 10):
            engine = Here(most=max(0, most))
            search(wanted(), tmp_path / "study", engine)
            assert len(engine.jobs) <= most
        again = search(wanted(), tmp_path / "study", Here())
        assert again["chosen"] == outcome["chosen"]
        assert search(wanted(), tmp_path / "study", Here(most=0)) == again

    def test_the_seed_draws_the_candidates(self, whole, tmp_path):
        study, _, _ = whole
        search(wanted(seed=5), tmp_path / "other", Here(most=3))
        drawn = StudyFolder(tmp_path / "other").search()["drawn"]
        assert set(drawn[0]) != set(study.search()["drawn"][0])

    def test_a_candidate_that_diverges_is_the_last(self, tmp_path):
        rates = {**SETTINGS, "lr": 1e30}
        outcome = search(wanted(settings=rates, budget=2.0), tmp_path / "s", Here())
        assert outcome["completed"] == 0 and outcome["diverged"] > 0
        halvings = StudyFolder(tmp_path / "s").search()["halvings"]
        assert set(halvings[0]["validation_elbo"].values()) == {None}

    def test_named_candidates(self, tmp_path):
        shells = ("4", "2,2", " 3,e2")
        outcome = search(wanted(shells=shells, settings=SETTINGS), tmp_path / "s", Here())
        document = outcome["chosen"]
        assert set(document["halvings"][0]["validation_elbo"]) == {"4", "2,2", "3,e2"}
        assert document["found"] in {"4", "2,2", "3,e2"}


def test_a_study_is_no_search(whole, tmp_path):
    study, _, _ = whole
    with pytest.raises(Refused, match="is of a search; allowed: --search, or a new folder"):
        sweep(wanted().example, study.path, Here())
    with pytest.raises(Refused, match="holds another study or search"):
        search(wanted(budget=4.0), study.path, Here())
    sweep(wanted().example, tmp_path / "study", Here())
    with pytest.raises(Refused, match="holds another study or search"):
        search(wanted(), tmp_path / "study", Here())


def test_damage_is_named(whole, tmp_path):
    study, _, _ = whole
    document = {**study.search(), "search": {"settings": 3}}
    (tmp_path / "s").mkdir()
    files.write_json(tmp_path / "s" / "search.json", document)
    with pytest.raises(Refused, match="search.json: damaged: it is not a search"):
        search(wanted(), tmp_path / "s", Here())


def test_warmup_figures_do_not_count(whole):
    """A large ELBO of an epoch before the end of the warm-up is none that may be chosen."""
    study, _, _ = whole
    run = next(run for run in study.plan().runs if run.config.seed == 0)
    lines = read_metrics(study.run(run.name) / "metrics.jsonl")
    assert best_elbo(study, run, 4) == lines[3]["validation"]["elbo"]


def test_the_command(tmp_path, capfd, monkeypatch):
    monkeypatch.setattr("hvae.cli.sweep.open_engine", lambda chosen: Here())
    typed = ["--search", "--budget", "2", "--size", "8", "--seeds", "1", "--iw-samples", "2"]
    typed += ["--epochs", "6", "--warmup", "2", "--hidden", "8", "--out", str(tmp_path / "s")]
    assert main(["sweep", *typed]) == 0
    out, err = capfd.readouterr()
    found = StudyFolder(tmp_path / "s").search()["found"]
    assert f"found {found}\n" in out and "candidates go on: " in err
    assert main(["sweep", "--resume", str(tmp_path / "s"), "--json", "--quiet"]) == 0
    assert json.loads(capfd.readouterr().out)["chosen"]["found"] == found
    assert main(["sweep", *typed, "--dry-run", "--json"]) == 0
    dry = json.loads(capfd.readouterr().out)
    assert dry["rungs"] == [2, 3, 6] and dry["epochs"] <= 12 and dry["seconds"] > 0


def test_spaces_become_less_even():
    """The power 0 is balanced, 1 leveled; a larger one makes the last shell larger."""
    assert break_ups.graded(41, 4, 0) == break_ups.balanced(41, 4)
    assert break_ups.graded(41, 4, 1) == break_ups.leveled(41, 4)
    assert break_ups.graded(41, 4, 3) == (2, 5, 11, 23)
    last = [break_ups.graded(41, 6, power / 4)[-1] for power in range(13)]
    assert last == sorted(last) and last[-1] > last[0]
