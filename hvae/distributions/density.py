"""The density of a von Mises-Fisher distribution relative to the uniform one on the same spheres.

Importance weights against a uniform prior are made of it. Less log |S| it is the log density.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from hvae import ops


def log_density_to_uniform(concentration: Tensor, v: Tensor, dims: Sequence[int]) -> Tensor:
    """log q(z)/p(z) = (k - L) - k v, summed over the shells: q von Mises-Fisher, p uniform.

    With w = mu.z = 1 - v it is k w - L, the difference of two numbers of size k, which loses all
    digits at a high concentration. Here k - L is a function of its own (`hvae.ops.vmf`).

    Args:
        concentration: [..., shells], k >= 0, float32 or float64.
        v: [..., shells], 1 - mu.z, as `hvae.ops.sample` returns it or |z - mu|^2 / 2; it has the
            dtype of concentration or a wider one, and broadcasts with it.
        dims: ambient dimension of each shell.

    Returns:
        [...], the broadcast shape without the shells, in the dtype of v. There is no temporary of
        the broadcast shape [..., shells].
    """
    constant, _ = ops.vmf(concentration, dims, "k_minus_L")
    return constant.sum(-1) - _over_shells(v, concentration.to(v.dtype))


def _over_shells(v: Tensor, concentration: Tensor) -> Tensor:
    """The inner product over the last axis, of one shell by a product, which is quicker."""
    if v.shape[-1] == 1:
        return (v * concentration)[..., 0]
    return torch.einsum("...s,...s->...", v, concentration)
