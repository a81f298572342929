"""The log-likelihood of Bernoulli pixels."""

from torch import Tensor
from torch.nn.functional import logsigmoid


def bernoulli_log_prob(logits: Tensor, x: Tensor) -> Tensor:
    """sum_j x_j l_j - log(1 + exp l_j), the log-likelihood of independent Bernoulli pixels x.

    Args:
        logits: [..., D].
        x: [..., D], in logits' dtype or uint8; its leading shape is a suffix of that of logits.

    Returns:
        [...], the leading shape of logits, in its dtype.
    """
    x, wide = x.double(), logits.double()
    terms = x * logsigmoid(wide) + (1 - x) * logsigmoid(-wide)
    return terms.sum(-1).to(logits.dtype)
