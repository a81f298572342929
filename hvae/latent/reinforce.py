"""The score of Wood's accepted proposal: what the naive gradient of a draw leaves out.

A draw is w = h(eps; kappa) with eps the accepted proposal, whose density depends on kappa too. The
naive gradient differentiates h alone; the rest of d/dkappa E[f] is E[f d/dkappa log pi(eps; kappa)]
(Naesseth, Ruiz, Linderman, Blei 2017; Davidson et al. 2018, appendix D).
"""

import functools
from collections.abc import Sequence

import torch
from torch import Tensor

from hvae import ops


def proposal_score(kappa: Tensor, v: Tensor, dims: Sequence[int]) -> Tensor:
    """d/dkappa log pi(eps; kappa) at a fixed accepted proposal eps, of every draw.

    With d = m - 1, rho = sqrt(4 kappa^2 + d^2) and w = 1 - v the terms of Davidson et al. (2018),
    appendix D, in b and eps, reduce to

        -A + w + (kappa (1 - w^2) - d w) / rho:

    the score of the density in w, plus the change of w, dw/dkappa = (1 - w^2) / rho, in it and in
    the volume. Its mean over draws is 0, as that of every score; it is 0 for every draw at kappa =
    0 and falls off as 1 / kappa^2, which is why the naive gradient is nearly right there.

    Args:
        kappa: [rows, shells], concentrations, float32 or float64.
        v: [samples, rows, shells], 1 - mu.z of `hvae.ops.sample`.
        dims: ambient dimension of each shell.

    Returns:
        [samples, rows, shells], without gradients; to a few ulp of v + (m - 1) / rho.
    """
    kappa, v = kappa.detach(), v.detach()
    one_minus_a, _ = ops.vmf(kappa, dims, "one_minus_A")
    d = _dimensions(tuple(dims), kappa.dtype, kappa.device)
    rho = torch.hypot(2 * kappa, d)
    return (one_minus_a - v) + (kappa * v * (2 - v) - d * (1 - v)) / rho


@functools.lru_cache
def _dimensions(dims: tuple[int, ...], dtype: torch.dtype, device: torch.device) -> Tensor:
    """m - 1 of every shell; kept, since a copy to the device would wait for it in every step."""
    return torch.tensor(dims, dtype=dtype, device=device) - 1


def surrogate(kappa: Tensor, v: Tensor, dims: Sequence[int]) -> Tensor:
    """Zeros [samples, rows] with the gradient sum over shells of `proposal_score` in kappa.

    Args: as `proposal_score`.
    """
    return torch.einsum("krs,rs->kr", proposal_score(kappa, v, dims), kappa - kappa.detach())
