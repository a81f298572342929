"""The language of `--shells`: which components a latent space is the product of.

`10,10,10,11` is S^9 x S^9 x S^9 x S^10, four von Mises-Fisher shells by ambient dimension; `e41`
is a Euclidean component of 41 dimensions with a diagonal Gaussian posterior; `10,10,e21` mixes
them. `s10` is a shell with a width for every direction, `p10` a Power Spherical one, `c10` a
spherical Cauchy one. Kinds of other packages have letters of their own (`hvae.latent.kinds`).
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from hvae.errors import Refused, short
from hvae.latent.kinds import KINDS

MAX_SIZE = 4096  # the largest dimension for which the accuracy of the kernels is tabulated
MAX_TOTAL = 65536


@dataclass(frozen=True)
class Component:
    """One component of a latent space: its kind, a key of `KINDS`, and how many coordinates."""

    kind: str
    size: int

    def __str__(self) -> str:
        return f"{self.kind}{self.size}"

    @property
    def on_sphere(self) -> bool:
        """Whether its points have length 1."""
        return KINDS[self.kind].on_sphere


def allowed() -> str:
    """One line that says what `--shells` takes."""
    kinds = ", ".join(
        f"{prefix}{family.least} to {prefix}{MAX_SIZE} ({family.title})"
        for prefix, family in KINDS.items()
    )
    return f"ambient sizes separated by commas: {kinds}; at most {MAX_TOTAL} in all"


def parse(text: str) -> tuple[Component, ...]:
    """The components that `text` names, in its order.

    Raises:
        Refused: for anything that is not a list of components; the message says what is allowed.
    """
    if not text.strip():
        raise _refused("the list is empty")
    components = tuple(_component(item.strip()) for item in text.split(","))
    if sum(component.size for component in components) > MAX_TOTAL:
        raise _refused(f"more than {MAX_TOTAL} coordinates")
    return components


def text(components: Sequence[Component]) -> str:
    """The canonical text of a latent space: `parse(text(components)) == components`."""
    return ",".join(map(str, components))


def _component(item: str) -> Component:
    match = re.fullmatch(r"([A-Za-z]*)([0-9]{1,9})", item)
    if match is None:
        raise _refused(f"{short(item)} is not a component")
    prefix, size = match[1], int(match[2])
    if prefix not in KINDS:
        raise _refused(f"{short(item)} is of an unknown kind")
    if size < KINDS[prefix].least:
        raise _refused(f"{short(item)} is too small")
    if size > MAX_SIZE:
        raise _refused(f"{short(item)} is too large")
    return Component(prefix, size)


def _refused(what: str) -> Refused:
    return Refused(f"--shells: {what}; allowed: {allowed()}")
