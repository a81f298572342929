"""What the batching rules (`torch.vmap`) of several ops share."""

from torch import Tensor


def batch_first(x: Tensor, dim: int | None, size: int) -> Tensor:
    """x with its batch dimension first, expanded to `size` where it has none."""
    return x.expand(size, *x.shape) if dim is None else x.movedim(dim, 0)
