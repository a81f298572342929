"""`reference.bernoulli_log_prob` against closed forms."""

import math

import numpy as np
import torch

from hvae import reference


def test_bernoulli_log_prob():
    logits = torch.tensor([[[-800.0, 3.0, 0.0], [30.0, -30.0, 1e-9]]], dtype=torch.float64)
    logits.requires_grad_()
    x = torch.tensor([[0, 1, 1], [1, 0, 1]], dtype=torch.uint8)
    value = reference.bernoulli_log_prob(logits, x)
    expected = [
        -math.log1p(math.exp(-3)) - math.log(2),
        -2 * math.log1p(math.exp(-30)) - math.log1p(math.exp(-1e-9)),
    ]
    np.testing.assert_allclose(value[0].detach(), expected, rtol=1e-15)
    assert torch.autograd.gradcheck(lambda y: reference.bernoulli_log_prob(y / 100, x), logits)
    half = reference.bernoulli_log_prob(logits, torch.full((2, 3), 0.5, dtype=torch.float64))
    assert half.shape == (1, 2)
