"""hvae.model.statistics: columns and sums of rows, in one pass over a bounded number of them."""

import pytest
import torch

from hvae.model import statistics as module
from hvae.model.statistics import statistics


class Counted:
    """Rows that note which slices were read."""

    def __init__(self, rows):
        self.rows, self.read = rows, []

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, part):
        self.read += range(*part.indices(len(self.rows)))
        return self.rows[part]


@pytest.fixture
def rows():
    generator = torch.Generator().manual_seed(0)
    return 1e6 + torch.randn(1000, 5, dtype=torch.float64, generator=generator)


@pytest.mark.parametrize("batch", [1 << 20, 35, 1])
def test_they_are_those_of_torch_whatever_the_blocks(rows, batch, monkeypatch):
    """A mean of 1e6 is good to its last bits; a deviation of 1 to 1e6 times that squared."""
    monkeypatch.setattr(module, "_BATCH_NUMBERS", batch)
    counted = Counted(rows)
    mean, deviation, sums = statistics(counted, 4)
    assert counted.read == list(range(1000))
    torch.testing.assert_close(mean, rows[:, :4].mean(0), rtol=2.0**-45, atol=0)
    expected = rows[:, :4].std(0, correction=0)
    torch.testing.assert_close(deviation, expected, rtol=1e-9, atol=0)
    assert torch.equal(sums, rows[:, :4].sum(1))


@pytest.mark.parametrize("value", [0.1, 1e300, -3.3, 0.0])
def test_the_deviation_of_one_value_is_0(value, monkeypatch):
    monkeypatch.setattr(module, "_BATCH_NUMBERS", 7)
    rows = torch.full((100, 3), value, dtype=torch.float64)
    rows[:, 1] += torch.arange(100) * (1 + abs(value))
    _, deviation, _ = statistics(rows, 3)
    assert (deviation == 0).tolist() == [True, False, True]


def test_bytes_are_not_added_as_bytes():
    mean, _, sums = statistics(torch.full((300, 300), 200, dtype=torch.uint8), 300)
    assert (mean == 200).all() and (sums == 60_000).all()


def test_of_many_rows_blocks_at_equal_distances_are_read(monkeypatch):
    monkeypatch.setattr(module, "_BATCH_NUMBERS", 20)
    monkeypatch.setattr(module, "_MOST_NUMBERS", 200)
    counted = Counted(torch.arange(1000.0)[:, None].repeat(1, 2))
    mean, _, sums = statistics(counted, 2)
    assert len(sums) == len(counted.read) == 100
    assert counted.read == [100 * i + j for i in range(10) for j in range(10)]
    assert mean.tolist() == [454.5, 454.5]
