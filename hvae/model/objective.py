"""What a training step minimizes: minus the ELBO, with a weight for each component's KL."""

import torch
from torch import Tensor

from hvae.model.vae import Terms


def loss(terms: Terms, kl_weights: Tensor) -> Tensor:
    """The mean over rows of sum_i weight_i KL_i - log p(x | z), nats.

    Args:
        terms: of R rows with K samples each.
        kl_weights: [n], of every component's KL.

    Returns:
        A scalar. Where `terms.score` is given its gradient has the part that it stands for.
    """
    bound = (torch.mv(terms.kl, kl_weights) - terms.log_likelihood).mean()
    if terms.score is None:
        return bound
    return bound + _score_term(_cost(terms, kl_weights), terms.score)


def _cost(terms: Terms, kl_weights: Tensor) -> Tensor:
    """[K, R]: what of the loss depends on a draw, without gradients."""
    error = -terms.log_likelihood.detach()
    return error if terms.sampled_kl is None else error + terms.sampled_kl @ kl_weights


def _score_term(error: Tensor, score: Tensor) -> Tensor:
    """REINFORCE: the loss of every draw times the score, a scalar of value 0.

    With several samples a row the mean error of its others is the baseline, which leaves the
    gradient unbiased (Mnih, Rezende 2016); with one there is none.

    Args:
        error: [K, R], without gradients.
        score: [K, R].
    """
    samples = len(error)
    if samples > 1:
        error = (error - error.mean(0)) * (samples / (samples - 1))
    return (error * score).mean()
