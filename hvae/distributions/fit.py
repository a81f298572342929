"""Maximum likelihood of one von Mises-Fisher distribution: A_m(k) = R, solved for k."""

import math

import torch
from torch import Tensor

from hvae import ops
from hvae.distributions.constraints import (
    UnitVectors,
    check_tensor,
    checked_dims,
    compute_dtype,
    violation,
)
from hvae.distributions.packed import normalised

NEWTON_STEPS = 5  # the start is within 7 %, so that four reach 1e-15 for every m and R


def maximum_likelihood(samples: Tensor, weights: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """The estimate (loc [..., m], concentration [...]) of `VonMisesFisher.fit`, which documents it.

    Args:
        samples: [n, ..., m], unit vectors.
        weights: [n] or [n, ...].
    """
    check_tensor("samples", samples)
    if samples.dim() < 2 or samples.shape[0] < 1:
        raise ValueError(f"samples has shape {tuple(samples.shape)}; allowed: [n, ..., m]")
    dims = checked_dims("the event shape of samples", samples.shape[-1:])
    complaint = violation("samples", samples, UnitVectors(dims))
    if complaint:
        raise ValueError(complaint)
    with torch.no_grad():
        loc, concentration = _fit(samples, _checked_weights(weights, samples))
    dtype = compute_dtype(samples)
    return loc.to(dtype), concentration.to(dtype)


def _checked_weights(weights: Tensor | None, samples: Tensor) -> Tensor:
    """[n, ..., 1] float64."""
    if weights is None:
        return torch.ones(samples.shape[0], *[1] * (samples.dim() - 1), device=samples.device)
    check_tensor("weights", weights, samples.device)
    if weights.shape not in (samples.shape[:1], samples.shape[:-1]):
        raise ValueError(
            f"weights has shape {tuple(weights.shape)}; allowed: {tuple(samples.shape[:1])} or "
            f"{tuple(samples.shape[:-1])}"
        )
    if not ((weights >= 0) & (weights < math.inf)).all() or not (weights.sum(0) > 0).all():
        raise ValueError(
            f"weights has minimum {weights.min().item()}, maximum {weights.max().item()}; allowed: "
            "finite, not negative, with a positive sum"
        )
    return weights.double().reshape(*weights.shape, *[1] * (samples.dim() - weights.dim()))


def _fit(samples: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    """(loc [..., m], concentration [...]) in float64."""
    m = samples.shape[-1]
    z = normalised(samples.double(), (m,))
    weights = weights.double() / weights.double().sum(0)
    resultant = (weights * z).sum(0)
    length = resultant.norm(dim=-1, keepdim=True)
    first = (torch.arange(m, device=z.device) == 0).double()  # e_1, where no direction leads
    loc = torch.where(length > 0, resultant / length, first)
    complement = (weights * (z - loc).square()).sum(0).sum(-1) / 2
    # Points within the rounding of their dtype of each other are one point.
    if (complement < m * torch.finfo(samples.dtype).eps ** 2 / 8).any():
        raise ValueError(
            "samples are all one point, whose likelihood grows without bound with the "
            "concentration; allowed: two directions or more"
        )
    return loc, concentration_of(length[..., 0], complement, m)


def concentration_of(resultant: Tensor, complement: Tensor, m: int) -> Tensor:
    """The concentration at which A_m is `resultant`, 1 - `complement`, whichever has the digits.

    Both [...], float64, the complement above 0 and at most 1.
    """
    k = resultant * (m - resultant**2) / (complement * (2 - complement))
    for _ in range(NEWTON_STEPS):
        (mean, slope), (rest, _) = (
            ops.vmf(k[..., None], (m,), quantity) for quantity in ("A", "one_minus_A")
        )
        residual = torch.where(resultant < 0.5, mean[..., 0] - resultant, complement - rest[..., 0])
        k = k - residual / slope[..., 0]
    return k
