"""Steps that are played back from one recording do what steps do; the recording is faked on a CPU.

A CUDA graph plays the same kernels with the same memory, so what has to hold without one is that a
step finds all it takes at fixed places and leaves all it gives there. The fake runs the step as
often as a recording does, puts the state back, and plays it by running it.
"""

import math
from dataclasses import replace

import few
import pytest
import torch
from few import digits

from hvae.errors import Refused
from hvae.runs import TrainConfig
from hvae.training import cuda_graph
from hvae.training.divergence import NotFinite
from hvae.training.step import Trainer


class Recorder:
    """Counts recordings and plays."""

    def __init__(self):
        self.recorded, self.played = 0, 0

    def __call__(self, work, state):
        self.recorded += 1
        kept = [tensor.detach().clone() for tensor in state]
        for _ in range(cuda_graph.WARM_UPS):
            work()
            with torch.no_grad():
                for tensor, before in zip(state, kept, strict=True):
                    tensor.copy_(before)

        def play():
            self.played += 1
            work()

        return play


def pair(record, batch_size=50, **options):
    """A trainer, and one like it that plays its steps back."""
    made = []
    for recorder in (None, record):
        model = few.vae(**options)
        one = Trainer(model, 1e-3, batch_size, seed=3, samples=2, record=recorder)
        made.append(one)
    return made


def tensors(one):
    return {**one.model.state_dict(), **one.optimizer_state()}


@pytest.mark.parametrize("rows", [130, 100, 50])
@pytest.mark.parametrize("shells", ["3,e2", "s4,2"])
def test_epochs_are_the_same_bit_for_bit(rows, shells):
    """With a smaller last batch, without, and of one batch."""
    record = Recorder()
    plain, played = pair(record, shells=shells)
    for epoch, factor in ((1, 0.5), (2, 1.0), (3, 1.0)):
        images = digits().train[:rows].flip(0) if epoch == 3 else digits().train[:rows]
        assert plain.epoch(images, epoch, factor) == played.epoch(images, epoch, factor)
    for name, tensor in tensors(plain).items():
        assert torch.equal(tensor, tensors(played)[name]), name
    assert (record.recorded, record.played) == (1, 3 * (rows // 50))
    assert played.steps == plain.steps


def test_an_epoch_of_fewer_rows_than_a_batch_is_not_recorded():
    record = Recorder()
    plain, played = pair(record)
    assert plain.epoch(digits().train[:40], 1) == played.epoch(digits().train[:40], 1)
    assert record.recorded == 0


def test_other_rows_are_recorded_anew():
    record = Recorder()
    _, played = pair(record)
    for count in (100, 100, 50, 50):
        played.epoch(digits().train[:count], 1)
    assert record.recorded == 2


def test_layers_with_a_state_of_their_own():
    """The running means of a batch normalization are not touched by the recording."""
    results = []
    for record in (None, Recorder()):
        model = few.batch_normalized().train()
        one = Trainer(model, 1e-3, 50, record=record)
        one.epoch(digits().train, 1)
        results.append(tensors(one))
    assert all(torch.equal(results[0][name], tensor) for name, tensor in results[1].items())


def test_before_every_step_and_the_first_bad_one_is_named():
    _, played = pair(Recorder(), batch_size=20)
    asked = []

    def before():
        asked.append(None)
        if len(asked) == 3:
            played.model.to_posterior.bias.data[4] = math.nan

    with pytest.raises(NotFinite) as error:
        played.epoch(digits().train[:90], 7, before_step=before)
    assert len(asked) == 5
    assert (error.value.epoch, error.value.step) == (7, 2)
    assert error.value.shell == "2 of 2 (e2)"


def test_rows_that_are_read_batch_by_batch_are_refused():
    class Read:
        def __len__(self):
            return 100

        def index_select(self, dim, index):
            return digits().train.index_select(dim, index)

    _, played = pair(Recorder())
    with pytest.raises(Refused, match="--cuda-graph: 'on' is not allowed for rows"):
        played.epoch(Read(), 1)


@pytest.mark.parametrize("record", [None, Recorder()], ids=["launched", "played"])
def test_an_epoch_reads_once(monkeypatch, record):
    one = pair(record)[1]
    reads = []
    for name in ("tolist", "item", "__bool__", "__float__", "__int__", "nonzero", "numpy"):
        original = getattr(torch.Tensor, name)

        def read(self, *rest, original=original, name=name):
            reads.append(name)
            return original(self, *rest)

        monkeypatch.setattr(torch.Tensor, name, read)
    one.epoch(digits().train, 1)
    assert reads == ["tolist"]


def test_on_a_cpu_it_is_refused():
    with pytest.raises(
        Refused, match="--cuda-graph: 'on' is not allowed; allowed: off, or on with"
    ):
        TrainConfig(cuda_graph="on")
    config = TrainConfig(cuda_graph="on", device="cuda")
    assert TrainConfig.from_json(config.to_json()) == config
    assert config.deciding() == replace(config, cuda_graph="off").deciding()


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_a_cuda_graph_gives_the_same_figures():
    results = []
    for record in (None, cuda_graph.record):
        one = Trainer(few.vae().to("cuda"), 1e-3, 50, record=record)
        images = digits().train.to("cuda")
        results.append([one.epoch(images, epoch) for epoch in (1, 2, 3)])
    assert results[0] == results[1]
