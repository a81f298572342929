"""The variational auto-encoder: rows to posteriors of a latent space, and latent points to rows."""

import contextlib
from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor, nn

from hvae.latent import Product, ProductPosterior
from hvae.model.initial_weights import initialize
from hvae.model.likelihood import Likelihood
from hvae.model.mlp import linear
from hvae.model.network import Network


class Terms(NamedTuple):
    """The parts of the ELBO of R rows with K samples, and what an importance weight adds.

    Attributes:
        log_likelihood: [K, R], log p(x | z) in nats.
        kl: [R, n], nats, a column a component.
        log_weight: [K, R], log p(z) - log q(z | x), or None.
        score: [K, R], as in `hvae.latent.Draw`, or None.
        posterior: of the rows.
    """

    log_likelihood: Tensor
    kl: Tensor
    log_weight: Tensor | None
    score: Tensor | None
    posterior: ProductPosterior


class VAE(nn.Module):
    """An encoder, a product latent space, a decoder and a likelihood.

    One linear layer gives all raw parameters of the posterior, whose views go to the kernels
    without a copy.

    Args:
        latent: the latent space.
        network: encoder and decoder.
        likelihood: of the data.

    The weights are not set: call `initialize` or load a state.
    """

    def __init__(self, latent: Product, network: Network, likelihood: Likelihood) -> None:
        super().__init__()
        self.latent = latent
        self.encoder = network.encoder
        self.to_posterior = linear(network.features, latent.raw_width)
        self.decoder = network.decoder
        self.likelihood = likelihood

    def initialize(self, seed: int) -> None:
        """Set the weights: those of the networks by the seed, then as the components want them."""
        initialize(self, seed)
        self.latent.initialize(self.to_posterior.weight.data, self.to_posterior.bias.data)

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.to_posterior.weight.device

    @property
    def dtype(self) -> torch.dtype:
        """Of the weights."""
        return self.to_posterior.weight.dtype

    def split(self, x: Tensor) -> tuple[Tensor, Tensor | None]:
        """The data [R, D] and the covariates [R, C] of rows x [R, D + C]; None without any."""
        data = self.likelihood.data
        if not data.covariates:
            return x, None
        return x[:, : data.size], x[:, data.size :].to(self.dtype)

    @contextlib.contextmanager
    def evaluating(self) -> Iterator[None]:
        """In the block every layer does what it does after training.

        There is no dropout, and a batch normalization has its running means, which stay as they
        are.
        """
        modes = [(module, module.training) for module in self.modules()]
        self.eval()
        try:
            yield
        finally:
            for module, training in modes:
                module.training = training

    def posterior(self, x: Tensor) -> ProductPosterior:
        """q(z | x) of rows x [R, D + C]."""
        data, covariates = self.split(x)
        seen = _beside(self.likelihood.encoder_input(data).to(self.dtype), covariates)
        return self.latent.posterior(self.to_posterior(self.encoder(seen)))

    def decode(self, z: Tensor, covariates: Tensor | None = None) -> Tensor:
        """Parameters [..., outputs] of the likelihood at latent points [..., m].

        The shells of z have length 1; the decoder sees them as `Product.to_decoder` has them.

        Args:
            z: [..., m].
            covariates: [..., C] or what broadcasts with it; None is 0 for each.
        """
        count = len(self.likelihood.data.covariates)
        if count and covariates is None:
            covariates = z.new_zeros(count)
        seen = _beside(self.latent.to_decoder(z), covariates)
        parameters: Tensor = self.decoder(seen.flatten(0, -2))
        return parameters.reshape(*seen.shape[:-1], -1)

    def terms(
        self,
        x: Tensor,
        rng: Tensor,
        samples: int = 1,
        with_log_weights: bool = False,
        posterior: ProductPosterior | None = None,
    ) -> Terms:
        """The parts of the ELBO.

        Args:
            x: [R, D + C], as the data set has them, or in the model's dtype.
            rng: the stream of the draws.
            samples: K.
            with_log_weights: whether to compute the log weights.
            posterior: of the rows, where it is known already.
        """
        posterior = self.posterior(x) if posterior is None else posterior
        data, covariates = self.split(x)
        z, kl, log_weight, score = posterior.draw(rng, samples, with_log_weights)
        if covariates is not None:
            covariates = covariates.repeat(samples, 1)
        parameters = self.decode(z.flatten(0, 1), covariates).unflatten(0, (samples, len(x)))
        log_likelihood = self.likelihood.log_prob(parameters, data)
        return Terms(log_likelihood, kl, log_weight, score, posterior)


def _beside(x: Tensor, covariates: Tensor | None) -> Tensor:
    """x [..., n] and the covariates behind it."""
    if covariates is None:
        return x
    return torch.cat([x, covariates.expand(*x.shape[:-1], -1)], -1)
