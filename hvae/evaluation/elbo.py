"""The ELBO of a split, and the means over rows that every report has."""

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from hvae import random
from hvae.model import VAE
from hvae.ranks import ALONE, Ranks
from hvae.rows import Rows

_ENCODER_ROWS = 1000


@torch.no_grad()
def elbo(model: VAE, rows: Rows, seed: int, ranks: Ranks = ALONE) -> dict[str, Any]:
    """The ELBO at KL weight 1 with one sample a row, the same noise at every call.

    The model is evaluated as after training (`VAE.evaluating`).

    Args:
        model: the model.
        rows: N of them, as the data set has them.
        seed: of the stream "validation", step 0, row = index of the row.
        ranks: the processes that share the rows; each has the whole model, and all the figures.

    Returns:
        `summary` of the rows.
    """
    parts, ratios, uses = [], [], []
    mine = ranks.share(len(rows))
    with model.evaluating():
        mixture = model.mixture
        for first in range(mine.start, max(mine.stop, mine.start + 1), _ENCODER_ROWS):
            batch = rows[first : min(first + _ENCODER_ROWS, mine.stop)].to(model.device)
            rng = random.stream(seed, "validation", row=first, device=batch.device)
            terms = model.terms(batch, rng, mixture=mixture)
            parts.append((terms.log_likelihood[0], terms.kl, terms.posterior.concentration))
            if mixture is not None and terms.log_ratio is not None:
                ratios.append(terms.log_ratio[0])
                uses.append(mixture.responsibilities(terms.posterior.mode()).sum(0))
    places = torch.arange(mine.start, mine.stop, device=model.device)

    def whole(part: Sequence[Tensor]) -> Tensor:
        return ranks.whole(torch.cat(list(part)), places, len(rows))

    log_likelihood, kl, concentration = map(whole, zip(*parts, strict=True))
    if mixture is None:
        return summary(log_likelihood, kl, concentration)
    found = summary(log_likelihood, kl, concentration, whole(ratios))
    (used,) = ranks.sum([torch.stack(uses).sum(0)])
    return {**found, "prior_components": perplexity(used)}


def summary(
    log_likelihood: Tensor, kl: Tensor, concentration: Tensor, log_ratio: Tensor | None = None
) -> dict[str, Any]:
    """Means over rows: `elbo`, `re`, `kl`, `kl_per_shell`, and the concentrations `kappa`.

    With a learned prior also `r`, of which the ELBO has that much more: `kl` is to the uniform.

    Args:
        log_likelihood: [N], log p(x | z); kl: [N, n]; concentration: [N, n].
        log_ratio: [N], r(z) of a learned prior.
    """
    columns = torch.cat([-log_likelihood[:, None], kl, concentration], 1)
    re, *means = columns.double().mean(0).tolist()
    kl_per_shell, kappa = means[: kl.shape[1]], means[kl.shape[1] :]
    total = math.fsum(kl_per_shell)
    found = {
        "elbo": -(re + total),
        "re": re,
        "kl": total,
        "kl_per_shell": kl_per_shell,
        "kappa": kappa,
    }
    if log_ratio is None:
        return found
    r = log_ratio.double().mean().item()
    return {**found, "elbo": r - (re + total), "r": r}


def perplexity(weights: Tensor) -> float:
    """How many of the components are in use: exp of the entropy of weights [C] of any sum."""
    share = weights.double() / weights.double().sum()
    return math.exp(torch.special.entr(share).sum().item())
