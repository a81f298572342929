"""A mixture over the whole product, whose components are products of the shells' own distributions.

    p(z) = p0(z) sum_c w_c prod_i q_ci(z_i) / p0_i(z_i) = p0(z) exp r(z),

with p0 the uniform distribution on spheres and N(0, I) on Euclidean components, and q_ci a von
Mises-Fisher or a diagonal normal distribution. Both are exponential families, so that the logarithm
of a term is linear in statistics of z, and r is one matrix product and a log-sum-exp
(`hvae.ops.log_mixture`). In place of KL(q || p) stands KL(q || p0) - E r(z).
"""

from typing import NamedTuple

import torch
from torch import Tensor

from hvae import ops
from hvae.latent.component import Prior
from hvae.latent.product import Product

_INDEX = 65535  # the place in the stream of what chooses a component, above that of every shell


class _Linear(NamedTuple):
    """log w_c q_c(z) / p0(z) = features(z) @ weight[:, c] + bias[c]."""

    weight: Tensor
    bias: Tensor


class Mixture(Prior):
    """A mixture of C products.

    Args:
        space: the product.
        raw: [C, raw_width], the raw parameters of the components, as a posterior's; their
            concentrations and precisions are bounded (`LatentOptions.prior_precision`).
        log_weights: [C], of any sum; normalised here.
    """

    def __init__(self, space: Product, raw: Tensor, log_weights: Tensor) -> None:
        self.space = space
        self.raw = raw
        self.log_weights = log_weights.log_softmax(0)
        parts = raw.split(space.raw_sizes, -1)
        columns, biases = zip(*space.ratios(parts), strict=True)
        bias = self.log_weights + torch.stack(biases).sum(0)
        self._linear = _Linear(torch.cat(columns, 1).T, bias)

    def __len__(self) -> int:
        """C."""
        return len(self.raw)

    def log_ratio(self, z: Tensor) -> Tensor:
        """r(z) = log p(z) / p0(z) in nats, [...], with gradients, at points [..., m]."""
        return ops.log_mixture(self.space.features(z), *self._linear)

    def responsibilities(self, z: Tensor) -> Tensor:
        """[..., C], the probability of every component given a point [..., m]."""
        weight, bias = self._linear
        return (self.space.features(z) @ weight + bias).softmax(-1)

    def log_prob(self, z: Tensor) -> Tensor:
        return self.space.prior.log_prob(z) + self.log_ratio(z)

    def sample(
        self, rng: Tensor, samples: int, rows: int, dtype: torch.dtype = torch.float32
    ) -> Tensor:
        """A component by its weight, then a point of it."""
        uniform = ops.uniform(rng, samples, rows, 1, shell=_INDEX, dtype=torch.float64)[..., 0]
        edges = self.log_weights.detach().double().exp().cumsum(0)
        chosen = torch.searchsorted(edges, uniform * edges[-1]).clamp_max(len(edges) - 1)
        points = []
        for number, index in enumerate(chosen.unbind()):
            stream = rng + torch.tensor([0, 0, 0, number], device=rng.device)
            raw = self.raw.detach()[index]
            points.append(self.space.members(raw).draw(stream, 1).z)
        return torch.cat(points).to(dtype)
