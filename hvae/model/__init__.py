"""The model: networks, a latent space and a likelihood. It knows no data set, file or command line.

Another likelihood or network is one class and an entry in `hvae.model.likelihoods` or
`hvae.model.networks`, or an entry point of the groups "hvae.likelihoods", "hvae.networks".
"""

from hvae.model.bernoulli import Bernoulli
from hvae.model.learned_priors import PRIORS, LearnedPrior
from hvae.model.likelihood import Likelihood
from hvae.model.likelihoods import LIKELIHOODS
from hvae.model.mlp import MLP
from hvae.model.network import Network
from hvae.model.networks import NETWORKS
from hvae.model.objective import loss
from hvae.model.vae import VAE, Terms

__all__ = [
    "LIKELIHOODS",
    "MLP",
    "NETWORKS",
    "PRIORS",
    "VAE",
    "Bernoulli",
    "LearnedPrior",
    "Likelihood",
    "Network",
    "Terms",
    "loss",
]
