"""Random unit vectors, and points of a circle."""

import torch

DOUBLE = torch.float64


def directions(*shape, dtype=DOUBLE):
    return torch.nn.functional.normalize(torch.randn(*shape, dtype=DOUBLE), dim=-1).to(dtype)


def circle(angle):
    return torch.stack((torch.cos(angle), torch.sin(angle)), -1)
