"""Draws of scaled von Mises-Fisher shells, around `hvae.ops.sample`."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from hvae.ops.sample import sample

SCALE_FRAMES = ("mean", "fixed")


class ScaledDraw(NamedTuple):
    z: Tensor
    v: Tensor
    stretch: Tensor
    volume: Tensor
    kl: Tensor


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
) -> ScaledDraw:
    dims = list(dims)
    x, v, _, kl = sample(raw_directions, kappa, dims, rng, samples, kappa_grad, shell)
    zs, stretches, volumes = [], [], []
    parts = zip(x.split(dims, -1), raw_directions.split(dims, -1), raw_scales.split(dims, -1))
    for m, (one, raw, b) in zip(dims, parts, strict=True):
        log_s = 0.5 * (b - b.mean(-1, keepdim=True) if centred else b)
        log_s = log_s.clamp(-30, 30)
        s = log_s.exp()
        if frame == "fixed":
            a = s * one
            volume = log_s.sum(-1)
        else:
            mu = torch.nn.functional.normalize(raw, dim=-1, eps=1e-30)
            w = (mu * one).sum(-1, keepdim=True)
            t = one - w * mu
            u = s * t
            for _ in range(2):
                u = u - (mu * u).sum(-1, keepdim=True) * mu
            a = w * mu + u
            volume = log_s.sum(-1) + (mu.square() / s).sum(-1).log()
        length = torch.linalg.vector_norm(a, dim=-1, keepdim=True)
        zs.append(a / length)
        stretches.append(m * length[..., 0].log())
        volumes.append(volume)
    stretch, volume = torch.stack(stretches, -1), torch.stack(volumes, -1)
    kl = kl + stretch.mean(0) - volume
    return ScaledDraw(torch.cat(zs, -1), v, stretch.detach(), volume.detach(), kl)
