"""What a user says of a file of their own, beside its path."""

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass, fields

from hvae.errors import refused_option

SPLIT = "0.8,0.1,0.1"
RAW = "raw"  # the `layer` that is the raw matrix of an .h5ad

_SHAPE_ALLOWED = "sizes joined by x, such as 28x28 or 3x32x32 (channels first)"
_SPLIT_ALLOWED = (
    "three fractions above 0 whose sum is 1, of training, validation and test, such as "
    f"{SPLIT}; or the name of a column that says train, validation or test"
)
_NAME_ALLOWED = "the name of a column, not empty"


@dataclass(frozen=True)
class FileOptions:
    """How a file is to be read. Every field is an option of `hvae train` of that name.

    Attributes:
        labels: the column with the class of each row; None is the one that the format knows, if
            any: the subfolders of a folder of images, "labels" or "y" of an .npz.
        split: three fractions, or the name of a column. An .npz or a folder of images with splits
            of its own keeps them.
        split_seed: of the permutation that the fractions are cut from.
        image_shape: of a row, such as "28x28"; None is that of the file.
        layer: of an .h5ad: None is X, "raw" the raw matrix, else the name of a layer.
        covariate: columns that the model is told beside the data.

    Raises:
        Refused: a value is not allowed.
    """

    labels: str | None = None
    split: str = SPLIT
    split_seed: int = 0
    image_shape: str | None = None
    layer: str | None = None
    covariate: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name in ("labels", "layer"):
            if not _is_name(getattr(self, name) if getattr(self, name) is not None else "-"):
                raise refused_option(name, getattr(self, name), _NAME_ALLOWED)
        covariate = self.covariate
        if not isinstance(covariate, tuple) or not all(map(_is_name, covariate)):
            raise refused_option("covariate", covariate, _NAME_ALLOWED)
        if len(set(covariate)) < len(covariate):
            raise refused_option("covariate", covariate, "every column once")
        if not _is_name(self.split) or (_is_list(self.split) and self.fractions is None):
            raise refused_option("split", self.split, _SPLIT_ALLOWED)
        seed = self.split_seed
        if type(seed) is not int or not 0 <= seed < 2**32:
            raise refused_option("split_seed", seed, f"an integer from 0 to {2**32 - 1}")
        if self.image_shape is not None and self.shape is None:
            raise refused_option("image_shape", self.image_shape, _SHAPE_ALLOWED)

    @property
    def fractions(self) -> tuple[float, float, float] | None:
        """Of training, validation and test; None where `split` names a column."""
        try:
            parts = [float(part) for part in self.split.split(",")]
        except ValueError:
            return None
        good = len(parts) == 3 and all(0 < part < 1 for part in parts)
        if not good or not math.isclose(sum(parts), 1, abs_tol=1e-9):
            return None
        return parts[0], parts[1], parts[2]

    @property
    def shape(self) -> tuple[int, ...] | None:
        """The sizes that `image_shape` names."""
        text = self.image_shape
        if not isinstance(text, str) or not re.fullmatch(
            r"[1-9]\d{0,8}(x[1-9]\d{0,8})*", text, re.A
        ):
            return None
        return tuple(map(int, text.split("x")))

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that these options name; they are no data."""
        split = (self.split,) if self.fractions is None else ()
        return (*((self.labels,) if self.labels else ()), *split, *self.covariate)


NAMES = tuple(field.name for field in fields(FileOptions))


def _is_name(value: object) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _is_list(text: str) -> bool:
    """Whether it is meant as numbers, and not as the name of a column."""
    return re.fullmatch(r"[\d\s.,eE+-]+", text, re.A) is not None and any(c.isdigit() for c in text)


def listed(names: Iterable[str], most: int = 12) -> str:
    """Names for a message of one line, at most so many."""
    every = list(names)
    more = f" and {len(every) - most} more" if len(every) > most else ""
    return (", ".join(every[:most]) or "none") + more
