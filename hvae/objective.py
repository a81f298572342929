"""What a training step minimizes: minus the ELBO, with a weight for each component's KL."""

import torch
from torch import Tensor

from hvae.model import Terms


def loss(terms: Terms, weight: Tensor) -> Tensor:
    """The mean over images of sum_i weight_i KL_i - log p(x | z), nats.

    Args:
        terms: of R images with K samples each.
        weight: [n], of every component's KL.

    Returns:
        A scalar. Where `terms.score` is given its gradient has the part that it stands for.
    """
    bound = (torch.mv(terms.kl, weight) - terms.log_likelihood).mean()
    return bound if terms.score is None else bound + _score_term(terms)


def _score_term(terms: Terms) -> Tensor:
    """REINFORCE: the reconstruction error times the score, a scalar of value 0.

    With several samples an image the mean error of its others is the baseline, which leaves the
    gradient unbiased (Mnih, Rezende 2016); with one there is none.
    """
    error = -terms.log_likelihood.detach()
    samples = len(error)
    if samples > 1:
        error = (error - error.mean(0)) * (samples / (samples - 1))
    return (error * terms.score).mean()
