"""The reflection by which samplers on a sphere usually reach a mean direction."""

from torch import Tensor


def reflected(y: Tensor, mu: Tensor) -> Tensor:
    """The Householder reflection that takes e_1 to mu, applied to y: both [..., m].

    The padding of 1e-5, which is usual, keeps mu = e_1 from 0/0 and makes the reflection crooked.
    """
    e1 = mu.new_zeros(mu.shape[-1])
    e1[0] = 1
    u = e1 - mu
    u = u / (u.norm(dim=-1, keepdim=True) + 1e-5)
    return y - 2 * (u * y).sum(-1, keepdim=True) * u
