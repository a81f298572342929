"""The linear layer of hvae's networks."""

import torch
from torch import Tensor, nn

from hvae import ops


class Linear(nn.Linear):
    """torch's own, without its initialization and with a choice of who multiplies.

    Attributes:
        products: one of `hvae.ops.PRODUCTS`.
    """

    products = "torch"

    def forward(self, input: Tensor) -> Tensor:
        return ops.linear(input, self.weight, self.bias, self.products)


def linear(inputs: int, outputs: int) -> Linear:
    """A layer without torch's initialization, which would draw from the global generator."""
    return Linear(inputs, outputs, device="meta").to_empty(device=torch.get_default_device())


def use_products(model: nn.Module, products: str) -> None:
    """Let every linear layer of a model multiply by one of `hvae.ops.PRODUCTS`."""
    for layer in model.modules():
        if isinstance(layer, Linear):
            layer.products = products
