"""What a training step minimizes: minus the ELBO, with a weight for each component's KL."""

import torch
from torch import Tensor

from hvae.model.vae import Terms


def loss(terms: Terms, kl_weights: Tensor) -> Tensor:
    """The mean over rows of sum_i weight_i KL_i - weight_0 r(z) - log p(x | z), nats.

    The KL from a learned prior is sum_i KL_i - E r, of which r has the weight of the components,
    which must be equal then.

    Args:
        terms: of R rows with K samples each.
        kl_weights: [n], of every component's KL.

    Returns:
        A scalar. Where `terms.score` is given its gradient has the part that it stands for.
    """
    gain = terms.log_likelihood
    if terms.log_ratio is not None:
        gain = gain + kl_weights[0] * terms.log_ratio
    bound = (torch.mv(terms.kl, kl_weights) - gain).mean()
    if terms.score is None:
        return bound
    return bound + _score_term(_cost(terms, gain, kl_weights), terms.score)


def _cost(terms: Terms, gain: Tensor, kl_weights: Tensor) -> Tensor:
    """[K, R]: what of the loss depends on a draw, without gradients."""
    cost = -gain.detach()
    return cost if terms.sampled_kl is None else cost + terms.sampled_kl @ kl_weights


def _score_term(error: Tensor, score: Tensor) -> Tensor:
    """REINFORCE: the loss of every draw times the score, a scalar of value 0.

    With several samples a row the mean of its others is the baseline, which leaves the
    gradient unbiased (Mnih, Rezende 2016); with one there is none.

    Args:
        error: [K, R], without gradients.
        score: [K, R].
    """
    samples = len(error)
    if samples > 1:
        error = (error - error.mean(0)) * (samples / (samples - 1))
    return (error * score).mean()
