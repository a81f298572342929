"""From settings and a description of the data to the model that they describe."""

from hvae.description import DataDescription
from hvae.latent import LatentOptions, Product, parse
from hvae.model import LIKELIHOODS, NETWORKS, PRIORS, VAE
from hvae.model.initial_weights import seeded
from hvae.model.likelihoods import AUTO, resolved
from hvae.model.linear import use_products
from hvae.runs.config import TrainConfig


def assemble(config: TrainConfig, data: DataDescription) -> VAE:
    """The model, without weights: call its `initialize` or load a state.

    Products that were left to a measurement are torch's (`hvae.runs.products` measures).

    Raises:
        Refused: the likelihood or the network does not fit the data.
    """
    model = _assembled(config, data)
    use_products(model, "torch" if config.products == AUTO else config.products)
    return model


def _assembled(config: TrainConfig, data: DataDescription) -> VAE:
    options = LatentOptions(
        config.parameterization, config.kappa_grad, config.scale_frame, config.prior_precision
    )
    with seeded(config.seed):
        latent = Product(parse(config.shells), options)
        likelihood = LIKELIHOODS[resolved(config.likelihood, data.kind)](data)
        network = NETWORKS[config.network].build(
            likelihood.seen,
            latent.size + len(data.covariates),
            likelihood.outputs,
            config.hidden,
        )
        learned = PRIORS[config.prior]
        if learned is None:
            return VAE(latent, network, likelihood)
        prior = learned(latent, config.prior_components, likelihood.seen)
        return VAE(latent, network, likelihood, prior)
