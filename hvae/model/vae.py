"""The variational auto-encoder: rows to posteriors of a latent space, and latent points to rows."""

import contextlib
from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor, nn

from hvae.latent import Draw, Mixture, Prior, Product, ProductPosterior
from hvae.model.initial_weights import initialize
from hvae.model.learned_priors import LearnedPrior
from hvae.model.likelihood import Likelihood
from hvae.model.linear import Linear
from hvae.model.network import Network
from hvae.rows import Rows

_OBSERVED = 10_000  # training rows among which a learned prior may choose


class Terms(NamedTuple):
    """The parts of the ELBO of R rows with K samples, and what an importance weight adds.

    Attributes:
        log_likelihood: [K, R], log p(x | z) in nats.
        kl: [R, n], nats, a column a component.
        log_weight: [K, R], log p(z) - log q(z | x), or None.
        score: [K, R], as in `hvae.latent.Draw`, or None.
        posterior: of the rows.
        log_ratio: [K, R], r = log p(z) / p0(z) of a learned prior p, of which `kl` knows nothing:
            it is to p0, uniform on spheres. None where p is p0.
        sampled_kl: [K, R, n], as in `hvae.latent.Draw`, or None.
    """

    log_likelihood: Tensor
    kl: Tensor
    log_weight: Tensor | None
    score: Tensor | None
    posterior: ProductPosterior
    log_ratio: Tensor | None = None
    sampled_kl: Tensor | None = None


class VAE(nn.Module):
    """An encoder, a product latent space, a decoder and a likelihood.

    One linear layer gives all raw parameters of the posterior, whose views go to the kernels
    without a copy.

    Args:
        latent: the latent space.
        network: encoder and decoder.
        likelihood: of the data.
        learned_prior: None for the uniform prior (on Euclidean components, the standard normal).

    The weights are not set: call `initialize` or load a state.
    """

    def __init__(
        self,
        latent: Product,
        network: Network,
        likelihood: Likelihood,
        learned_prior: LearnedPrior | None = None,
    ) -> None:
        super().__init__()
        self.latent = latent
        self.encoder = network.encoder
        self.to_posterior = Linear(network.features, latent.raw_width)
        self.decoder = network.decoder
        self.likelihood = likelihood
        self.learned_prior = learned_prior

    def initialize(self, seed: int) -> None:
        """Set the weights: those of the networks by the seed, then as the components want them."""
        initialize(self, seed)
        self.latent.initialize(self.to_posterior.weight.data, self.to_posterior.bias.data)

    @torch.no_grad()
    def observe(self, train: Rows, seed: int) -> None:
        """Look at training rows [N, D + C], on the CPU, once, before training."""
        self.likelihood.observe(train)
        if self.learned_prior is not None:
            data, _ = self.split(train[:_OBSERVED])
            self.learned_prior.observe(self.likelihood.encoder_input(data), seed)

    @property
    def mixture(self) -> Mixture | None:
        """The learned prior as it is now, with gradients; None for the uniform one."""
        if self.learned_prior is None:
            return None
        return self.learned_prior.on(self.latent, self._encoded)

    @property
    def prior(self) -> Prior:
        """p(z)."""
        return self.mixture or self.latent.prior

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.to_posterior.weight.device

    @property
    def dtype(self) -> torch.dtype:
        """Of the weights."""
        return self.to_posterior.weight.dtype

    def split(self, x: Tensor) -> tuple[Tensor, Tensor | None]:
        """Views of rows x [R, D + C]: the data [R, D], the covariates [R, C] or None for C = 0."""
        data = self.likelihood.data
        if not data.covariates:
            return x, None
        return x[:, : data.size], x[:, data.size :]

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
        return self.latent.posterior(self.to_posterior(self.encoder(self.encoder_rows(x))))

    def encoder_rows(self, x: Tensor) -> Tensor:
        """What the encoder is given of rows x [R, D + C]: [R, W]."""
        data, covariates = self.split(x)
        return _beside(self.likelihood.encoder_input(data).to(self.dtype), covariates)

    def decoder_rows(self, z: Tensor, covariates: Tensor | None) -> Tensor:
        """What the decoder is given of points and covariates as `decode` has them: [N, m + C]."""
        seen = _beside(self.latent.to_decoder(z), covariates)
        return seen.reshape(-1, seen.shape[-1])

    def _encoded(self, seen: Tensor, covariates: Tensor | None = None) -> Tensor:
        """Raw parameters [R, raw_width] of what the encoder sees [R, seen.size]; as `decode`."""
        if covariates is None:
            covariates = self._no_covariates(seen)
        raw: Tensor = self.to_posterior(self.encoder(_beside(seen, covariates)))
        return raw

    def decode(self, z: Tensor, covariates: Tensor | None = None) -> Tensor:
        """Parameters [..., outputs] of the likelihood at latent points [..., m].

        The shells of z have length 1; the decoder sees them as `Product.to_decoder` has them, one
        below the other.

        Args:
            z: [..., m].
            covariates: [..., C], whose leading shape broadcasts to that of z; None for zeros.
        """
        if covariates is None:
            covariates = self._no_covariates(z)
        parameters: Tensor = self.decoder(self.decoder_rows(z, covariates))
        return parameters.reshape(*z.shape[:-1], parameters.shape[-1])

    def _no_covariates(self, z: Tensor) -> Tensor | None:
        """Zeros; None for a model that knows no covariates."""
        count = len(self.likelihood.data.covariates)
        return z.new_zeros(count) if count else None

    def terms(
        self,
        x: Tensor,
        rng: Tensor,
        samples: int = 1,
        with_log_weights: bool = False,
        posterior: ProductPosterior | None = None,
        mixture: Mixture | None = None,
    ) -> Terms:
        """The parts of the ELBO.

        Args:
            x: [R, D + C], as the data set has them, or in the model's dtype.
            rng: the stream of the draws.
            samples: K.
            with_log_weights: whether to compute the log weights.
            posterior: of the rows, where it is known already.
            mixture: the learned prior, where it is known already.
        """
        posterior = self.posterior(x) if posterior is None else posterior
        data, covariates = self.split(x)
        draw = posterior.draw(rng, samples, with_log_weights)
        log_likelihood = self.likelihood.log_prob(self.decode(draw.z, covariates), data)
        return self.terms_of(posterior, draw, log_likelihood, mixture)

    def terms_of(
        self,
        posterior: ProductPosterior,
        draw: Draw,
        log_likelihood: Tensor,
        mixture: Mixture | None = None,
    ) -> Terms:
        """The parts of the ELBO, once the points that were drawn are decoded.

        Args:
            posterior, draw: of R rows, and from it.
            log_likelihood: [K, R], log p(x | z) at the points.
            mixture: as in `terms`.
        """
        z, kl, log_weight, score, sampled_kl = draw
        mixture = self.mixture if mixture is None else mixture
        if mixture is None:
            return Terms(log_likelihood, kl, log_weight, score, posterior, None, sampled_kl)
        log_ratio = mixture.log_ratio(z)
        log_weight = None if log_weight is None else log_weight + log_ratio
        return Terms(log_likelihood, kl, log_weight, score, posterior, log_ratio, sampled_kl)


def _beside(x: Tensor, covariates: Tensor | None) -> Tensor:
    """x [..., n] and the covariates behind it, in its dtype."""
    if covariates is None:
        return x
    return torch.cat([x, covariates.to(x.dtype).expand(*x.shape[:-1], -1)], -1)
