"""Draws of scaled von Mises-Fisher shells: those of `sample`, stretched; derivatives by torch."""

from collections.abc import Sequence

import torch
from torch import Tensor

from hvae.reference.columns import vmf
from hvae.reference.sample import _Draw, _mean_direction

_MOST_LOG_SCALE = 30.0


def scaled_sample(
    raw_directions: Tensor,
    kappa: Tensor,
    raw_scales: Tensor,
    dims: Sequence[int],
    rng: Tensor,
    samples: int = 1,
    frame: str = "mean",
    kappa_grad: str = "implicit",
    shell: int = 0,
    centred: bool = True,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Draws y = A x / |A x| on a product of scaled shells, with their divergences.

    Args: as in `hvae.ops.scaled_sample`.

    Returns:
        z [samples, rows, sum(dims)]; v = 1 - mu.x and stretch = m log |A x| [samples, rows,
        shells]; volume = log |A| and kl [rows, shells], the estimate of the divergence from the
        uniform distribution. z and kl carry gradients.
    """
    dtype, dims = raw_directions.dtype, list(dims)
    parts = zip(
        range(shell, shell + len(dims)),
        raw_directions.double().split(dims, -1),
        kappa.double().unbind(-1),
        raw_scales.double().split(dims, -1),
        strict=True,
    )
    shells = []
    for index, raw, k, b in parts:
        mu = _mean_direction(raw)
        x, v, _ = _Draw.apply(  # type: ignore[no-untyped-call]  # torch has no types for it
            mu, k, rng, samples, index, kappa_grad, dtype
        )
        shells.append((*_stretched(x, mu, _log_scales(b, centred), frame), v))
    z, stretch, volume, v = zip(*shells, strict=True)
    stretches, volumes = torch.stack(stretch, -1), torch.stack(volume, -1)
    kl, _ = vmf(kappa, dims, "KL")
    return (
        torch.cat(z, -1).to(dtype),
        torch.stack(v, -1).to(dtype),
        stretches.detach().to(dtype),
        volumes.detach().to(dtype),
        (kl.double() + stretches.mean(0) - volumes).to(dtype),
    )


def _log_scales(b: Tensor, centred: bool) -> Tensor:
    """log s = b/2, less its mean, bounded."""
    half = 0.5 * b
    if centred:
        half = half - (half / half.shape[-1]).sum(-1, keepdim=True)
    return half.clamp(-_MOST_LOG_SCALE, _MOST_LOG_SCALE)


def _stretched(
    x: Tensor, mu: Tensor, log_scales: Tensor, frame: str
) -> tuple[Tensor, Tensor, Tensor]:
    """A x / |A x|, m log |A x| and log |A|, for draws x [samples, rows, m]."""
    scales, volume = log_scales.exp(), log_scales.sum(-1)
    if frame == "mean":
        along = (mu * x).sum(-1, keepdim=True) * mu
        image = along + _project(scales * _project(x, mu), mu)
        volume = volume + (mu.square() / scales).sum(-1).log()
    else:
        image = scales * x
    length = torch.linalg.vector_norm(image, dim=-1)
    return image / length[..., None], x.shape[-1] * length.log(), volume


def _project(g: Tensor, mu: Tensor) -> Tensor:
    """g without its part along mu, taken off twice."""
    for _ in range(2):
        g = g - (g * mu).sum(-1, keepdim=True) * mu
    return g
