"""Latent spaces: products of components, each with a posterior, a prior and the KL between them.

A component of another topology is a subclass of `ComponentFamily` and an entry in
`hvae.latent.kinds`, or an entry point of the group "hvae.components" in another package.
"""

from hvae.latent.component import (
    MOST_PRECISE,
    ComponentFamily,
    Draw,
    LatentOptions,
    Posterior,
    Prior,
)
from hvae.latent.grammar import Component, parse
from hvae.latent.kinds import KINDS
from hvae.latent.mixture import Mixture
from hvae.latent.product import Product, ProductPosterior, ProductPrior
from hvae.latent.sphere import KAPPA_GRADIENTS, PARAMETERIZATIONS
from hvae.ops import SCALE_FRAMES

__all__ = [
    "KAPPA_GRADIENTS",
    "KINDS",
    "MOST_PRECISE",
    "PARAMETERIZATIONS",
    "SCALE_FRAMES",
    "Component",
    "ComponentFamily",
    "Draw",
    "LatentOptions",
    "Mixture",
    "Posterior",
    "Prior",
    "Product",
    "ProductPosterior",
    "ProductPrior",
    "parse",
]
