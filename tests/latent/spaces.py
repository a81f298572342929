"""Latent spaces in float64 and draws of them, for the tests beside this file."""

import torch
from torch.distributions import Independent, Normal

from hvae import random
from hvae.latent import LatentOptions, Product, parse

ROWS, SAMPLES = 6, 40
EPS = 2.0**-52  # of float64, in which all of these tests run that do not say otherwise


def space(text, *options, **named):
    """The product of `text` in float64; options: those of `LatentOptions`."""
    return Product(parse(text), LatentOptions(*options, **named)).double()


def raw_of(product, rows=ROWS, scale=3.0):
    """Raw parameters [rows, raw_width]."""
    generator = torch.Generator().manual_seed(1)
    shape = (rows, product.raw_width)
    return scale * torch.randn(shape, generator=generator, dtype=torch.float64)


def stream(**place):
    """The stream of `drawn`."""
    return random.stream(5, "user", step=2, **place)


def drawn(product, raw, samples=SAMPLES):
    """A draw of the posterior with its log weights."""
    return product.posterior(raw).draw(stream(), samples, with_log_weights=True)


def gaussians(raw, size):
    """The posterior and the prior of `eSIZE` by torch's own distributions."""
    mean, log_variance = raw.split(size, 1)
    posterior = Independent(Normal(mean, (0.5 * log_variance).exp()), 1)
    prior = Independent(Normal(torch.zeros_like(mean), torch.ones_like(mean)), 1)
    return posterior, prior
