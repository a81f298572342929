"""The linear layer of hvae's networks."""

from torch import Tensor, nn

from hvae import ops


class Linear(nn.Linear):
    """torch's own, with a choice of who multiplies, and weights that are not set yet.

    Attributes:
        products: one of `hvae.ops.PRODUCTS`.
    """

    products = "torch"

    def reset_parameters(self) -> None:
        """Nothing: torch's initialization would draw from the global generator."""

    def forward(self, input: Tensor) -> Tensor:
        return ops.linear(input, self.weight, self.bias, self.products)


def use_products(model: nn.Module, products: str) -> None:
    """Let every linear layer of a model multiply by one of `hvae.ops.PRODUCTS`."""
    for layer in model.modules():
        if isinstance(layer, Linear):
            layer.products = products
