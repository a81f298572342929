"""How well a class is found from the nearest neighbours in a component."""

import torch
from torch import Tensor

NEIGHBOURS = 15
_ROWS = 512  # bounds the distances to 512 N numbers


def leave_one_out_accuracy(points: Tensor, labels: Tensor, k: int = NEIGHBOURS) -> float:
    """The share of rows whose k nearest others have the row's class as the most frequent one.

    Args:
        points: [N, m], N at least 2; of a sphere, unit vectors, whose chords are in the order of
            their arcs.
        labels: int64 [N], 0 and more. Of classes equally frequent among the k the first counts.
        k: cut to N - 1.
    """
    classes = int(labels.max()) + 1
    k = min(k, len(points) - 1)
    right = 0
    for first in range(0, len(points), _ROWS):
        some = points[first : first + _ROWS]
        distance = torch.cdist(some, points)
        own = torch.arange(len(some))
        distance[own, own + first] = torch.inf
        nearest = labels[distance.topk(k, largest=False).indices]
        votes = torch.zeros(len(some), classes, dtype=torch.int64)
        votes.scatter_add_(1, nearest, torch.ones_like(nearest))
        right += int((votes.argmax(1) == labels[first : first + _ROWS]).sum())
    return right / len(points)
