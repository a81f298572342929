"""hvae.plots.neighbours against scikit-learn's classifier."""

import numpy as np
import pytest
import torch
from sklearn.neighbors import KNeighborsClassifier

from hvae.plots import neighbours
from hvae.plots.neighbours import leave_one_out_accuracy


@pytest.mark.parametrize("chunk", [7, 512])
def test_scikit_learns_classifier_without_the_row_itself(monkeypatch, chunk):
    """An odd number of neighbours and two classes leave no tie."""
    monkeypatch.setattr(neighbours, "_ROWS", chunk)
    random = np.random.default_rng(0)
    points, labels = random.normal(size=(50, 4)), random.integers(0, 2, 50)
    points[:, 0] += labels
    right = 0
    for row in range(50):
        others = np.arange(50) != row
        classifier = KNeighborsClassifier(7, algorithm="brute")
        classifier.fit(points[others], labels[others])
        right += int(classifier.predict(points[row : row + 1])[0] == labels[row])
    found = leave_one_out_accuracy(torch.tensor(points), torch.tensor(labels), 7)
    assert found == right / 50 and 0.5 < found < 1


def test_fewer_rows_than_neighbours():
    """Of 0 and 1, once each among both others, 0 counts."""
    points = torch.tensor([[0.0], [1.0], [2.0]])
    assert leave_one_out_accuracy(points, torch.tensor([1, 1, 1])) == 1.0
    assert leave_one_out_accuracy(points, torch.tensor([0, 0, 1])) == pytest.approx(2 / 3)
