"""The language of `--kl-weights`: what the KL of each component weighs in the loss.

`equal` is the ELBO; `1,1,1.5` is a weight for each component; `auto` is a weight that follows the
dimension of a shell, so that in an uneven space neither the small shells nor the large are lost.
"""

import re
from collections.abc import Sequence

from hvae.errors import Refused
from hvae.shells import SPHERE, Shell

WORDS = ("auto", "equal")
MIN_WEIGHT, MAX_WEIGHT = 1e-6, 1e6


def allowed() -> str:
    """One line that says what `--kl-weights` takes."""
    return (
        f"{' or '.join(WORDS)}, or a number from {MIN_WEIGHT:g} to {MAX_WEIGHT:g} for each "
        "component of --shells, separated by commas"
    )


def parse(text: str, shells: Sequence[Shell]) -> list[float]:
    """The weight of every component's KL.

    Under `auto` a shell of dimension d = m - 1 has the weight 2 - least d / d, from 1 for the
    smallest to below 2. A von Mises-Fisher posterior is as wide in one direction as in every
    other, so that all d pay for the precision that some need: what a small shell can hold is
    cheaper there, and the large one is for the rest. A Gaussian has a variance for every direction
    and the weight 1.

    Args:
        text: what `--kl-weights` says.
        shells: the components.

    Raises:
        Refused: for anything else; the message says what is allowed.
    """
    text = text.strip()
    if text == "equal":
        return [1.0] * len(shells)
    if text == "auto":
        return _by_dimension(shells)
    weights = [_weight(item.strip()) for item in text.split(",")]
    if len(weights) != len(shells):
        raise _refused(f"a list of {len(weights)} for a space of {len(shells)}")
    return weights


def canonical(text: str, shells: Sequence[Shell]) -> str:
    """The text of equal settings: a word, or the shortest numbers that are the same floats.

    Raises:
        Refused: as `parse`.
    """
    weights = parse(text, shells)
    return text.strip() if text.strip() in WORDS else ",".join(f"{weight!r}" for weight in weights)


def _by_dimension(shells: Sequence[Shell]) -> list[float]:
    """Measured in results/expressivity."""
    dimensions = [shell.size - 1 for shell in shells if shell.kind == SPHERE]
    return [
        2.0 - min(dimensions) / (shell.size - 1) if shell.kind == SPHERE else 1.0
        for shell in shells
    ]


def _weight(item: str) -> float:
    if re.fullmatch(r"[0-9.eE+-]{1,40}", item) is None:
        raise _refused(f"{_short(item)} is not a number")
    try:
        weight = float(item)
    except ValueError:
        raise _refused(f"{_short(item)} is not a number") from None
    if not MIN_WEIGHT <= weight <= MAX_WEIGHT:
        raise _refused(f"{_short(item)} is out of range")
    return weight


def _short(item: str) -> str:
    return repr(item if len(item) <= 24 else item[:21] + "...")


def _refused(what: str) -> Refused:
    return Refused(f"--kl-weights: {what}; allowed: {allowed()}")
