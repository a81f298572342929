"""The language of `--grid` and `--select`: an option of `hvae train` and several values of it.

`kl-weights=auto;1.5` is two values. A value is written as `hvae train` takes it, so a list keeps
its commas: `hidden=256,128;512,256`.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields
from itertools import product
from typing import Any

from hvae.errors import Refused, refused_option, short
from hvae.runs import TrainConfig
from hvae.runs.config import DATA, options, parse_widths

_OWN = ("shells", "seed")  # a sweep has options of its own for these
_WIDTHS = "hidden"

Values = tuple[str, ...]


GRID, SELECT = "grid", "select"


def keys(option: str = GRID) -> tuple[str, ...]:
    """The settings that may be varied: all on which figures depend, but shells and seed.

    Validation can choose what leaves the data and their likelihood as they are: ELBOs of others do
    not compare.
    """
    free = {name: own for name, own in options().items() if own.decides and name not in _OWN}
    if option == SELECT:
        free = {n: own for n, own in free.items() if own.group != DATA and n != "likelihood"}
    return tuple(free)


def parse(option: str, texts: Sequence[str]) -> dict[str, Values]:
    """The values of every setting that `texts` name, each as it was typed.

    Args:
        option: "grid" or "select", for messages.
        texts: `KEY=V1;V2` each.

    Raises:
        Refused: one is no such text, its key is none of `keys`, or a key or a value comes twice.
    """
    found: dict[str, Values] = {}
    for text in texts:
        key, equals, values = text.partition("=")
        name = key.strip().replace("-", "_")
        if not equals:
            raise refused_option(option, text, "KEY=V1;V2, as in kl-weights=auto;1.5")
        if name not in keys(option):
            allowed = ", ".join(keys(option))
            raise Refused(f"--{option}: {short(key)} cannot be varied; allowed: {allowed}")
        items = tuple(item.strip() for item in values.split(";"))
        if name in found or len(set(items)) < len(items):
            raise refused_option(option, text, "every key and every value once")
        found[name] = items
    return found


def points(grid: Mapping[str, Values]) -> Iterator[dict[str, str]]:
    """Every combination of values, by key; one empty one for an empty grid."""
    for values in product(*grid.values()):
        yield dict(zip(grid, values, strict=True))


def typed(option: str, point: Mapping[str, str]) -> dict[str, Any]:
    """The settings of a point, as `TrainConfig` takes them.

    Raises:
        Refused: a text is not a number where one is wanted.
    """
    return {name: _typed(option, name, text) for name, text in point.items()}


def _typed(option: str, name: str, text: str) -> Any:
    if name == _WIDTHS:
        return parse_widths(text)
    default = next(field.default for field in fields(TrainConfig) if field.name == name)
    if isinstance(default, tuple):
        return tuple(item for item in text.split(",") if item)
    if not isinstance(default, int | float):
        return text
    try:
        return type(default)(text)
    except ValueError:
        allowed = options()[name].rule.allowed()
        raise Refused(
            f"--{option}: {name.replace('_', '-')}: {short(text)} is not allowed; "
            f"allowed: {allowed}"
        ) from None
