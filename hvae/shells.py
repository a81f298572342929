"""The language of `--shells`: which components a latent space is the product of.

`10,10,10,11` is S^9 x S^9 x S^9 x S^10, four von Mises-Fisher shells by ambient dimension; `e41`
is a Euclidean component of 41 dimensions with a diagonal Gaussian posterior; `10,10,e21` mixes
them.
"""

import re
from dataclasses import dataclass

from hvae.errors import Refused

MAX_SIZE = 4096  # the largest dimension for which the accuracy of the kernels is tabulated
MAX_TOTAL = 65536


@dataclass(frozen=True)
class Kind:
    """A row of the table of component kinds.

    Attributes:
        prefix: what stands before the size in `--shells`; it names the kind everywhere.
        name: for people.
        least: the smallest size.
    """

    prefix: str
    name: str
    least: int


SPHERE, EUCLIDEAN = "", "e"

KINDS = {
    kind.prefix: kind
    for kind in (
        Kind(SPHERE, "a von Mises-Fisher shell by ambient dimension", 2),
        Kind(EUCLIDEAN, "a Euclidean component", 1),
    )
}


@dataclass(frozen=True)
class Shell:
    """One component of a latent space: its kind, a key of `KINDS`, and how many coordinates."""

    kind: str
    size: int

    def __str__(self) -> str:
        return f"{self.kind}{self.size}"


def allowed() -> str:
    """One line that says what `--shells` takes."""
    kinds = " or ".join(
        f"{kind.prefix}{kind.least} to {kind.prefix}{MAX_SIZE} ({kind.name})"
        for kind in KINDS.values()
    )
    return f"sizes separated by commas, each {kinds}, at most {MAX_TOTAL} coordinates in all"


def parse(text: str) -> tuple[Shell, ...]:
    """The components that `text` names, in its order.

    Raises:
        Refused: for anything that is not a list of components; the message says what is allowed.
    """
    if not text.strip():
        raise _refused("the list is empty")
    shells = tuple(_component(item.strip()) for item in text.split(","))
    if sum(shell.size for shell in shells) > MAX_TOTAL:
        raise _refused(f"more than {MAX_TOTAL} coordinates")
    return shells


def text(shells: tuple[Shell, ...]) -> str:
    """The canonical text of a latent space: `parse(text(shells)) == shells`."""
    return ",".join(map(str, shells))


def _component(item: str) -> Shell:
    match = re.fullmatch(r"([A-Za-z]*)([0-9]{1,9})", item)
    if match is None:
        raise _refused(f"{_short(item)} is not a component")
    prefix, size = match[1], int(match[2])
    if prefix not in KINDS:
        raise _refused(f"{_short(item)} is of an unknown kind")
    if size < KINDS[prefix].least:
        raise _refused(f"{_short(item)} is too small")
    if size > MAX_SIZE:
        raise _refused(f"{_short(item)} is too large")
    return Shell(prefix, size)


def _short(item: str) -> str:
    return repr(item if len(item) <= 24 else item[:21] + "...")


def _refused(what: str) -> Refused:
    return Refused(f"--shells: {what}; allowed: {allowed()}")
