"""What the encoder says of rows: mean directions, concentrations, and the KL of each component."""

from dataclasses import dataclass

import torch
from torch import Tensor

from hvae import random
from hvae.errors import Diverged
from hvae.evaluation.importance import check_width
from hvae.latent import Product
from hvae.model import VAE
from hvae.observer import Observer
from hvae.rows import Rows

_ENCODER_ROWS = 1000


@dataclass(frozen=True)
class Encoding:
    """Posteriors of N rows on n components with m coordinates in all, on the CPU.

    Attributes:
        mean_direction: [N, m], the posteriors' modes: of a shell the mean direction, a unit vector;
            of a Euclidean component the mean.
        concentration: [N, n], of a shell kappa; of a Euclidean component the precision, averaged
            over its coordinates.
        kl: [N, n], nats, from the prior; from the uniform one where the prior is learned.
    """

    mean_direction: Tensor
    concentration: Tensor
    kl: Tensor


@torch.inference_mode()
def encode(model: VAE, rows: Rows, seed: int = 0, observer: Observer | None = None) -> Encoding:
    """The posterior of every row, in the rows' order.

    The model is evaluated as after training (`VAE.evaluating`). It holds a batch of rows at a time,
    and what it returns.

    Args:
        model: the model.
        rows: N >= 1 of them, as the data set has them.
        seed: of the draws from which a component of another package may estimate its KL; row i is
            row i of the stream "evaluation". The KL of shells and Euclidean components is in closed
            form and depends on no draw.
        observer: told of every batch.

    Returns:
        in the model's dtype.

    Raises:
        Refused: the rows are not the model's.
        Diverged: the posterior of a row is not finite: the row is too far from what the model can
            compute with.
    """
    observer = observer or Observer()
    check_width(model, rows)
    parts = []
    with model.evaluating():
        for first in range(0, len(rows), _ENCODER_ROWS):
            batch = rows[first : first + _ENCODER_ROWS].to(model.device)
            posterior = model.posterior(batch)
            rng = random.stream(seed, "evaluation", row=first, device=batch.device)
            found = (posterior.mode(), posterior.concentration, posterior.draw(rng).kl)
            parts.append([part.cpu() for part in found])
            observer.images(first + len(batch), len(rows))
    encoding = Encoding(*(torch.cat(part) for part in zip(*parts, strict=True)))
    finite = [tensor.isfinite().all(1) for tensor in vars(encoding).values()]
    lost = torch.stack(finite).all(0).logical_not().nonzero().flatten().tolist()
    if lost:
        raise Diverged(f"row {lost[0]}, counted from 0: its posterior is not finite")
    return encoding


def coordinate_names(latent: Product) -> list[str]:
    """[m], "1_1", "1_2", ...: the number of a component and of its coordinate, from 1."""
    sizes = [component.size for component in latent.components]
    return [f"{i}_{j}" for i, size in enumerate(sizes, 1) for j in range(1, size + 1)]
