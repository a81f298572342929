"""Studies in real processes: they end the same whatever is killed on the way."""

import contextlib
import json
import os
import random
import signal
import subprocess

import pytest
import thorough
from processes import outcome, tree
from small import SHELLS, SMALL, TYPED, Ear, begin, chosen, end, epochs, left, owner, small, wait

import hvae
from hvae import files
from hvae.cli import main
from hvae.errors import EnvironmentProblem, Refused
from hvae.runs import lock
from hvae.studies.engines import Engine, Task
from hvae.studies.engines.local import LocalEngine
from hvae.studies.folder import StudyFolder
from hvae.studies.sweep import sweep
from hvae.studies.work import Failure, Job, work

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A study that nothing has interrupted."""
    folder = tmp_path_factory.mktemp("studies") / "whole"
    ear = Ear()
    found = sweep(small(), folder, LocalEngine(2), slots=2, observer=ear)
    return folder, found, ear


def test_a_study_of_two_compositions_and_two_seeds(whole):
    folder, found, ear = whole
    names = [f"digits-{shells}-seed{seed}" for seed in (1, 2) for shells in SHELLS]
    assert found == {
        **{"folder": str(folder), "runs": 4, "completed": 4, "diverged": 0},
        **{"failed": {}, "chosen": None},
    }
    assert set(ear.ended) == set(names) and ear.failures == []
    for name in names:
        run = folder / "runs" / name
        document = files.read_json(run / f"eval-test-3-{name[-1]}.json")
        assert ear.ended[name]["ll"] == document["ll"]
        assert ear.ended[name]["validation_elbo"] < 0
        assert "epoch 4/4  validation ELBO" in (folder / "logs" / f"{name}.log").read_text()
    last = ear.standings[-1]
    assert (last.runs, last.ended, last.active, last.epochs, last.seconds_left) == (4, 4, 0, 16, 0)


def test_a_run_of_it_is_an_ordinary_run(whole, tmp_path):
    folder, _, _ = whole
    config = hvae.TrainConfig(**SMALL, shells="2,e2", seed=2)
    hvae.train(config, tmp_path / "alone")
    hvae.evaluate_run(tmp_path / "alone", samples=3)
    name = "digits-2,e2-seed2"
    assert outcome(tmp_path / "alone") == outcome(folder / "runs" / name)
    evaluation = files.read_json(tmp_path / "alone" / "eval-test-3-2.json")
    assert left(folder)[name][1]["ll"] == evaluation["ll"]


def test_its_table(whole, capfd):
    folder, _, ear = whole
    assert main(["table", str(folder), "--format", "json"]) == 0
    rows = json.loads(capfd.readouterr().out)["rows"]
    assert [row["shells"] for row in rows] == list(SHELLS)
    for row in rows:
        names = [f"digits-{row['shells']}-seed{seed}" for seed in (1, 2)]
        assert row["ll"]["values"] == [ear.ended[name]["ll"] for name in names]
        assert row["elbo"]["values"] == [ear.ended[name]["elbo"] for name in names]
        assert (row["seeds"], row["diverged"], row["not_ended"]) == ([1, 2], 0, 0)


def test_its_picture(whole, capfd, tmp_path):
    folder, _, _ = whole
    assert main(["plot", str(folder), "--out", str(tmp_path), "--json"]) == 0
    written = json.loads(capfd.readouterr().out)["files"]
    assert written == [str(tmp_path / f"ll-by-shells{end}") for end in (".png", ".svg")]
    assert main(["plot", str(folder), "--rows", "3"]) == 2
    assert "--rows is not allowed with the folder of a sweep." in capfd.readouterr().err


class NoEngine(Engine):
    """Takes nothing."""

    def submit(self, job):
        raise AssertionError(f"{job} is done")

    def close(self):
        pass


def test_what_is_done_is_not_done_again(whole):
    folder, found, _ = whole
    before = tree(folder)
    assert sweep(small(), folder, NoEngine()) == found
    assert tree(folder) == before


def test_what_is_lost_is_done_again_and_nothing_else(whole, tmp_path):
    """An evaluation that is damaged, a run without its result, a run that is gone."""
    folder, _, _ = whole
    again = tmp_path / "again"
    os.system(f"cp -r {folder} {again}")
    (again / "runs/digits-4-seed1/eval-test-3-1.json").write_text("{")
    (again / "runs/digits-4-seed2/result.json").unlink()
    os.system(f"rm -r {again}/runs/digits-2,e2-seed1")
    ear = Ear()
    sweep(small(), again, LocalEngine(2), observer=ear)
    assert set(ear.ended) == {"digits-4-seed1", "digits-4-seed2", "digits-2,e2-seed1"}
    assert left(again) == left(folder)


def test_more_seeds_and_compositions_are_added(whole, tmp_path):
    folder, _, _ = whole
    again = tmp_path / "again"
    os.system(f"cp -r {folder} {again}")
    ear = Ear()
    found = sweep(small(shells=("4",), seeds=(3,)), again, LocalEngine(2), observer=ear)
    assert found["runs"] == 5 and set(ear.ended) == {"digits-4-seed3"}


def test_a_run_that_diverges_is_a_result(tmp_path):
    ear = Ear()
    plan = small(shells=("4",), seeds=(1,), varied={"lr": ("0.001", "1e30")})
    found = sweep(plan, tmp_path / "study", LocalEngine(2), observer=ear)
    assert (found["completed"], found["diverged"], found["failed"]) == (1, 1, {})
    assert ear.ended["digits-4-lr=1e30-seed1"]["state"] == "diverged"
    assert ear.standings[-1].diverged == 1
    assert sweep(plan, tmp_path / "study", NoEngine()) == found


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """A study in which validation has chosen a learning rate."""
    folder = tmp_path_factory.mktemp("select") / "study"
    plan = small(seeds=(1, 2), select={"lr": ("1e-5", "0.01", "1e30")})
    ear = Ear()
    return folder, plan, sweep(plan, folder, LocalEngine(2), observer=ear), ear


class TestSelection:
    def test_the_best_mean_of_validation_is_chosen(self, study):
        folder, plan, found, ear = study
        assert found["chosen"] == chosen(folder) and ear.choices == [found["chosen"]]
        assert [choice["shells"] for choice in found["chosen"]["choices"]] == list(SHELLS)
        for choice in found["chosen"]["choices"]:
            best, other, lost = choice["candidates"]
            assert choice["chosen"] == best["values"] == {"lr": "0.01"}
            assert best["validation_elbo"] > other["validation_elbo"] and best["completed"] == 2
            assert lost == {
                **{"values": {"lr": "1e30"}, "runs": 2},
                **{"completed": 0, "validation_elbo": None},
            }
            results = [StudyFolder(folder).result(name) for name in choice["runs"]]
            mean = sum(result["validation"]["elbo"] for result in results) / 2
            assert best["validation_elbo"] == pytest.approx(mean, abs=1e-12)

    def test_only_what_was_chosen_sees_the_test_split_and_after_the_choice(self, study):
        folder, plan, found, _ = study
        evaluations = sorted(folder.rglob("eval-*"))
        names = {name for choice in found["chosen"]["choices"] for name in choice["runs"]}
        assert {path.parent.name for path in evaluations} == names
        assert len(evaluations) == 4
        made = (folder / "chosen.json").stat().st_mtime_ns
        assert all(path.stat().st_mtime_ns > made for path in evaluations)
        assert all(path.stat().st_mtime_ns < made for path in folder.rglob("result.json"))

    def test_a_choice_is_not_made_again(self, study):
        """Not even by what has changed since."""
        folder, plan, found, _ = study
        assert sweep(plan, folder, NoEngine())["chosen"] == found["chosen"]
        document = chosen(folder)
        document["choices"][0]["chosen"] = {"lr": "1e-5"}
        document["choices"][0]["runs"] = ["digits-4-lr=1e-5-seed1", "digits-4-lr=1e-5-seed2"]
        files.write_json(folder / "chosen.json", document)
        ear = Ear()
        sweep(plan, folder, LocalEngine(2), observer=ear)
        assert set(ear.ended) == set(document["choices"][0]["runs"])


class Scripted(Engine):
    """Does the jobs in this process, but for those that a script fails."""

    def __init__(self, *script):
        self.script, self.jobs, self.stopped = list(script), [], False

    def submit(self, job):
        self.jobs.append(job)
        failure = self.script.pop(0) if self.script else None
        if failure is None:
            work(job)
        return Over(failure)

    def close(self):
        self.stopped = True


class Over(Task):
    def __init__(self, failure):
        self._failure = failure

    def over(self):
        return True

    def failure(self):
        return self._failure


LOST = Failure("its machine was lost", lost=True)


class TestFailures:
    def one(self, folder, *script):
        engine, ear = Scripted(*script), Ear()
        plan = small(shells=("4",), seeds=(1,))
        return sweep(plan, folder, engine, observer=ear), engine, ear

    def test_a_lost_worker_is_told_of_and_replaced(self, tmp_path):
        found, engine, ear = self.one(tmp_path / "study", LOST, LOST)
        assert found["completed"] == 1 and found["failed"] == {} and engine.stopped
        assert ear.failures == [("digits-4-seed1", LOST.text, True)] * 2

    def test_but_not_for_ever(self, tmp_path):
        """Three in a row, with no epoch between them; the next command tries again."""
        found, engine, ear = self.one(tmp_path / "study", LOST, LOST, LOST)
        assert found["failed"] == {"digits-4-seed1": LOST.text} and len(engine.jobs) == 3
        assert [again for _, _, again in ear.failures] == [True, True, False]
        assert ear.standings[-1].failed == 0 or ear.standings[-1].seconds_left is None
        assert self.one(tmp_path / "study")[0]["completed"] == 1

    def test_what_would_fail_again_is_not_tried_again(self, tmp_path):
        found, engine, ear = self.one(tmp_path / "study", Failure("no data", lost=False))
        assert found["failed"] == {"digits-4-seed1": "no data"} and len(engine.jobs) == 1
        assert ear.failures == [("digits-4-seed1", "no data", False)]

    def test_an_engine_that_leaves_nothing_is_told_of(self, tmp_path):
        class Idle(Scripted):
            def submit(self, job):
                return Over(None)

        ear = Ear()
        found = sweep(small(shells=("4",), seeds=(1,)), tmp_path / "s", Idle(), observer=ear)
        assert "left nothing" in found["failed"]["digits-4-seed1"]

    def test_nothing_is_chosen_while_a_run_has_failed(self, tmp_path):
        plan = small(shells=("4",), seeds=(1,), select={"lr": ("0.1", "0.01")})
        engine = Scripted(Failure("no data", lost=False))
        found = sweep(plan, tmp_path / "study", engine)
        assert found["chosen"] is None and len(found["failed"]) == 1
        assert not (tmp_path / "study/chosen.json").exists()
        assert list((tmp_path / "study").rglob("eval-*")) == []

    def test_a_run_that_cannot_be_trained_here(self, tmp_path):
        """In a process of its own: the last line of its log is why."""
        study = tmp_path / "study"
        plan = small(shells=("4",), seeds=(1,), device="cuda:99")
        found = sweep(plan, study, LocalEngine(2))
        assert "--device: cuda:99" in found["failed"]["digits-4-seed1"]
        assert "--device: cuda:99" in (study / "logs/digits-4-seed1.log").read_text()


class TestWorker:
    def test_it_refuses_a_folder_that_holds_another_run(self, whole, tmp_path):
        folder, _, _ = whole
        again = tmp_path / "again"
        os.system(f"cp -r {folder} {again}")
        os.system(f"rm -r {again}/runs/digits-4-seed1 {again}/runs/digits-4-seed2/result.json")
        (again / "runs/digits-4-seed2").rename(again / "runs/digits-4-seed1")
        with pytest.raises(Refused, match="holds a run with other settings; allowed: that of"):
            work(Job(str(again), ("digits-4-seed1",)))

    def test_it_pauses_after_an_epoch_and_goes_on(self, whole, tmp_path):
        folder, _, _ = whole
        study = StudyFolder(tmp_path / "study")
        with study.led():
            study.save_plan(small())
        run = study.run("digits-4-seed1")
        for until, there in ((2, 2), (2, 2), (1, 2), (3, 3)):
            work(Job(str(study.path), ("digits-4-seed1",), evaluate=False, until=until))
            assert epochs(run) == there and not (run / "result.json").exists()
        work(Job(str(study.path), ("digits-4-seed1",), until=4))
        name = "digits-4-seed1"
        assert outcome(run) == outcome(folder / "runs" / name)


class Killer(Ear):
    """Kills the worker of the first run as soon as an epoch has ended."""

    def __init__(self, folder, number):
        super().__init__()
        self.run, self.number, self.done = folder / "runs/digits-4-seed1", number, False

    def standing(self, standing):
        if not self.done:
            wait(lambda: epochs(self.run) > 0)
            os.kill(owner(self.run), self.number)
            self.done = True


def longer():
    """One run that takes a second or two, so that it can be killed on the way."""
    return small(shells=("4",), seeds=(1,), epochs=60, lookahead=60)


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    folder = tmp_path_factory.mktemp("longer") / "study"
    sweep(longer(), folder, LocalEngine(2))
    return folder


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_killed_worker(alone, tmp_path, number):
    """It is told of, and the study ends as one in which it was not killed."""
    killer = Killer(tmp_path / "killed", number)
    found = sweep(longer(), tmp_path / "killed", LocalEngine(2), observer=killer)
    why = f"its process was ended by {number.name}"
    assert killer.failures == [("digits-4-seed1", why, True)] and found["completed"] == 1
    assert left(tmp_path / "killed") == left(alone)


class TestCommand:
    """`hvae sweep` as a process that is killed."""

    def test_kills_of_the_whole_group_lose_nothing(self, whole, tmp_path):
        folder, _, _ = whole
        chance = random.Random(7)
        for _ in range(thorough.count(2, 10)):
            process = begin(*TYPED, "--out", "study", cwd=tmp_path)
            wait((tmp_path / "study/sweep.json").exists)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(chance.uniform(0.1, 2.5))
            end(process)
        process = begin("--resume", "study", cwd=tmp_path)
        out, err = process.communicate(timeout=120)
        assert process.returncode == 0, err
        assert "4 runs: 4 completed, 0 diverged\nnext  hvae table " in out
        assert left(tmp_path / "study") == left(folder)

    def test_a_killed_leader_takes_its_workers_along(self, tmp_path):
        """They keep their last epoch, and the study goes on."""
        typed = [*TYPED, "--epochs", "100000", "--lookahead", "100000"]
        process = begin(*typed, "--out", "study", cwd=tmp_path)
        run = tmp_path / "study/runs/digits-4-seed1"
        wait(lambda: epochs(run) > 1)
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()
        wait(lambda: not lock.is_owned(run))
        assert not (run / "result.json").exists()
        assert "interrupted; " in (tmp_path / "study/logs/digits-4-seed1.log").read_text()

    @pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
    def test_a_signal_keeps_everything(self, tmp_path, number, status):
        if number == thorough.count(signal.SIGTERM, None):
            pytest.skip("SIGTERM takes the same way: with --thorough")
        typed = [*TYPED, "--epochs", "100000", "--lookahead", "100000"]
        process = begin(*typed, "--out", "study", cwd=tmp_path)
        run = tmp_path / "study/runs/digits-4-seed1"
        wait(lambda: epochs(run) > 1)
        os.kill(process.pid, number)
        _, err = process.communicate(timeout=60)
        assert process.returncode == status
        assert err.splitlines()[-1] == (
            "hvae: error: interrupted; all is kept; to go on: hvae sweep --resume study"
        )
        assert not lock.is_owned(run) and not lock.is_owned(tmp_path / "study")
        assert "interrupted; " in (tmp_path / "study/logs/digits-4-seed1.log").read_text()


def test_one_leader_at_a_time(whole, capfd):
    folder, _, _ = whole
    with lock.owned(folder), pytest.raises(EnvironmentProblem, match="belongs to process"):
        sweep(small(), folder, NoEngine())
    with lock.owned(folder):
        assert main(["sweep", "--resume", str(folder)]) == 4


@pytest.mark.parametrize("there", ["file", "something/file"])
def test_a_folder_that_is_none_of_a_study(there, tmp_path):
    path = tmp_path / there
    path.parent.mkdir(exist_ok=True)
    path.touch()
    with pytest.raises(Refused, match="is not the folder of a sweep; allowed: a new or empty"):
        sweep(small(), tmp_path / there.partition("/")[0], NoEngine())
    assert path.read_bytes() == b""


def test_jobs():
    with pytest.raises(Refused, match="--jobs: 0 is not allowed; allowed: an integer from 1 to"):
        LocalEngine(0)
