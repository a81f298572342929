"""What data is: a leaf that data sets, networks, likelihoods and run folders know, and no more."""

import enum
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from hvae.errors import Refused


class Kind(enum.Enum):
    """What the numbers of a row are, as a model sees them."""

    BINARY = "binary"
    UNIT = "unit interval"
    REAL = "real"
    COUNTS = "counts"


@dataclass(frozen=True)
class DataDescription:
    """The shape and the kind of a row of data.

    Attributes:
        shape: of one row before it is flattened: (28, 28) for an image of one channel, (765,) for a
            vector.
        kind: what its numbers are.

    Raises:
        Refused: a shape that is not one or more integers of at least 1.
    """

    shape: tuple[int, ...]
    kind: Kind

    def __post_init__(self) -> None:
        if not self.shape or not all(type(n) is int and n >= 1 for n in self.shape):
            raise Refused(f"data: a row of shape {self.shape}; allowed: sizes of at least 1")

    @property
    def size(self) -> int:
        """D, how many numbers a row has."""
        return math.prod(self.shape)

    def to_json(self) -> dict[str, Any]:
        """The JSON object from which `from_json` makes an equal description."""
        return {"shape": list(self.shape), "kind": self.kind.value}

    @classmethod
    def from_json(cls, document: object) -> "DataDescription":
        """The description that `to_json` wrote.

        Raises:
            Refused: it is not one.
        """
        kinds = [kind.value for kind in Kind]
        if isinstance(document, Mapping) and set(document) == {"shape", "kind"}:
            shape, kind = document["shape"], document["kind"]
            if isinstance(shape, list) and isinstance(kind, str) and kind in kinds:
                return cls(tuple(shape), Kind(kind))
        raise Refused(
            f"data: {str(document)[:80]} is not a description; allowed: a shape, a list of sizes, "
            f"and a kind, one of {', '.join(kinds)}"
        )
