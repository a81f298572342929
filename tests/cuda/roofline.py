"""What the kernels issue, counted in the emulator, against the limits of an H100.

    python tests/cuda/roofline.py [SOURCE]

Instructions are those of nvcc's PTX at about the slots that ptxas makes of each
(translation/costs.py), of a warp that reconverges at once. From them two bounds of the time on an
H100 SXM: 132 SMs x 4 schedulers x 1.98 GHz issue 1.045e12 warp instructions a second, and memory
gives 3.35e12 bytes a second (NVIDIA H100 datasheet). No time is measured: a kernel that waits for
memory, or for its own results, takes longer.

Needs nvcc. SOURCE is a checkout with the ops of this one, the current folder by default.
"""

import os
import re
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parent))
from translation.build import Build, cached

from hvae import ops

ISSUES, BYTES = 132 * 4 * 1.98e9, 3.35e12  # a second
WARP = 32
SHELLS = [10, 10, 10, 11]


@dataclass(frozen=True)
class Launch:
    """One launch: issue slots of its warps, and what part of their lanes was busy."""

    kernel: str
    warps: int
    slots: float
    busy: float
    double_precision: int


def launches(call: Callable[[], object]) -> list[Launch]:
    """Those of a call; the library prints them to the standard output of C."""
    sys.stdout.flush()
    saved = os.dup(1)
    with tempfile.TemporaryFile() as file:
        os.dup2(file.fileno(), 1)
        try:
            call()
            torch.ops.hvae_emulator.flush()
        finally:
            os.dup2(saved, 1)
        file.seek(0)
        text = file.read().decode()
    found = []
    for line in re.findall(r"PROFILE (.*)", text):
        key, _, _, warps, slots, lanes, _, _, double = line.split("|")
        busy = float(lanes) / WARP / float(slots)
        found.append(Launch(key, int(warps), float(slots), busy, int(double)))
    return found


def row(title: str, found: Sequence[Launch], scale: float, moved: float, items: float) -> str:
    """A line of the table: all launches of a call, `scale` times over.

    Args:
        moved: bytes read and written of the whole; items: what the whole makes, e.g. draws.
    """
    slots = sum(launch.slots for launch in found) * scale
    issue, memory = slots / ISSUES, moved / BYTES
    busy = sum(launch.busy * launch.slots for launch in found) / sum(f.slots for f in found)
    double = sum(launch.double_precision for launch in found)
    share = min(1.0, memory / issue)
    return (
        f"| {title} | {slots * WARP / items:,.0f} | {busy:.0%} | {issue * 1e3:.3g} | "
        f"{memory * 1e3:.3g} | {share:.0%} | {double if double else 'none'} |"
    )


def draws(dims: Sequence[int], rows: int, emulated: int, samples: int, gradient: int = 0) -> list:
    """Lines of a draw and its gradient: `emulated` rows stand for `rows`."""
    generator = torch.Generator().manual_seed(0)
    raw = torch.randn(emulated, sum(dims), generator=generator)
    kappa = 10 ** (torch.rand(emulated, len(dims), generator=generator) * 4 - 1)
    rng = torch.tensor([1, 2, 0, 0])
    gpu, cpu = torch.ops.hvae_emulated, torch.ops.hvae
    shells, width = len(dims), sum(dims)
    forward = launches(lambda: gpu.sample(raw, kappa, dims, rng, samples, gradient, 0))
    z, _, theta, kl, slope = cpu.sample(raw, kappa, dims, rng, samples, gradient, 0)
    arguments = (torch.randn_like(z), torch.randn_like(kl), raw, kappa, theta, slope, dims, rng)
    backward = launches(lambda: gpu.sample_backward(*arguments, gradient, 0))
    scale, items = rows / emulated, rows * samples * shells
    name = ",".join(map(str, dims)) if shells < 5 else f"{shells} of {dims[0]}"
    case = f"{name}, {rows:,} rows" + (f" x {samples}" if samples > 1 else "")
    moved = 4 * rows * (width + shells + samples * (width + 2 * shells) + 2 * shells)
    back = 4 * rows * (samples * (width + shells) + 2 * width + 4 * shells)
    kind = ("", " (naive)")[gradient]
    return [
        row(f"sample, {case}", forward, scale, moved, items),
        row(f"its backward{kind}", backward, scale, back, items),
    ]


def columns(quantity: str, rows: int) -> str:
    generator = torch.Generator().manual_seed(0)
    kappa = 10 ** (torch.rand(rows, len(SHELLS), generator=generator) * 6 - 2)
    orders, index = [m / 2 - 1 for m in SHELLS], ops.QUANTITIES.index(quantity)
    found = launches(lambda: torch.ops.hvae_emulated.columns(kappa, orders, index))
    return row(f"columns {quantity}", found, 1, 12 * kappa.numel(), kappa.numel())


def bernoulli(dtype: torch.dtype) -> list:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(500, 784, generator=generator) * 3
    x = (torch.rand(100, 784, generator=generator) < 0.3).to(dtype)
    gpu, n = torch.ops.hvae_emulated, logits.numel()
    forward = launches(lambda: gpu.bernoulli(logits, x))
    backward = launches(lambda: gpu.bernoulli_backward(torch.randn(500), logits, x))
    name = f"Bernoulli, x of {str(dtype).removeprefix('torch.')}"
    return [row(name, forward, 1, 4 * n, n), row("its backward", backward, 1, 8 * n, n)]


def main() -> None:
    source = Path(sys.argv[1] if len(sys.argv) > 1 else ".").resolve()
    build = Build(
        ptx=True,
        counted=True,
        optimize="-O1",
        files=("sample.cu", "bernoulli.cu", "columns.cu"),
        wanted=lambda key: "float" in key.split(),
    )
    torch.ops.load_library(cached(build, source, "counted"))
    torch.set_num_threads(1)
    print("| float32 | slots an item | lanes busy | issue, ms | memory, ms | bandwidth | double |")
    print("|---|---|---|---|---|---|---|")
    lines = [
        *draws(SHELLS, 1_000_000, 2000, 1),
        *draws(SHELLS, 1_000_000, 2000, 1, gradient=1)[1:],
        *draws(SHELLS, 1_000_000, 250, 8),
        *draws([41], 1_000_000, 1000, 1),
        *draws([2] * 20, 100_000, 200, 1),
        *draws([512], 10_000, 40, 1),
        *(columns(name, 8192) for name in ("L", "k_minus_L", "A", "KL")),
        *bernoulli(torch.uint8),
        *bernoulli(torch.float32),
    ]
    print("\n".join(lines))


if __name__ == "__main__":
    main()
