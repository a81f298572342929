"""Posteriors fitted to each row with the decoder held fixed: what the encoder leaves on the table.

The gap between the ELBO of the encoder's posterior and that of the best posterior of the family is
the amortization gap (Cremer, Li, Duvenaud 2018, "Inference suboptimality in variational
autoencoders").
"""

import torch
from torch import Tensor

from hvae import random
from hvae.errors import refused_option
from hvae.evaluation.importance import check_width
from hvae.model import VAE
from hvae.observer import Observer
from hvae.rows import Rows

MAX_STEPS = 10**6
_ROWS = 200
_LR = 0.05  # of raw parameters; falls to 0 along a half cosine


def check_steps(steps: int) -> None:
    """Raises Refused for a number of refinement steps that is not allowed."""
    if not 1 <= steps <= MAX_STEPS:
        raise refused_option("refine", steps, f"an integer from 1 to {MAX_STEPS}")


def refine(
    model: VAE, rows: Rows, steps: int, seed: int, observer: Observer | None = None
) -> Tensor:
    """Raw parameters of posteriors after some steps of Adam on the ELBO of each row.

    They begin as the encoder gives them. A step draws once for each row, row i from row i of the
    stream (seed, "refinement", step); no row has a part in another's steps. The weights of the
    model are held fixed.

    Args:
        model: the model.
        rows: N >= 1 of them, as the data set has them.
        steps: at least 1.
        seed: any integer.
        observer: told of every block of rows.

    Returns:
        [N, raw_width], on the model's device.

    Raises:
        Refused: the number of steps, or the rows are not the model's.
    """
    observer = observer or Observer()
    check_steps(steps)
    check_width(model, rows)
    blocks = []
    with model.evaluating():
        for first in range(0, len(rows), _ROWS):
            batch = rows[first : first + _ROWS].to(model.device)
            blocks.append(_refined(model, batch, first, steps, seed))
            observer.images(first + len(batch), len(rows))
    return torch.cat(blocks)


def _refined(model: VAE, rows: Tensor, first: int, steps: int, seed: int) -> Tensor:
    with torch.no_grad():
        raw, mixture = model.posterior(rows).raw.clone(), model.mixture
    raw.requires_grad_()
    optimizer = torch.optim.Adam([raw], lr=_LR)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for step in range(steps):
        rng = random.stream(seed, "refinement", step=step, row=first, device=rows.device)
        posterior = model.latent.posterior(raw)
        terms = model.terms(rows, rng, posterior=posterior, mixture=mixture)
        bound = terms.log_likelihood.sum() - terms.kl.sum()
        if terms.log_ratio is not None:
            bound = bound + terms.log_ratio.sum()
        (gradient,) = torch.autograd.grad(-bound, raw)
        raw.grad = gradient
        optimizer.step()
        schedule.step()
    return raw.detach()
