"""The derivative of a draw's angle in the concentration (Figurnov, Mohamed, Mnih 2018)."""

import math

import numpy as np
import torch
from torch import Tensor

from hvae.errors import Refused
from hvae.reference.columns import vmf

QUADRATURE_NODES = 40
PI_LOW = 1.2246467991473532e-16  # pi - math.pi
QUADRATURE_CUT = 40.0  # the integrand is dropped where it is below e^-40 of its peak


def _log_density_ratio(m: int, k: Tensor, theta: Tensor, delta: Tensor) -> Tensor:
    """log of density(theta + delta)/density(theta), in the difference delta: nothing cancels."""
    half, middle = torch.sin(delta / 2), theta + delta / 2
    bend = 2 * torch.cos(middle) * half / torch.sin(theta)
    power = (m - 2) * torch.log1p(bend.clamp(min=-1.0)) if m > 2 else 0.0
    return -2 * k * half * torch.sin(middle) + power


def _cut(m: int, k: Tensor, theta: Tensor, top: Tensor, end: Tensor) -> Tensor:
    """Between top and end (differences from theta) the density falls: where by QUADRATURE_CUT."""
    floor = _log_density_ratio(m, k, theta, top) - QUADRATURE_CUT
    near, far = top, end
    for _ in range(40):
        middle = (near + far) / 2
        above = _log_density_ratio(m, k, theta, middle) > floor
        near, far = torch.where(above, middle, near), torch.where(above, far, middle)
    return far


def _implicit(m: int, theta: Tensor, k: Tensor) -> Tensor:
    """-int_0^theta (cos p - A) density(p)/density(theta) dp = + int_theta^pi (Figurnov 2018)."""
    one_minus = vmf(k[..., None], [m], "one_minus_A")[0][..., 0]
    lower = 2 * torch.sin(theta / 2) ** 2 < one_minus  # the side where cos p - A keeps its sign
    mode = 2 * torch.atan(torch.sqrt((m - 2) / (2 * k + torch.hypot(2 * k, k.new_tensor(m - 2.0)))))
    edge = torch.where(lower, -theta, (math.pi - theta) + PI_LOW)
    ahead = torch.where(lower, mode < theta, mode > theta)
    top = torch.where(ahead, mode - theta, 0.0)
    end = _cut(m, k, theta, top, edge)
    x, w = (
        torch.from_numpy(a).to(k.device) for a in np.polynomial.legendre.leggauss(QUADRATURE_NODES)
    )
    delta = end[..., None] * (1 + x) / 2
    k, theta, one_minus = k[..., None], theta[..., None], one_minus[..., None]
    factor = one_minus - 2 * torch.sin((theta + delta) / 2) ** 2
    integrand = factor * torch.exp(_log_density_ratio(m, k, theta, delta))
    # Up to theta the integral runs from end to 0 and counts negatively: the sign of `end` is both.
    return (integrand * w).sum(-1) * end / 2


def dtheta_dkappa(m: int, theta: Tensor, kappa: Tensor, kind: str = "implicit") -> Tensor:
    """dtheta/dkappa of a draw at angle theta: the field that `sample` multiplies gradients with.

    "implicit" keeps the probability below theta (unbiased); "naive" keeps Wood's eps (biased):
    tan^2(theta/2) = b eps/(1-eps) gives -sin(theta)/sqrt(4 kappa^2 + (m-1)^2).

    Args:
        m: ambient dimension; theta, kappa: tensors that broadcast, float32 or float64.

    Returns:
        A tensor in theta's dtype; 0 at theta = 0 and pi.
    """
    angle, k = torch.broadcast_tensors(theta.double(), kappa.double())
    if kind == "naive":
        value = -torch.sin(angle) / torch.sqrt(4 * k * k + (m - 1) ** 2)
    elif kind == "implicit":
        value = _implicit(m, angle, k)
    else:
        raise Refused(f"kappa_grad {kind!r} is unknown; allowed: implicit, naive")
    return torch.where((angle <= 0) | (angle >= math.pi), 0.0, value).to(theta.dtype)
