"""Laplace components: `l5` is R^5 with Laplace posteriors and a standard Laplace prior."""

import math

import torch

from hvae import ops
from hvae.latent import ComponentFamily, Draw, Posterior, Prior


class Laplace(ComponentFamily):
    """Raw parameters: locations [R, m] and log scales [R, m]."""

    title = "a component with Laplace's tails"
    least = 1

    def __init__(self, sizes, first, options):
        super().__init__(sizes, first, options)
        owner = [i for i, size in enumerate(sizes) for _ in range(size)]
        self.raw_sizes = (len(owner), len(owner))
        self.register_buffer("raw_owner", torch.tensor(2 * owner), persistent=False)

    def posterior(self, raw):
        return LaplacePosterior(self, *raw)

    @property
    def prior(self):
        return StandardLaplace(sum(self.sizes), self.first)


class LaplacePosterior(Posterior):
    """Independent coordinates with density exp(-|z - location| / scale) / (2 scale)."""

    def __init__(self, family, location, log_scale):
        self.family, self.location, self.log_scale = family, location, log_scale

    @property
    def concentration(self):
        """1 / scale, averaged over a component's coordinates."""
        sizes = self.location.new_tensor(self.family.sizes)
        return self._by_component(self.log_scale.neg().exp()) / sizes

    def mode(self):
        return self.location

    def draw(self, rng, samples=1, with_log_weights=False):
        """KL = |location| + scale exp(-|location| / scale) - log scale - 1, by coordinate."""
        location, log_scale, scale = self.location, self.log_scale, self.log_scale.exp()
        noise = standard_laplace(rng, samples, *location.shape, self.family.first, location.dtype)
        z = location + scale * noise
        far = location.abs()
        kl = self._by_component(far + scale * torch.exp(-far / scale) - log_scale - 1)
        if not with_log_weights:
            return Draw(z, kl, None)
        return Draw(z, kl, (log_scale + noise.abs() - z.abs()).sum(-1))

    def _by_component(self, terms):
        owner = self.family.raw_owner[: terms.shape[1]]
        return terms.new_zeros(len(terms), len(self.family.sizes)).index_add(1, owner, terms)


class StandardLaplace(Prior):
    """Density exp(-|z|) / 2 for each of m coordinates."""

    def __init__(self, m, first):
        self.m, self.first = m, first

    def sample(self, rng, samples, rows, dtype=torch.float32):
        return standard_laplace(rng, samples, rows, self.m, self.first, dtype)

    def log_prob(self, z):
        return -z.abs().sum(-1) - self.m * math.log(2)


def standard_laplace(rng, samples, rows, m, shell, dtype):
    """[K, R, m] by the inverse of the distribution function."""
    uniform = ops.uniform(rng, samples, rows, m, shell=shell, dtype=dtype)
    side = (2 * uniform - 1).clamp(max=1 - torch.finfo(dtype).eps)  # 1 would be infinitely far
    return -side.sign() * torch.log1p(-side.abs())
