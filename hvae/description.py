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
        covariates: what a model is told beside the data, "COLUMN=VALUE" for each: a row has a 1
            behind its data where it has that value, else a 0.
        maxima: of counts, the largest of every number in all rows; None where that is not known.
        features: names of the numbers; None where there are none.

    Raises:
        Refused: a shape that is not one or more integers of at least 1, maxima or features that are
            not one for every number, or a negative maximum.
    """

    shape: tuple[int, ...]
    kind: Kind
    covariates: tuple[str, ...] = ()
    maxima: tuple[int, ...] | None = None
    features: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        if not self.shape or not all(type(n) is int and n >= 1 for n in self.shape):
            raise Refused(f"data: a row of shape {self.shape}; allowed: sizes of at least 1")
        for name, values in (("maxima", self.maxima), ("features", self.features)):
            if values is not None and len(values) != self.size:
                raise Refused(
                    f"data: {len(values)} {name} for {self.size} numbers; allowed: one for each"
                )
        if self.maxima is not None and min(self.maxima) < 0:
            raise Refused(f"data: maxima down to {min(self.maxima)}; allowed: 0 or more")

    @property
    def size(self) -> int:
        """D, how many numbers of data a row has."""
        return math.prod(self.shape)

    @property
    def width(self) -> int:
        """W, D and the covariates: how many numbers a row has in all."""
        return self.size + len(self.covariates)

    def to_json(self) -> dict[str, Any]:
        """The JSON object from which `from_json` makes an equal description."""
        more = {
            name: list(values)
            for name in _LISTS
            if (values := getattr(self, name)) is not None and values != ()
        }
        return {"shape": list(self.shape), "kind": self.kind.value, **more}

    @classmethod
    def from_json(cls, document: object) -> "DataDescription":
        """The description that `to_json` wrote.

        Raises:
            Refused: it is not one.
        """
        if not (isinstance(document, Mapping) and _is_description(document)):
            kinds = ", ".join(kind.value for kind in Kind)
            raise Refused(
                f"data: {str(document)[:80]} is not a description; allowed: a shape, a list of "
                f"sizes, and a kind, one of {kinds}"
            )
        lists = {name: tuple(document[name]) for name in _LISTS if name in document}
        return cls(tuple(document["shape"]), Kind(document["kind"]), **lists)


_LISTS = {"covariates": str, "maxima": int, "features": str}


def _is_description(document: Mapping[Any, Any]) -> bool:
    required, kinds = {"shape", "kind"}, [kind.value for kind in Kind]
    return (
        required <= set(document) <= required | set(_LISTS)
        and isinstance(document["shape"], list)
        and document["kind"] in kinds
        and all(
            isinstance(document.get(name, []), list)
            and all(type(value) is kind for value in document.get(name, []))
            for name, kind in _LISTS.items()
        )
    )
