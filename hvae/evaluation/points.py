"""Latent points that come from outside: what they must be before a decoder sees them."""

from torch import Tensor

from hvae.errors import Refused
from hvae.latent import Product

UNIT_LENGTH = 1e-3  # how far the length of a shell's part may be from 1: text of 4 digits is


def check_points(latent: Product, z: Tensor, where: str) -> None:
    """Refuse points that are not of a latent space.

    Args:
        latent: the space.
        z: float64.
        where: they come from, for the message.

    Raises:
        Refused: they are not [N, m] with N >= 1, a number is not finite, or the part of a shell has
            not length 1 to within `UNIT_LENGTH`; the message names the first such row.
    """
    if z.ndim != 2 or z.shape[1] != latent.size:
        shape = " x ".join(map(str, z.shape))
        raise Refused(f"{where} is {shape}; allowed: [N, {latent.size}], as the latent space")
    if not len(z):
        raise Refused(f"{where} has no row; allowed: 1 or more")
    lost = (~z.isfinite()).any(1)
    if bool(lost.any()):
        row = int(lost.nonzero()[0])
        raise Refused(f"{where}, row {row} (counted from 0): not finite; allowed: numbers")
    parts = z.split([component.size for component in latent.components], 1)
    for number, (component, part) in enumerate(zip(latent.components, parts, strict=True), 1):
        off = (part.norm(dim=1) - 1).abs() > UNIT_LENGTH
        if component.on_sphere and bool(off.any()):
            row = int(off.nonzero()[0])
            raise Refused(
                f"{where}, row {row} (counted from 0): shell {number} has length "
                f"{part[row].norm():.6g}; allowed: 1, to within {UNIT_LENGTH:g}"
            )
