"""What values from a JSON document must be, before anything trusts them."""

import math
from typing import TypeGuard


def is_count(value: object) -> TypeGuard[int]:
    """Whether it is a number of things."""
    return type(value) is int and 0 <= value < 2**63


def is_number(value: object) -> bool:
    """Whether it is a finite number."""
    if type(value) not in (int, float):
        return False
    assert isinstance(value, int | float)
    return abs(value) < 1e300 and math.isfinite(value)


def is_text(value: object) -> bool:
    """Whether it is a text."""
    return isinstance(value, str)


def is_texts(value: object) -> bool:
    """Whether it is a list of texts."""
    return isinstance(value, list) and all(map(is_text, value))


def is_versions(value: object) -> bool:
    """Whether it is what `hvae.build.versions` gives."""
    return isinstance(value, dict) and is_texts([*value.keys(), *value.values()])


def is_figures(value: object) -> bool:
    """Whether it is what `hvae.evaluation.elbo.elbo` gives, of a learned prior or another."""
    means, lists = ["elbo", "re", "kl"], ("kl_per_shell", "kappa")
    if not isinstance(value, dict):
        return False
    if "r" in value:
        means += ["r", "prior_components"]
    if set(value) != {*means, *lists}:
        return False
    numbers: list[object] = [value[name] for name in means]
    for name in lists:
        numbers += value[name] if isinstance(value[name], list) else [None]
    return all(map(is_number, numbers))
