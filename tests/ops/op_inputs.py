"""Inputs of the ops, for every test of them."""

import numpy as np
import torch

DIMS = [2, 3, 10, 41]
WIDTH = sum(DIMS)


def inputs(rows, dtype, grad=False):
    """Raw directions and concentrations of `rows` rows."""
    numbers = np.random.default_rng(rows)
    raw = torch.tensor(numbers.normal(size=(rows, WIDTH)), dtype=dtype)
    kappa = torch.tensor(numbers.uniform(0, 5, (rows, len(DIMS))), dtype=dtype)
    return raw.requires_grad_(grad), kappa.requires_grad_(grad)


def pixels(rows, images, n, dtype):
    numbers = np.random.default_rng(rows)
    logits = torch.tensor(numbers.normal(0, 3, (rows, n)), dtype=dtype)
    return logits, torch.tensor(numbers.integers(0, 2, (images, n)), dtype=torch.uint8)
