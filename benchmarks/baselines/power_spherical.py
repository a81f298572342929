"""The Power Spherical distribution in plain torch (De Cao and Aziz 2020), the unit of the draws."""

import math

import torch
from torch import Tensor
from torch.distributions import Beta

from .reflection import reflected


class PowerSpherical:
    """Density proportional to (1 + mu.x)^kappa on S^{m-1}.

    Args:
        loc: [..., m], mu, of length 1.
        scale: [...], kappa >= 0.
    """

    def __init__(self, loc: Tensor, scale: Tensor) -> None:
        self.loc = loc
        self.scale = scale
        beta = torch.full_like(scale, 0.5 * (loc.shape[-1] - 1))
        self.radial = Beta(beta + scale, beta, validate_args=False)

    def rsample(self) -> Tensor:
        """[..., m]: algorithm 1 of the paper, t = 2 Beta - 1, a uniform tangent, a reflection."""
        t = 2 * self.radial.rsample()[..., None] - 1
        g = torch.randn_like(self.loc[..., 1:])
        tangent = g / g.norm(dim=-1, keepdim=True)
        y = torch.cat([t, torch.sqrt(torch.clamp(1 - t * t, min=1e-7)) * tangent], -1)
        return reflected(y, self.loc)

    def kl_uniform(self) -> Tensor:
        """[...], to the uniform distribution: equations 12 and 13 of the paper."""
        alpha, beta = self.radial.concentration1, self.radial.concentration0
        log_two = math.log(2)
        normaliser = (
            self.scale * log_two
            + torch.lgamma(alpha)
            - torch.lgamma(alpha + beta)
            + torch.lgamma(2 * beta)
            - torch.lgamma(beta)
        )
        mean = log_two + torch.digamma(alpha) - torch.digamma(alpha + beta)
        return self.scale * mean - normaliser
