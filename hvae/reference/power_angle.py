"""The angle of a Power Spherical draw (De Cao and Aziz 2020) and its derivative."""

import math

import numpy as np
import torch
from torch import Tensor

from hvae.reference.stream import open_uniform
from hvae.reference.wood import accepted, beta

NODES = 64
CUT = 40.0  # the integrand is dropped where it is below e^-40 of its value at theta


def power_angle(k: Tensor, m: int, rng: Tensor, samples: int = 1, shell: int = 0) -> Tensor:
    """theta [samples, rows] with cos^2(theta/2) ~ Beta(k + b, b), b = (m - 1)/2; no gradient.

    Arguments as those of `hvae.ops.power_angle`.
    """
    return accepted(_scheme, m, k.double(), rng, samples, shell, k.dtype)[2].to(k.dtype)


def _scheme(m: int, k: Tensor, n: Tensor, bits: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """A proposal: (accepted, v = 1 - cos theta, sin theta, theta).

    x = sin^2(theta/2) has density x^(b-1) (1-x)^(k+b-1); the proposal's is that of the image of
    Beta(b, b) under x = c eps / (c eps + 1 - eps), c = d/(2k + d), and their ratio is
    (1-x)^k (x + c (1-x))^d, largest where 1 - x = (k + d/2)/(k + d).
    """
    d = m - 1
    c = d / (2 * k + d)
    eps, complement, _ = beta(m, n[..., :2], bits)
    scale = c * eps + complement
    x, rest = c * eps / scale, complement / scale
    mode = (k + d / 2) / (k + d)
    ratio = k * torch.log(rest / mode) + d * torch.log((x + c * rest) / (1 - mode + c * mode))
    taken = ~(ratio < torch.log(open_uniform(n[..., 2], bits)))
    theta = 2 * torch.atan2(torch.sqrt(x), torch.sqrt(rest))
    return taken, 2 * x, 2 * torch.sqrt(x * rest), theta


def power_angle_slope(k: Tensor, theta: Tensor, m: int) -> Tensor:
    """dtheta/dk [samples, rows] at k [rows], theta [samples, rows].

    dtheta/dk = -(dF/dk)/f (Figurnov, Mohamed, Mnih 2018), integrated in log(x/(1-x)).
    """
    angle, wide = torch.broadcast_tensors(theta.double(), k.double())
    half, total = (m - 1) / 2, wide + (m - 1)
    x = torch.sin(angle / 2) ** 2
    mean = torch.digamma(wide + half) - torch.digamma(total)
    excess = torch.log1p(-x) - mean
    side = torch.where(excess < 0, 1.0, -1.0)

    def exponent(delta: Tensor) -> Tensor:
        growth = torch.log1p(x[..., None] * torch.expm1(delta))
        found: Tensor = half * delta - total[..., None] * growth
        return found

    near, far = torch.zeros_like(x), torch.full_like(x, 4 * CUT)
    for _ in range(50):
        middle = (near + far) / 2
        above = exponent((side * middle)[..., None])[..., 0] > -CUT
        near, far = torch.where(above, middle, near), torch.where(above, far, middle)
    nodes, weights = (torch.from_numpy(a) for a in np.polynomial.legendre.leggauss(NODES))
    delta = (side * far)[..., None] * (1 + nodes) / 2
    factor = excess[..., None] - torch.log1p(x[..., None] * torch.expm1(delta))
    integral = (factor * torch.exp(exponent(delta)) * weights).sum(-1) * side * far / 2
    value = torch.sin(angle) / 2 * integral
    inside = (angle > 0) & (angle < math.pi)
    found: Tensor = torch.where(inside, value, 0.0).to(theta.dtype)
    return found
