"""A great many draws, searched for anything that is not a point of the sphere.

    python -m hvae.benchmarks.reports.many_draws [--draws 1e8] [--device cpu]

Draws of `VonMisesFisher` with kappa log-uniform on 1e-6 .. 1e8 (a tenth of them 0), loc random,
+e_1 or -e_1, an equal number for m = 2, 3, 4, 11 and 41 in float32 and a tenth as many in float64.
Counted are values that are not finite, and the largest | |z| - 1 | in ulp, summed in float64 (for
float64 draws the sum itself is good to 1 ulp). The last line is one JSON document.
"""

import argparse
import json
import math
import sys
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from hvae.distributions import VonMisesFisher
from hvae.errors import Refused

from ..harness.settings import Settings
from . import command

DIMS = (2, 3, 4, 11, 41)
ROWS, SAMPLES = 10_000, 20
MOST = 1e15


def batch(m: int, dtype: torch.dtype) -> VonMisesFisher:
    """ROWS parameters, those that are known to be awkward among them."""
    loc = torch.nn.functional.normalize(torch.randn(ROWS, m), dim=-1).to(dtype)
    loc[: ROWS // 10] = torch.eye(m, dtype=dtype)[0]
    loc[ROWS // 10 : ROWS // 5] = -torch.eye(m, dtype=dtype)[0]
    kappa = 10 ** (torch.rand(ROWS, dtype=dtype) * 14 - 6)
    kappa[torch.rand(ROWS) < 0.1] = 0
    return VonMisesFisher(loc, kappa, validate_args=False)


def search(z: Tensor) -> tuple[int, float]:
    """(values that are not finite, largest distance of |z| from 1 in ulp)."""
    off = (z.double().square().sum(-1).sqrt() - 1).abs().max().item()
    lost = 0 if math.isfinite(off) else int((~z.isfinite()).sum())
    return lost, off / torch.finfo(z.dtype).eps


def measure(m: int, dtype: torch.dtype, draws: float) -> dict[str, Any]:
    """What is found in at least so many draws."""
    rounds = math.ceil(draws / (ROWS * SAMPLES))
    found = [search(batch(m, dtype).sample((SAMPLES,))) for _ in range(rounds)]
    return {
        "dtype": str(dtype).removeprefix("torch."),
        "m": m,
        "draws": rounds * ROWS * SAMPLES,
        "not_finite": sum(lost for lost, _ in found),
        "ulp": max(ulp for _, ulp in found),
    }


def main(arguments: Sequence[str] | None = None) -> int:
    options = command.Options("many_draws", "Search many draws for faults.")
    options.add_argument("--draws", type=float, default=1e8, help="in float32; default: 1e8")
    options.add_argument("--device", default="cpu", help="cpu, cuda or cuda:N; default: cpu")
    return command.run(options, _report, arguments)


def _report(options: argparse.Namespace) -> None:
    if not 1 <= options.draws <= MOST:
        raise Refused(f"--draws: {options.draws} is not allowed; allowed: from 1 to {MOST:g}")
    torch.manual_seed(0)
    document = []
    with Settings.of(device=options.device).device, torch.no_grad():
        for dtype, share in ((torch.float32, 1.0), (torch.float64, 0.1)):
            for m in DIMS:
                row = measure(m, dtype, options.draws * share / len(DIMS))
                print(
                    "{dtype}, m = {m:2d}: {draws:.3g} draws, {not_finite} not finite, "
                    "{ulp:.2g} ulp".format_map(row)
                )
                document.append(row)
    print(json.dumps(document, allow_nan=False))


if __name__ == "__main__":
    sys.exit(main())
