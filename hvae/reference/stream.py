"""The random stream: its words, held in int64, and how they become numbers.

The words are those of Philox4x32-10 (Salmon, Moraes, Dror, Shaw 2011).
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor

WORD = 0xFFFFFFFF
# The third word of the counter is shell * 2^16 + block; a shell's proposals begin at block 0, the
# normal numbers of its tangent at the middle.
SHELL_INDICES = BLOCKS_PER_SHELL = 1 << 16
TANGENT_BLOCK = 1 << 15


def philox(counter: Tensor, key: Tensor | int) -> Tensor:
    """counter [..., 4] of words in 0 .. 2^32 - 1 (int64), a 64-bit key -> [..., 4] random words."""
    c0, c1, c2, c3 = counter.unbind(-1)
    k0, k1 = key & WORD, (key >> 32) & WORD
    for _ in range(10):
        # An int64 product wraps; its 64 bits are those of the unsigned product.
        p0, p1 = 0xD2511F53 * c0, 0xCD9E8D57 * c2
        c0, c1 = ((p1 >> 32) & WORD) ^ c1 ^ k0, p1 & WORD
        c2, c3 = ((p0 >> 32) & WORD) ^ c3 ^ k1, p0 & WORD
        k0, k1 = (k0 + 0x9E3779B9) & WORD, (k1 + 0xBB67AE85) & WORD
    return torch.stack((c0, c1, c2, c3), -1)


def words_at(rng: Tensor, row: Tensor, sample: Tensor, shell: int, block: Tensor | int) -> Tensor:
    """The four words of a block; row, sample and block broadcast."""
    key, step, row0, sample0 = rng.unbind()
    block = torch.as_tensor(block, device=rng.device)
    place = shell * BLOCKS_PER_SHELL + block
    counter = torch.broadcast_tensors(row0 + row, sample0 + sample, place, step)
    return philox(torch.stack(counter, -1) & WORD, key)


def bits_of(dtype: torch.dtype) -> int:
    """Random bits of a uniform of this dtype."""
    return 31 if dtype == torch.float32 else 52


def blocks_for(n: int, dtype: torch.dtype) -> int:
    """Blocks that hold n numbers: 4 a block in float32, 2 in float64."""
    return -(-n // (4 if dtype == torch.float32 else 2))


def integers(words: Tensor, dtype: torch.dtype) -> Tensor:
    """[..., 4] words -> integers of bits_of(dtype) bits: of one word each (float32) or of two."""
    if dtype == torch.float32:
        return words >> 1
    return (words[..., 0::2] << 20) | (words[..., 1::2] >> 12)


def open_uniform(n: Tensor, bits: int) -> Tensor:
    """The uniform (n + 1/2) 2^-bits, inside (0, 1); 1 minus it is that of 2^bits - 1 - n."""
    return (n.double() + 0.5) * 2.0**-bits


def cos_sin_turn(n: Tensor, bits: int) -> tuple[Tensor, Tensor]:
    """cos and sin of 2 pi open_uniform(n): the nearest quarter turn is taken off as an integer."""
    quarter = (n + (1 << (bits - 3))) >> (bits - 2)
    rest = n - (quarter << (bits - 2))
    angle = (rest.double() + 0.5) * (2.0**-bits * 2 * math.pi)
    c, s = torch.cos(angle), torch.sin(angle)
    odd, half = (quarter & 1) == 1, (quarter & 2) == 2
    c, s = torch.where(odd, -s, c), torch.where(odd, c, s)
    return torch.where(half, -c, c), torch.where(half, -s, s)


def normals(words: Tensor, dtype: torch.dtype) -> Tensor:
    """Box-Muller, [..., 4] words -> [..., 4] normals in float32, [..., 2] in float64."""
    n = integers(words, dtype)
    radius = torch.sqrt(-2 * torch.log(open_uniform(n[..., 0::2], bits_of(dtype))))
    c, s = cos_sin_turn(n[..., 1::2], bits_of(dtype))
    return torch.stack((radius * c, radius * s), -1).flatten(-2)


def uniforms(words: Tensor, dtype: torch.dtype) -> Tensor:
    """[..., 4] words -> [..., 4] uniforms in float32, [..., 2] in float64."""
    return open_uniform(integers(words, dtype), bits_of(dtype))


def places(rng: Tensor, samples: int, rows: int) -> tuple[Tensor, Tensor]:
    """(row, sample) index tensors that broadcast to [samples, rows]."""
    row = torch.arange(rows, device=rng.device)
    return row, torch.arange(samples, device=rng.device)[:, None]


def fill(
    rng: Tensor,
    row: Tensor,
    sample: Tensor,
    shell: int,
    base: int,
    n: int,
    dtype: torch.dtype,
    numbers: Callable[[Tensor, torch.dtype], Tensor],
) -> Tensor:
    """[..., n] numbers of consecutive blocks from `base` on; row and sample broadcast to [...].

    numbers: makes the numbers of a block from its words, `normals` or `uniforms`.
    """
    blocks = base + torch.arange(blocks_for(n, dtype), device=rng.device)
    words = words_at(rng, row[..., None], sample[..., None], shell, blocks)
    return numbers(words, dtype).flatten(-2)[..., :n]
