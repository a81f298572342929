"""Draws on a product of von Mises-Fisher shells: an angle to the mean direction, then a tangent."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from hvae.errors import Refused
from hvae.reference.columns import vmf
from hvae.reference.implicit import dtheta_dkappa
from hvae.reference.stream import (
    SHELL_INDICES,
    TANGENT_BLOCK,
    blocks_for,
    fill,
    normals,
    places,
    words_at,
)
from hvae.reference.wood import angles


def _project(g: Tensor, mu: Tensor) -> Tensor:
    """g without its part along mu."""
    return g - (g * mu).sum(-1, keepdim=True) * mu


def _tangents(mu: Tensor, rng: Tensor, samples: int, shell: int, dtype: torch.dtype) -> Tensor:
    """Uniform unit tangents at mu [rows, m] -> [samples, rows, m] float64."""
    rows, m = mu.shape
    row, sample = torch.broadcast_tensors(*places(rng, samples, rows))
    if m == 2:
        words = words_at(rng, row, sample, shell, TANGENT_BLOCK)
        sign: Tensor = 1 - 2 * (words[..., :1] >> 31)
        return sign * torch.stack((-mu[:, 1], mu[:, 0]), -1)
    blocks = blocks_for(m, dtype)
    row, sample = row.flatten(), sample.flatten()
    tangent = mu.repeat(samples, 1)
    pending, attempt = torch.arange(row.numel(), device=mu.device), 0
    while pending.numel():
        place = (row[pending], sample[pending], shell, TANGENT_BLOCK + attempt * blocks)
        g, axis = fill(rng, *place, m, dtype, normals), mu[row[pending]]
        g = _project(_project(g, axis), axis)
        norm = torch.linalg.vector_norm(g, dim=-1, keepdim=True)
        tangent[pending] = g / norm
        pending, attempt = pending[norm[:, 0] == 0], attempt + 1
    tangents: Tensor = tangent.unflatten(0, (samples, rows))
    return tangents


class _Draw(torch.autograd.Function):
    """z on one shell. The mean direction moves z by the smallest rotation, kappa moves its angle.

    Both are unbiased fields, not derivatives of this map: differentiating them is refused.
    """

    @staticmethod
    def forward(
        ctx: Any,
        mu: Tensor,
        kappa: Tensor,
        rng: Tensor,
        samples: int,
        shell: int,
        kind: str,
        dtype: torch.dtype,
    ) -> tuple[Tensor, Tensor, Tensor]:
        v, sine, theta = angles(mu.shape[-1], kappa, rng, samples, shell, dtype)
        tangent = _tangents(mu, rng, samples, shell, dtype)
        cosine = 1 - v
        z = cosine[..., None] * mu + sine[..., None] * tangent
        ctx.save_for_backward(mu, kappa, cosine, sine, theta, tangent)
        ctx.kind = kind
        ctx.mark_non_differentiable(v, theta)
        return z, v, theta

    @staticmethod
    @once_differentiable
    def backward(
        ctx: Any, gz: Tensor, _v: Tensor, _theta: Tensor
    ) -> tuple[Tensor, Tensor, None, None, None, None, None]:
        mu, kappa, cosine, sine, theta, tangent = ctx.saved_tensors
        w, s = cosine[..., None], sine[..., None]
        z = w * mu + s * tangent
        g_mu = w * gz - (mu * gz).sum(-1, keepdim=True) * z
        along = (gz * (w * tangent - s * mu)).sum(-1)
        g_kappa = dtheta_dkappa(mu.shape[-1], theta, kappa, ctx.kind) * along
        return g_mu.sum(0), g_kappa.sum(0), None, None, None, None, None


def _mean_direction(raw: Tensor) -> Tensor:
    """raw/|raw| along the last axis; zero gives e_1, with zero gradient."""
    e1 = torch.zeros_like(raw)
    e1[..., 0] = 1
    raw = torch.where((raw == 0).all(-1, keepdim=True), e1, raw)
    raw = raw / raw.detach().abs().amax(-1, keepdim=True)  # squares neither overflow nor vanish
    mean: Tensor = raw / torch.linalg.vector_norm(raw, dim=-1, keepdim=True)
    return mean


def sample(
    raw_directions: Tensor,
    kappa: Tensor,
    dims: Sequence[int],
    rng: Tensor,
    samples: int = 1,
    kappa_grad: str = "implicit",
    shell: int = 0,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Draws on a product of vMF shells, with their angles and KL divergences.

    Args:
        raw_directions: [rows, sum(dims)], float32 or float64; each shell's part is normalised.
        kappa: [rows, shells] concentrations, of the dtype of raw_directions.
        dims: ambient dimension of each shell, at least 2.
        rng: int64 [4], see hvae.random.stream.
        samples: draws of each row.
        kappa_grad: "implicit" (unbiased) or "naive" (Davidson et al. 2018).
        shell: index, in the random stream, of the first shell that is drawn.

    Returns:
        z [samples, rows, sum(dims)]; v = 1 - mu.z [samples, rows, shells]; theta of that shape, the
        angle between mu and z; kl [rows, shells], the divergence from the uniform distribution. z
        and kl carry gradients, v and theta none.

    Raises:
        Refused: for shells that do not fit the random counter.
    """
    if not 0 <= shell < SHELL_INDICES - len(dims):
        raise Refused(
            f"shell is {shell}; allowed: 0 to {SHELL_INDICES - 1 - len(dims)} "
            f"for {len(dims)} shells"
        )
    dtype = raw_directions.dtype
    draws = [
        _Draw.apply(  # type: ignore[no-untyped-call]  # torch has no types for it
            _mean_direction(raw), k, rng, samples, index, kappa_grad, dtype
        )
        for index, raw, k in zip(
            range(shell, shell + len(dims)),
            raw_directions.double().split(list(dims), -1),
            kappa.double().unbind(-1),
            strict=True,
        )
    ]
    z, v, theta = zip(*draws, strict=True)
    kl, _ = vmf(kappa, dims, "KL")
    return (
        torch.cat(z, -1).to(dtype),
        torch.stack(v, -1).to(dtype),
        torch.stack(theta, -1).to(dtype),
        kl,
    )
