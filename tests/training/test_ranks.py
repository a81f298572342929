"""Several processes that train one model together, as torchrun begins them."""

import os
import signal
import socket
import subprocess
import sys

import few
import pytest
import thorough
import torch
from few import digits, trainer
from processes import Command, end_all, hvae, lines, one_line, outcome, tree, until

from hvae import files, ops
from hvae.errors import EnvironmentProblem, Refused
from hvae.evaluation.elbo import elbo
from hvae.launcher import follows, launched, local_rank
from hvae.ranks import ALONE, LostRank, Ranks, _Group, _together, joined
from hvae.runs.checkpoints import Checkpoints
from hvae.training.protocol import TrainingState
from hvae.training.step import Trainer

EPOCHS = 3
SMALL = ["--shells", "3,e2", "--hidden", "16,12", "--warmup", "1", "--checkpoint-every", "0"]
SMALL += ["--threads", "1"]
TRAIN = ["train", *SMALL, "--epochs", str(EPOCHS), "--products", "torch", "--quiet"]
NAMES = ("LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT", "RANK", "WORLD_SIZE")


@pytest.fixture(autouse=True)
def ended():
    yield
    end_all()


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def together(count, *arguments, cwd):
    """The ranks of one command, begun with the variables that torchrun sets."""
    port = free_port()
    started = []
    for rank in range(count):
        values = (rank, "127.0.0.1", port, rank, count)
        env = {**os.environ, **dict(zip(NAMES, map(str, values), strict=True))}
        said = cwd / f"said-{rank}"
        said.mkdir(exist_ok=True)
        started.append(Command(*arguments, cwd=cwd, said=said, env=env))
    return started


def done(ranks):
    """The exit statuses."""
    return [rank.wait() for rank in ranks]


def close(run, other, relative=1e-4, epochs=None):
    """The figures agree, of all epochs or of the first ones: sums of float32 give 1e-6."""
    for one, two in zip(lines(run)[:epochs], lines(other)[:epochs], strict=True):
        for part in ("train", "validation"):
            for name, value in one[part].items():
                assert two[part][name] == pytest.approx(value, rel=relative, abs=1e-6), name


class Part(Ranks):
    """One of several ranks that hears nothing of the others."""

    def __init__(self, rank, count):
        self.rank, self.count = rank, count


class TestRandomNumbers:
    """To the bit those of one process: of every step, of the validation, of every row."""

    @staticmethod
    def of_training(ranks, batch_size):
        one = Trainer(few.vae(), 1e-3, batch_size, seed=3, samples=2, ranks=ranks)
        seen, original = [], one.model.terms

        def watched(rows, rng, samples):
            seen.append((rows, ops.uniform(rng, samples, len(rows), 4)))
            return original(rows, rng, samples)

        one.model.terms = watched
        one.epoch(digits().train, 1)
        one.epoch(digits().train, 2)
        return seen

    @pytest.mark.parametrize("batch_size", [50, 43], ids=["30 left", "1 left"])
    @pytest.mark.parametrize("count", [2, 4])
    def test_of_training(self, count, batch_size):
        alone = self.of_training(ALONE, batch_size)
        parts = [self.of_training(Part(rank, count), batch_size) for rank in range(count)]
        assert len(alone) == len(parts[0]) == 2 * -(-130 // batch_size)
        for (rows, numbers), *others in zip(alone, *parts, strict=True):
            assert torch.equal(rows, torch.cat([part for part, _ in others]))
            assert torch.equal(numbers, torch.cat([part for _, part in others], 1))

    @pytest.mark.parametrize("count", [2, 4])
    def test_of_validation(self, count):
        model = few.vae()
        found, original = [], model.terms

        def watched(rows, rng, **more):
            found.append((rows, ops.uniform(rng, 1, len(rows), 4)))
            return original(rows, rng, **more)

        model.terms = watched
        for part in (ALONE, *(Part(rank, count) for rank in range(count))):
            elbo(model, digits().validation, 5, part)
        (rows, numbers), *others = found
        assert torch.equal(rows, torch.cat([part for part, _ in others]))
        assert torch.equal(numbers, torch.cat([part for _, part in others], 1))


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """A run of one process."""
    home = tmp_path_factory.mktemp("alone")
    finished = hvae(*TRAIN, "--out", "run", cwd=home)
    assert finished.returncode == 0, finished.stderr
    return home / "run"


@pytest.mark.parametrize("count", [2, 4])
def test_the_figures_are_those_of_one_process(tmp_path, alone, count):
    ranks = together(count, *TRAIN, "--out", "run", cwd=tmp_path)
    assert done(ranks) == [0] * count, ranks[0].stderr
    close(alone, tmp_path / "run")
    names = [{path.relative_to(run) for path in tree(run)} for run in (alone, tmp_path / "run")]
    assert names[0] == names[1]
    result, single = (files.read_json(run / "result.json") for run in (tmp_path / "run", alone))
    assert (result["ranks"], single["ranks"]) == (count, 1)
    assert result["steps"] == single["steps"] and result["completed"]
    assert files.read_json(tmp_path / "run" / "config.json")["threads"] == 1
    assert "run   run" in ranks[0].stdout
    assert all(rank.stdout == rank.stderr == "" for rank in ranks[1:])


def test_a_rank_may_have_no_row_of_a_batch(tmp_path):
    """1297 rows in batches of 648 leave one, for one rank of three."""
    typed = [*TRAIN, "--batch-size", "648", "--prior", "mixture", "--prior-components", "5"]
    assert hvae(*typed, "--out", "alone", cwd=tmp_path).returncode == 0
    ranks = together(3, *typed, "--out", "run", cwd=tmp_path)
    assert done(ranks) == [0] * 3, ranks[0].stderr
    close(tmp_path / "alone", tmp_path / "run")


@pytest.mark.parametrize(("before", "after"), [(1, 2), (2, 1), (2, 3)])
def test_a_run_goes_on_with_another_number_of_ranks(tmp_path, alone, before, after):
    assert done(together(before, *TRAIN, "--out", "run", cwd=tmp_path)) == [0] * before
    run = tmp_path / "run"
    (run / "result.json").unlink()
    newest, older = Checkpoints(run).paths()
    newest.unlink()
    assert older.name == f"epoch-{EPOCHS - 1:06d}.safetensors"
    again = together(after, "train", "--resume", "run", "--quiet", cwd=tmp_path)
    assert done(again) == [0] * after, again[0].stderr
    close(alone, run)
    assert files.read_json(run / "result.json")["ranks"] == after


def test_resumption_alone_of_a_run_alone_has_its_bits(tmp_path, alone):
    """With no group at all, and in a group of one."""
    assert done(together(1, *TRAIN, "--out", "run", cwd=tmp_path)) == [0]
    assert outcome(tmp_path / "run", data_dir=None) == outcome(alone, data_dir=None)


def test_all_ranks_know_of_a_run_that_is_complete(tmp_path):
    assert done(together(1, *TRAIN, "--out", "run", cwd=tmp_path)) == [0]
    before = tree(tmp_path / "run")
    ranks = together(2, "train", "--resume", "run", "--quiet", cwd=tmp_path)
    assert done(ranks) == [0, 0]
    assert tree(tmp_path / "run") == before


class TestEnds:
    """What ends one rank ends all of them, with one line."""

    LONG = [*TRAIN[:-5], "--epochs", "100000", "--products", "torch", "--quiet"]

    def begun(self, count, tmp_path):
        ranks = together(count, *self.LONG, "--out", "run", cwd=tmp_path)
        until(lambda: Checkpoints(tmp_path / "run").paths())
        return ranks

    def test_a_rank_that_is_killed(self, tmp_path):
        ranks = self.begun(3, tmp_path)
        ranks[1].signal(signal.SIGKILL)
        assert done(ranks) == [4, -signal.SIGKILL, 4]
        message = one_line(ranks[0].stderr)
        assert message.startswith("another process of this training has ended; run/last/epoch-")
        assert message.rstrip().endswith("is kept; to go on: hvae train --resume run")
        assert ranks[2].stderr == ""
        assert Checkpoints(tmp_path / "run").paths()

    def test_the_first_rank_is_killed(self, tmp_path):
        ranks = self.begun(2, tmp_path)
        ranks[0].signal(signal.SIGKILL)
        assert done(ranks) == [-signal.SIGKILL, 4]
        assert ranks[1].stderr == ranks[1].stdout == ""

    def test_a_signal_to_all_keeps_the_last_epoch(self, tmp_path):
        """As Ctrl-C in a terminal."""
        ranks = self.begun(2, tmp_path)
        for rank in ranks:
            rank.signal(signal.SIGINT)
        statuses = done(ranks)
        assert statuses[0] == 130 and statuses[1] in (130, 4)
        assert one_line(ranks[0].stderr).startswith("interrupted; run/last/epoch-")
        assert ranks[1].stderr == ""
        (newest, *_) = Checkpoints(tmp_path / "run").paths()
        assert files.read_packed(newest)[1]["epoch"] == len(lines(tmp_path / "run"))

    def test_training_that_diverges(self, tmp_path):
        ranks = together(2, *TRAIN, "--lr", "1e30", "--out", "run", cwd=tmp_path)
        assert done(ranks) == [3, 3]
        assert one_line(ranks[0].stderr).startswith("training diverged in epoch 1, step ")
        assert ranks[1].stderr == ""
        assert files.read_json(tmp_path / "run" / "result.json")["completed"] is False

    def test_a_folder_that_is_taken(self, tmp_path):
        (tmp_path / "run").mkdir()
        (tmp_path / "run" / "mine").touch()
        ranks = together(2, *TRAIN, "--out", "run", cwd=tmp_path)
        assert done(ranks) == [2, 4]
        assert one_line(ranks[0].stderr).startswith("--out: run is not an empty folder")
        assert ranks[1].stderr == ""

    def test_a_device_by_number_is_refused(self, tmp_path):
        """Every rank has one of its own."""
        ranks = together(2, *TRAIN, "--device", "cuda:1", "--out", "run", cwd=tmp_path)
        assert done(ranks) == [2, 4]
        assert "allowed: cpu or cuda for several ranks" in one_line(ranks[0].stderr)


def test_a_layer_that_looks_at_a_whole_batch_is_refused():
    settings, model = few.config(), few.batch_normalized()
    with pytest.raises(Refused, match="--network: .* looks at a whole batch .*; allowed for seve"):
        TrainingState(settings, model, digits(), [1.0, 1.0], ranks=Part(0, 2))
    TrainingState(settings, model, digits(), [1.0, 1.0])


def test_who_speaks(monkeypatch):
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
    assert not launched() and not follows()
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert not launched()  # a Slurm job may have such a variable of its own
    monkeypatch.setenv("RANK", "0")
    assert launched() and not follows()
    monkeypatch.setenv("RANK", "1")
    assert follows()
    for text in ("", "two", "-2"):  # not torchrun's
        monkeypatch.setenv("WORLD_SIZE", text)
        assert not launched() and not follows()


def test_variables_without_the_address_are_refused_in_one_line(monkeypatch):
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "0")
    allowed = "MASTER_ADDR.*; allowed: to be started by torchrun"
    with pytest.raises(EnvironmentProblem, match=allowed), joined():
        pass


def test_every_rank_has_a_gpu_of_its_own(monkeypatch):
    """By its number on its machine, which torchrun tells."""
    monkeypatch.setenv("LOCAL_RANK", "3")
    group = _Group(11, 16, local_rank())
    assert (group.device("cpu"), group.device("cuda")) == ("cpu", "cuda:3")
    assert [ALONE.device(name) for name in ("cpu", "cuda", "cuda:1")] == ["cpu", "cuda", "cuda:1"]
    with pytest.raises(Refused, match="--device: 'cuda:1' is not allowed; allowed: cpu or cuda"):
        group.device("cuda:1")


def test_shares_are_the_whole_in_order():
    for count in (1, 2, 3, 7):
        for rows in (0, 1, 5, 100):
            shares = [Part(rank, count).share(rows) for rank in range(count)]
            assert [i for part in shares for i in range(part.start, part.stop)] == list(range(rows))
            sizes = [part.stop - part.start for part in shares]
            assert max(sizes) - min(sizes) <= 1


def test_a_part_of_no_rows_adds_nothing_to_the_gradients():
    one = trainer()
    before = [parameter.detach().clone() for parameter in one.parameters]
    rows = digits().train[:0]
    skipped = torch.zeros(())
    stream = torch.tensor([1, 0, 0, 0])
    trace = one.step(rows, stream, one.kl_weights, skipped, of=1)
    assert trace.kl.shape == (0, 2) and skipped == 0
    for old, new in zip(before, one.parameters, strict=True):
        assert torch.equal(old, new)


@pytest.mark.slow
def test_the_package_is_the_command_line(tmp_path):
    """`python -m hvae`, as torchrun begins it, with the exit status of the command."""
    ran = subprocess.run(
        [sys.executable, "-m", "hvae", "train", "--shells", "1"],
        cwd=tmp_path, capture_output=True, text=True, timeout=150,
    )  # fmt: skip
    assert ran.returncode == 2 and one_line(ran.stderr).startswith("--shells: ")


@pytest.mark.slow
def test_torchrun_itself(tmp_path, alone):
    """It begins the ranks, whose figures are those of one process, and ends them when one is
    killed. A run to its end only with --thorough: `together` sets the same variables.
    """
    start = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "-m", "hvae"]
    for out in thorough.count([], ["run"]):
        whole = [*start, *TRAIN, "--out", out]
        ran = subprocess.run(whole, cwd=tmp_path, capture_output=True, text=True, timeout=150)
        assert ran.returncode == 0, ran.stderr
        close(alone, tmp_path / out)
    typed = [*TestEnds.LONG, "--out", "long"]
    with subprocess.Popen(
        [*start, *typed], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as long:
        until(lambda: len(Checkpoints(tmp_path / "long").paths()) > 1)
        until(lambda: len(lines(tmp_path / "long")) >= EPOCHS)
        listed = ["ps", "--ppid", str(long.pid), "-o", "pid="]
        children = subprocess.run(listed, capture_output=True, text=True, check=True).stdout
        os.kill(int(children.split()[-1]), signal.SIGKILL)
        _, stderr = long.communicate(timeout=60)
    assert long.returncode != 0
    said = [line for line in stderr.splitlines() if line.startswith("hvae: ")]
    assert len(said) == 1 and said[0].endswith("to go on: hvae train --resume long")
    close(alone, tmp_path / "long", epochs=EPOCHS)


def test_a_collective_that_fails_is_a_lost_rank():
    ended = pytest.raises(LostRank, match="another process of this training has ended")
    with ended, _together():
        raise RuntimeError("Connection closed by peer")
