"""Differences of a kernel's results from those of the CPU ops, in units of eps."""

import torch


def eps(x: torch.Tensor) -> float:
    return torch.finfo(x.dtype).eps


def apart(a: torch.Tensor, b: torch.Tensor, scale: torch.Tensor | float = 1.0) -> float:
    """max |a - b| / scale in eps, over elements that are finite in both; what is not must agree."""
    same_places(a, b)
    finite = a.isfinite() & b.isfinite()
    if not finite.any():
        return 0.0
    scale = torch.as_tensor(scale, dtype=a.dtype).expand_as(a)
    return float(((a - b).abs() / scale)[finite].max()) / eps(a)


def relative(a: torch.Tensor, b: torch.Tensor) -> float:
    """max |a - b| / |b| in eps."""
    return apart(a, b, b.abs().clamp_min(torch.finfo(b.dtype).tiny))


def same_places(a: torch.Tensor, b: torch.Tensor) -> None:
    """NaN and infinities are at the same places."""
    assert torch.equal(a.isnan(), b.isnan())
    assert torch.equal(a.isinf(), b.isinf())


def by_shell(x: torch.Tensor, dims: list[int]) -> torch.Tensor:
    """Norms [..., shells] of the parts of x [..., sum of dims]."""
    return torch.stack([part.norm(dim=-1) for part in x.split(dims, -1)], -1)
