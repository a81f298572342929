"""How well a model explains each row: its ELBO and its log-likelihood."""

from dataclasses import dataclass

from torch import Tensor

from hvae.errors import Diverged
from hvae.evaluation.importance import by_row
from hvae.model import VAE
from hvae.observer import Observer
from hvae.rows import Rows


@dataclass(frozen=True)
class Scores:
    """Of N rows, nats, float64 on the CPU.

    The mean of each over rows is that of `hvae.evaluation.importance.Evaluation`, but for rounding.

    Attributes:
        elbo: [N], mean log p(x | z) over the samples, less the KL of all components, more r of a
            learned prior.
        ll: [N], log (1/K) sum_k p(x | z_k) p(z_k) / q(z_k | x).
    """

    elbo: Tensor
    ll: Tensor


def score(
    model: VAE, rows: Rows, samples: int = 500, seed: int = 0, observer: Observer | None = None
) -> Scores:
    """ELBO and log-likelihood of every row, in the rows' order.

    Row i and sample k draw from row i, sample k of the stream (seed, "evaluation"), so that a row's
    scores depend on the seed and on its number, and on no batch but for rounding.

    Args:
        model, rows, samples, seed, observer: as `hvae.evaluation.importance.evaluate`.

    Returns:
        the scores; minus infinity of a row that the model holds to be impossible, such as one with
        a count above the largest of a binomial likelihood.

    Raises:
        Refused, EnvironmentProblem: as `evaluate`.
        Diverged: a row's scores are not numbers: the row is too far from what the model can
            compute with.
    """
    found = by_row(model, rows, samples, seed, observer).cpu()
    first, last = 2, 2 + len(model.latent.components)
    ll, kl, log_ratio = found[:, 0], found[:, first:last].sum(1), found[:, last:].sum(1)
    scores = Scores(found[:, 1] - kl + log_ratio, ll)
    lost = (scores.elbo.isnan() | ll.isnan()).nonzero().flatten().tolist()
    if lost:
        raise Diverged(f"row {lost[0]}, counted from 0: the ELBO or the LL is not a number")
    return scores
