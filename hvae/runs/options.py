"""What an option of a run is: one declaration gives its default, its check and its help text."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Rule:
    """Which values are allowed.

    Attributes:
        accepts: whether a value is.
        allowed: says which are, for error messages; called when one is made.
    """

    accepts: Callable[[object], bool]
    allowed: Callable[[], str]


@dataclass(frozen=True)
class Option:
    """An option as the command line has it.

    Attributes:
        rule: which values are allowed.
        help: for people, called when help is printed.
        metavar: what stands for a value there; None where its type says enough.
        decides: whether the figures of a run depend on it.
        group: the heading in help texts under which it stands.
        repeatable: whether it may be given several times; its values are a tuple.
    """

    rule: Rule
    help: Callable[[], str]
    metavar: str | None = None
    decides: bool = True
    group: str = ""
    repeatable: bool = False


def option(
    default: Any,
    rule: Rule,
    help: str | Callable[[], str],
    metavar: str | None = None,
    decides: bool = True,
    group: str = "",
    repeatable: bool = False,
) -> Any:
    """A field of a dataclass that is an option, under its own name."""
    text = help if callable(help) else lambda: str(help)
    declared = Option(rule, text, metavar, decides, group, repeatable)
    return field(default=default, metadata={"option": declared})


def integer(least: int, most: int) -> Rule:
    """An integer in this range; True and False are none."""
    return Rule(
        lambda value: type(value) is int and least <= value <= most,
        lambda: f"an integer from {least} to {most}",
    )


def one_of(names: Callable[[], tuple[str, ...]]) -> Rule:
    """One of these names, which are asked for when a value is checked."""
    return Rule(
        lambda value: isinstance(value, str) and value in names(), lambda: ", ".join(names())
    )


def text(allowed: Callable[[], str]) -> Rule:
    """Any text; a language of its own says what of it is allowed."""
    return Rule(lambda value: isinstance(value, str), allowed)


def number(least: float, most: float, allowed: str, above: bool = False) -> Rule:
    """A number in this range, which `allowed` says in words; `above`: `least` is not in it."""

    def accepts(value: object) -> bool:
        if type(value) not in (int, float):
            return False
        assert isinstance(value, int | float)
        return least <= value <= most and not (above and value == least)

    return Rule(accepts, lambda: allowed)
