"""A piece of work on a GPU as one launch: a CUDA graph."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

WARM_UPS = 3  # that torch asks for: libraries set themselves up, and take their memory


def record(work: Callable[[], None], state: Sequence[Tensor]) -> Callable[[], None]:
    """Work that was recorded; a call plays it back.

    What it reads and writes are the same tensors at every call, and it reads none on the host.

    Args:
        work: on the current device of CUDA.
        state: every tensor that it changes and that counts; recording leaves them as they are.
    """
    kept = [tensor.detach().clone() for tensor in state]
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(WARM_UPS):
            work()
            with torch.no_grad():
                for tensor, before in zip(state, kept, strict=True):
                    tensor.copy_(before)
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        work()
    return graph.replay
