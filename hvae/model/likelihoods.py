"""The likelihoods, by what `--likelihood` takes."""

from hvae.model.bernoulli import Bernoulli
from hvae.model.likelihood import Likelihood
from hvae.registry import Registry

LIKELIHOODS: Registry[Likelihood] = Registry(
    "hvae.likelihoods", Likelihood, {"bernoulli": Bernoulli}
)
