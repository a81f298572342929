"""Exact expectations under scaled von Mises-Fisher distributions on S^1 and S^2, by quadrature."""

import math

import numpy as np
import torch

DOUBLE = torch.float64


def nodes(m, count):
    """Points [n, m] of S^{m-1}, m = 2 or 3, and weights [n] that integrate over its area.

    The trapezoid rule around, Gauss-Legendre along the axis: for analytic functions their errors
    fall exponentially.
    """
    if m == 2:
        angle = torch.arange(count, dtype=DOUBLE, device="cpu") * (2 * math.pi / count)
        weight = torch.full((count,), 2 * math.pi / count, dtype=DOUBLE, device="cpu")
        return torch.stack((angle.cos(), angle.sin()), -1), weight
    height, along = (torch.tensor(a) for a in np.polynomial.legendre.leggauss(count))
    circle, around = nodes(2, 2 * count)
    radius = torch.sqrt(1 - height * height)
    ring = radius[:, None, None] * circle
    points = torch.cat((ring, height[:, None, None].expand(*ring.shape[:2], 1)), -1)
    return points.flatten(0, 1), (along[:, None] * around).flatten()


def frame_of(mu):
    """An orthogonal matrix [m, m] whose last column is mu, differentiable in mu."""
    m = len(mu)
    e = torch.zeros_like(mu)
    e[-1] = 1
    a = mu - e
    return torch.eye(m, dtype=DOUBLE, device="cpu") - 2 * torch.outer(a, a) / (a @ a)


def matrix(mu, scale, frame):
    """A."""
    d = torch.diag(scale)
    if frame == "fixed":
        return d
    p = torch.eye(len(mu), dtype=DOUBLE, device="cpu") - torch.outer(mu, mu)
    return torch.outer(mu, mu) + p @ d @ p


class Quadrature:
    """x ~ vMF(mu, k) on nodes, stretched: y, log |A x|, and the probability of every node.

    Everything is differentiable in mu (as a free vector, which is normalised), k and scale.
    """

    def __init__(self, mu, k, scale, frame, count=400):
        mu = mu / mu.norm()
        points, weight = nodes(len(mu), count)
        # Householder's reflection takes the last axis to mu: the nodes lie about mu.
        w = points[:, -1]
        x = points @ frame_of(mu).T
        logits = k * (w - 1)
        probability = weight * torch.exp(logits)
        self.probability = probability / probability.sum()
        self.log_density = logits - torch.log(probability.sum())  # of x, with respect to area
        image = x @ matrix(mu, scale, frame).T
        self.length = image.norm(dim=-1)
        self.y = image / self.length[:, None]
        self.log_volume = torch.linalg.slogdet(matrix(mu, scale, frame))[1]
        self.m = len(mu)

    def mean(self, values):
        return self.probability @ values

    def divergence(self):
        """KL from the uniform distribution."""
        log_area = math.log(2) + self.m / 2 * math.log(math.pi) - math.lgamma(self.m / 2)
        log_q = self.log_density + self.m * self.length.log() - self.log_volume
        return self.mean(log_q) + log_area
