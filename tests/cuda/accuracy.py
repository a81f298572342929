"""The largest relative errors of `columns` in float32, of the emulated kernels and of the CPU.

    python tests/cuda/accuracy.py [gcc | ptx]

Against the float64 op, at concentrations from 1e-8 to 1e8 and from 0.01 to 100 times nu + 1. Each
figure stands beside the order at which it is reached.
"""

import sys
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parent))
from backends import open_backend

from hvae import ops

ORDERS = [
    0,
    0.01,
    0.25,
    0.5,
    1,
    1.5,
    2,
    3,
    4,
    4.5,
    7,
    8,
    9,
    9.5,
    10,
    10.5,
    11,
    12.3,
    15.5,
    16,
    19.5,
]
ORDERS += [31, 49, 99.5, 255, 511, 1e3, 3333.3, 1e4, 5e4, 1e5]
SLOPES = {"L": "A", "k_minus_L": "1 - A", "A": "A'", "KL": "k A'"}
ROWS = 20_000
LEAST = 1e-36  # below, a square has lost digits to subnormal numbers


def concentrations() -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    u = torch.rand(2, ROWS, len(ORDERS), generator=generator, dtype=torch.float64)
    near = (torch.tensor(ORDERS, dtype=torch.float64) + 1) * 10 ** (u[1] * 4 - 2)
    return torch.cat([10 ** (u[0] * 16 - 8), near]).float()


def worst(found: torch.Tensor, exact: torch.Tensor) -> str:
    error = ((found - exact) / exact).abs().where(exact.abs() > LEAST, 0).amax(0)
    return f"{error.max():.1e} at {ORDERS[int(error.argmax())]:g}"


def main() -> None:
    kernels = open_backend(sys.argv[1] if len(sys.argv) > 1 else "gcc").ops
    k, cpu = concentrations(), torch.ops.hvae
    print("| | CUDA kernel | CPU |\n|---|---|---|")
    for name, slope in SLOPES.items():
        index = ops.QUANTITIES.index(name)
        results = [f(k, ORDERS, index) for f in (kernels.columns, cpu.columns)]
        exact = cpu.columns(k.double(), ORDERS, index)
        for i, title in enumerate((name.replace("_minus_", " - "), f"{slope}, with it")):
            print(f"| {title} | " + " | ".join(worst(r[i], exact[i]) for r in results) + " |")


if __name__ == "__main__":
    main()
