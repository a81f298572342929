"""The schemas of a run's files: what an earlier version wrote, as this one would have.

The number stands in config.json and in the documents of the safetensors files, under "schema"; the
first two schemas have none. A value that is filled in is the one that did the same then.

1  no kl_weights and samples; a parameterization, which was "paper" always; `threads` may be null
2  kl_weights and samples
3  a schema number, likelihood, network, scale_frame, prior, checkpoint_every, products, data and
   its options; the layer that gives the raw parameters of the posterior is called "to_posterior",
   before it was "head"; beside the weights stands what the data are
"""

import re
from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor

from hvae.errors import Refused

KEY = "schema"
CURRENT = 3


def number(document: Mapping[str, Any]) -> int:
    """The schema of a document that is a configuration, or holds one's keys.

    Raises:
        Refused: it is no schema that this version knows.
    """
    if KEY not in document:
        return 2 if "kl_weights" in document else 1
    found = document[KEY]
    if type(found) is not int or not 3 <= found <= CURRENT:
        raise Refused(
            f"config: schema {str(found)[:40]!r} is unknown; allowed: up to {CURRENT}, that of "
            "this version of hvae"
        )
    return found


def settings(document: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of a configuration of any schema, with the keys of `CURRENT` and no number.

    Raises:
        Refused: as `number`, or a key that came with a later schema than the document's.
    """
    found = number(document)
    given = {name: value for name, value in document.items() if name != KEY}
    for step in _STEPS[found - 1 :]:
        given = step(given)
    return given


def _to_2(given: dict[str, Any]) -> dict[str, Any]:
    """Every KL weighed 1, and a step drew once. Any number of threads gives the same bits."""
    threads = {"threads": 1} if given.get("threads", 1) is None else {}
    return _with({**given, **threads}, kl_weights="equal", samples=1)


def _to_3(given: dict[str, Any]) -> dict[str, Any]:
    file = {"labels": None, "image_shape": None, "layer": None, "covariate": ()}
    return _with(
        given,
        likelihood="bernoulli",
        network="mlp",
        checkpoint_every=10.0,
        scale_frame="mean",
        prior="uniform",
        prior_components=500,
        products="torch",
        prior_precision=1e4,
        data=None,
        split="0.8,0.1,0.1",
        split_seed=0,
        **file,
    )


def _with(given: dict[str, Any], **new: Any) -> dict[str, Any]:
    """The settings with those that the next schema brought, which must not be there before it."""
    early = ", ".join(name for name in new if name in given)
    if early:
        raise Refused(f"config: unknown: {early}; allowed: the settings of its schema only")
    return {**given, **new}


_STEPS: tuple[Callable[[dict[str, Any]], dict[str, Any]], ...] = (_to_2, _to_3)


def tensors(tensors: Mapping[str, Tensor], document: Mapping[str, Any]) -> dict[str, Tensor]:
    """The tensors of a file under the names of `CURRENT`.

    Args:
        tensors: by the names in the file.
        document: of the file, which has the number from schema 3 on.
    """
    if KEY in document:
        return dict(tensors)
    return {re.sub(r"(^|/)head\.", r"\1to_posterior.", name): t for name, t in tensors.items()}
