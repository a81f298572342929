"""Counter-based random streams: who draws what, so that no two purposes ever share a number.

A stream is four integers in one int64 tensor, `(key, step, row, sample)`. The kernels use
Philox4x32-10 (Salmon, Moraes, Dror, Shaw 2011) with that key and the counter (row, sample, shell *
2^16 + block, step), so a number depends on its place
and on nothing else: not on the device, the threads, the chunks or the order of the work.
"""

import torch

PURPOSES = (
    "train",
    "validation",
    "evaluation",
    "binarization",
    "shuffle",
    "weights",
    "prior",
    "user",
    "refinement",
)

_MASK = (1 << 64) - 1


def _splitmix64(x: int) -> int:
    """The finalizer of SplitMix64 (Steele, Lea, Flood 2014), a bijection of 64-bit integers."""
    x = (x + 0x9E3779B97F4A7C15) & _MASK
    x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & _MASK
    return x ^ (x >> 31)


def key(seed: int, purpose: str) -> int:
    """The 64-bit Philox key of a purpose under a seed, as a signed integer.

    For one purpose different seeds have different keys, and for one seed different purposes do.

    Args:
        seed: any integer; taken modulo 2^64.
        purpose: one of `PURPOSES`.

    Raises:
        ValueError: for an unknown purpose.
    """
    if purpose not in PURPOSES:
        raise ValueError(f"purpose {purpose!r} is unknown; allowed: {', '.join(PURPOSES)}")
    mixed = _splitmix64(_splitmix64(seed & _MASK) ^ (PURPOSES.index(purpose) + 1))
    return mixed - (1 << 64) if mixed >> 63 else mixed


def stream(
    seed: int,
    purpose: str,
    step: int = 0,
    row: int = 0,
    sample: int = 0,
    device: torch.device | str | None = None,
) -> torch.Tensor:
    """The int64 tensor [4] `(key, step, row, sample)` that every random op takes.

    Args:
        seed: any integer.
        purpose: one of `PURPOSES`.
        step: training step, epoch or 0; row: index of the first row; sample: index of the first
            sample (each below 2^32).
        device: where the tensor lives; that of the op's other arguments.
    """
    return torch.tensor([key(seed, purpose), step, row, sample], dtype=torch.int64, device=device)


def seed_of(rng: torch.Tensor) -> int:
    """A seed below 2^63 for a generator of torch, made of all four integers of a stream.

    For draws that no kernel makes. It reads the stream on the host.
    """
    mixed = 0
    for word in rng.tolist():
        mixed = _splitmix64(mixed ^ (word & _MASK))
    return mixed >> 1
