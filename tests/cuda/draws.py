"""Draws of shells for tests of the kernels that make them, and how two draws are compared."""

from dataclasses import dataclass

import torch
from compare import by_shell, eps

CPU = torch.ops.hvae
RNG = torch.tensor([12345, 3, 11, 4])
MOVED = 1e-3  # a draw that took another proposal is elsewhere on the sphere


@dataclass(frozen=True)
class Inputs:
    """Raw directions as a slice of a wider matrix, concentrations as a transposed one."""

    raw: torch.Tensor
    kappa: torch.Tensor
    scales: torch.Tensor
    dims: list[int]

    @classmethod
    def of(cls, dims, rows, dtype, most=4.0):
        generator = torch.Generator().manual_seed(len(dims) + dims[0])

        def normal(*shape):
            return torch.randn(*shape, generator=generator, dtype=torch.float64).to(dtype)

        width = sum(dims)
        uniform = torch.rand(len(dims), rows, generator=generator, dtype=torch.float64)
        kappa = 10 ** (uniform * (most + 3) - 3)
        wide, scales = normal(rows, width + 7), 1.5 * normal(rows, width + 2)
        return cls(
            wide[:, 3 : 3 + width], kappa.to(dtype).t(), scales[:, 1 : 1 + width], list(dims)
        )

    def arriving(self, samples):
        """Gradients that arrive at z and kl."""
        generator = torch.Generator().manual_seed(1)
        rows, dtype = len(self.raw), self.raw.dtype
        gz = torch.randn(samples, rows, sum(self.dims), generator=generator, dtype=torch.float64)
        gkl = torch.randn(rows, len(self.dims), generator=generator, dtype=torch.float64)
        return gz.to(dtype), gkl.to(dtype)


def kept(found, expected, dims):
    """bool [samples, rows, shells]: draws of the same proposal on both sides.

    An accept test falls the other way where both sides of it are as good as equal: of 1e7 draws in
    float32 about one did.
    """
    same = by_shell(found - expected, dims) < MOVED
    assert int((~same).sum()) <= 1 + same.numel() // 10_000
    return same


def worst(error, where):
    """The largest, in eps, of those that are marked."""
    return float(error[where].max()) / eps(error) if where.any() else 0.0
