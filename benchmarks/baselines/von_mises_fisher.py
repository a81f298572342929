"""The von Mises-Fisher distribution as one writes it in plain torch, with SciPy's Bessel function.

Wood's (1994) rejection over the whole batch until every row is accepted; a reflection to the mean
direction; I_nu on the CPU. The gradient goes through the accepted proposal (Davidson et al. 2018),
which `hvae.ops.sample` calls "naive".
"""

import math
from typing import Any

import scipy.special
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.distributions import Beta

from .reflection import reflected


class ScaledBessel(torch.autograd.Function):
    """e^-k I_nu(k), with its derivative in k by DLMF 10.29.2."""

    @staticmethod
    def forward(ctx: Any, nu: float, k: Tensor) -> Tensor:
        value = _ive(nu, k)
        ctx.nu = nu
        ctx.save_for_backward(k, value)
        return value

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[None, Tensor]:
        k, value = ctx.saved_tensors
        return None, grad * (_ive(ctx.nu + 1, k) - value * (1 - ctx.nu / k))


def _ive(nu: float, k: Tensor) -> Tensor:
    return torch.from_numpy(scipy.special.ive(nu, k.detach().cpu().numpy())).to(k)


class VonMisesFisher:
    """One shell of every row.

    Args:
        loc: [R, m], mean directions of length 1.
        kappa: [R, 1], concentrations above 0.
    """

    def __init__(self, loc: Tensor, kappa: Tensor) -> None:
        self.loc = loc
        self.kappa = kappa
        self.m = loc.shape[-1]

    def rsample(self) -> Tensor:
        """[R, m]."""
        w = self.radial()
        g = torch.randn_like(self.loc[:, 1:])
        tangent = g / g.norm(dim=-1, keepdim=True)
        y = torch.cat([w, torch.sqrt(torch.clamp(1 - w * w, min=1e-10)) * tangent], -1)
        return reflected(y, self.loc)

    def kl_uniform(self) -> Tensor:
        """[R, 1], kappa A - L."""
        nu, k = self.m / 2 - 1, self.kappa
        bessel = ScaledBessel.apply(nu, k)
        mean = ScaledBessel.apply(nu + 1, k) / bessel
        log_norm = torch.log(bessel) + k - nu * torch.log(k / 2) + math.lgamma(nu + 1)
        return k * mean - log_norm

    def radial(self) -> Tensor:
        """w = mu.z, [R, 1]."""
        k, d = self.kappa, self.m - 1
        root = torch.sqrt(4 * k * k + d * d)
        b = d / (2 * k + root)
        a = (d + 2 * k + root) / 4
        c = 4 * a * b / (1 + b) - d * math.log(d)
        proposal = Beta(*torch.full((2,), d / 2).to(k))
        w = torch.zeros_like(k)
        pending = torch.ones_like(k, dtype=torch.bool)
        while pending.any():
            eps = proposal.sample(k.shape)
            scale = 1 - (1 - b) * eps
            t = 2 * a * b / scale
            # NaN is not rejected: it would be so for ever.
            rejected = d * torch.log(t) - t + c < torch.log(torch.rand_like(k))
            w = torch.where(pending & ~rejected, (1 - (1 + b) * eps) / scale, w)
            pending = pending & rejected
        return w
