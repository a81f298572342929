"""hvae.tensorboard: the event files of a run, as TensorBoard itself reads them."""

import sys

import pytest
from few import config, digits
from processes import lines, one_line

from hvae import data, files
from hvae.cli import main
from hvae.tensorboard import FOLDER, TensorBoard
from hvae.training.begin import train
from hvae.training.resumption import resume


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.setattr(data, "load", lambda name, folder=None, **more: digits())
    monkeypatch.chdir(tmp_path)
    return tmp_path


def scalars(run):
    """The epochs and values of every tag."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(run / FOLDER))
    events.Reload()
    return {
        tag: [(event.step, event.value) for event in events.Scalars(tag)]
        for tag in events.Tags()["scalars"]
    }


def test_every_figure_of_every_epoch_is_there(here):
    small = ["--epochs", "3", "--warmup", "1", "--hidden", "8", "--shells", "3,e2"]
    assert main(["train", *small, "--tensorboard", "--out", "run", "--quiet"]) == 0
    found, metrics = scalars(here / "run"), lines(here / "run")
    for part in ("train", "validation"):
        for name in ("elbo", "re", "kl"):
            expected = [(line["epoch"], pytest.approx(line[part][name])) for line in metrics]
            assert found[f"{part}/{name}"] == expected
    by_shell = [name for name in found if name.startswith("validation/kl_per_shell/")]
    assert [name.rsplit("/")[-1] for name in by_shell] == ["1", "2"]
    assert "epoch" not in found


def test_epochs_that_a_resumed_run_trains_again_are_there_once(here):
    """The run loses its last checkpoint and its end, so that it trains its last epoch again."""
    board = TensorBoard()
    train(config(checkpoint_every=0.0), "run", observer=board)
    board.close()
    newest = max((here / "run" / "last").iterdir())
    newest.unlink()
    (here / "run" / "result.json").unlink()
    again = TensorBoard()
    resume("run", observer=again)
    again.close()
    assert [step for step, _ in scalars(here / "run")["validation/elbo"]] == [1, 2, 3]
    assert files.read_json(here / "run" / "result.json")["completed"]


def test_without_the_package_it_says_what_to_install(here, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    assert main(["train", "--tensorboard", "--out", "run"]) == 4
    assert 'tensorboard is not installed; to have it: pip install "hvae[tensorboard]"' in one_line(
        capsys.readouterr().err
    )
    assert not (here / "run").exists()
