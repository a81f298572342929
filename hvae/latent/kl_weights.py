"""The language of `--kl-weights`: what the KL of each component weighs in the loss.

`equal` is the ELBO; `1.5` is the weight of every component; `1,1,1.5` is a weight for each; `auto`
is a weight that every kind of component chooses for its own, so that in an uneven space neither the
small shells nor the large are lost. A learned prior is one over all components, so that its part of
the KL has one weight, and so must they; `auto` is 1 there.
"""

import re
from collections.abc import Sequence

from hvae.errors import Refused, short
from hvae.latent.grammar import Component
from hvae.latent.kinds import KINDS

WORDS = ("auto", "equal")
MIN_WEIGHT, MAX_WEIGHT = 1e-6, 1e6


def allowed() -> str:
    """One line that says what `--kl-weights` takes."""
    return (
        f"{' or '.join(WORDS)}, or a number from {MIN_WEIGHT:g} to {MAX_WEIGHT:g}, or one for each "
        "component of --shells, separated by commas"
    )


def parse(text: str, components: Sequence[Component], learned_prior: bool = False) -> list[float]:
    """The weight of every component's KL.

    Args:
        text: what `--kl-weights` says.
        components: those of the latent space.
        learned_prior: whether there is one, which asks for equal weights.

    Raises:
        Refused: for anything else; the message says what is allowed.
    """
    text = text.strip()
    if text == "equal":
        return [1.0] * len(components)
    if text == "auto":
        return [1.0] * len(components) if learned_prior else _auto(components)
    weights = [_weight(item.strip()) for item in text.split(",")]
    if len(weights) == 1:
        weights *= len(components)
    if len(weights) != len(components):
        raise _refused(f"a list of {len(weights)} for a space of {len(components)}")
    if learned_prior and len(set(weights)) > 1:
        raise Refused(
            "--kl-weights: a learned prior has one weight with all components; allowed: one number"
        )
    return weights


def canonical(text: str, components: Sequence[Component], learned_prior: bool = False) -> str:
    """The text of equal settings: a word, or the shortest numbers that are the same floats.

    Raises:
        Refused: as `parse`.
    """
    weights = parse(text, components, learned_prior)
    return text.strip() if text.strip() in WORDS else ",".join(f"{weight!r}" for weight in weights)


def _auto(components: Sequence[Component]) -> list[float]:
    """Each kind weighs its own (`ComponentFamily.auto_kl_weights`)."""
    kinds = dict.fromkeys(component.kind for component in components)
    sizes = {kind: [c.size for c in components if c.kind == kind] for kind in kinds}
    weights = {kind: iter(KINDS[kind].auto_kl_weights(sizes[kind])) for kind in kinds}
    return [next(weights[component.kind]) for component in components]


def _weight(item: str) -> float:
    if re.fullmatch(r"[0-9.eE+-]{1,40}", item) is None:
        raise _refused(f"{short(item)} is not a number")
    try:
        weight = float(item)
    except ValueError:
        raise _refused(f"{short(item)} is not a number") from None
    if not MIN_WEIGHT <= weight <= MAX_WEIGHT:
        raise _refused(f"{short(item)} is out of range")
    return weight


def _refused(what: str) -> Refused:
    return Refused(f"--kl-weights: {what}; allowed: {allowed()}")
