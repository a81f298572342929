"""What a training step cannot do without: its matrix products, by the library that is best."""

import time
from collections.abc import Callable, Iterator
from functools import partial

import torch
from torch import Tensor, nn

from hvae.model import VAE
from hvae.ops import PRODUCTS, available_products

_TRIALS = 7

Product = Callable[[], object]


class Floor:
    """The products of one step: of every linear layer forwards, and its two derivatives.

    Each is done by the library that was the fastest at it just before. The first layer has no
    derivative in its input. They are called beside each other, with no graph.

    Args:
        model: whose linear layers count.
        rows: of a step.
    """

    name = "its products"

    def __init__(self, model: VAE, rows: int) -> None:
        layers = [layer for layer in model.modules() if isinstance(layer, nn.Linear)]
        self.operations = 0
        self._products: list[Product] = []
        for number, layer in enumerate(layers):
            for a, b in _factors(layer, rows, first=number == 0):
                self.operations += 2 * a.numel() * len(b)
                self._products.append(_fastest([partial(way, a, b) for way in _ways(a)]))

    @torch.inference_mode()
    def __call__(self) -> None:
        for product in self._products:
            product()


def _factors(layer: nn.Linear, rows: int, first: bool) -> Iterator[tuple[Tensor, Tensor]]:
    """The pairs a, b whose products a b^T a step computes, in the strides in which it has them."""
    weight = layer.weight.detach()
    x = torch.randn(rows, layer.in_features, device=weight.device)
    grad = torch.randn(rows, layer.out_features, device=weight.device)
    yield x, weight
    yield grad.t(), x.t()
    if not first:
        yield grad, weight.t()


def _ways(a: Tensor) -> list[Callable[[Tensor, Tensor], Tensor]]:
    known = available_products() if a.is_cpu else PRODUCTS[:1]
    ways = {"torch": _by_torch, "onednn": _by_onednn}
    return [ways[name] for name in known]


def _by_torch(a: Tensor, b: Tensor) -> Tensor:
    return torch.mm(a, b.t())


def _by_onednn(a: Tensor, b: Tensor) -> Tensor:
    product: Tensor = torch.ops.mkldnn._linear_pointwise(a, b, None, "none", [], "")
    return product


@torch.inference_mode()
def _fastest(ways: list[Product]) -> Product:
    if len(ways) == 1:
        return ways[0]
    seconds = [[_seconds(way) for way in ways] for _ in range(_TRIALS)]
    best = [min(column) for column in zip(*seconds, strict=True)]
    return ways[best.index(min(best))]


def _seconds(work: Product) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began
