"""The likelihoods, by what `--likelihood` takes, and which one a kind of data has by default."""

from hvae.description import Kind
from hvae.model.bernoulli import Bernoulli
from hvae.model.binomial import Binomial
from hvae.model.categorical import Categorical
from hvae.model.continuous_bernoulli import ContinuousBernoulli
from hvae.model.gaussian import Gaussian
from hvae.model.likelihood import Likelihood
from hvae.model.negative_binomial import NegativeBinomial
from hvae.model.poisson import Poisson
from hvae.registry import Registry

LIKELIHOODS: Registry[Likelihood] = Registry(
    "hvae.likelihoods",
    Likelihood,
    {
        "bernoulli": Bernoulli,
        "continuous-bernoulli": ContinuousBernoulli,
        "gaussian": Gaussian,
        "poisson": Poisson,
        "negative-binomial": NegativeBinomial,
        "binomial": Binomial,
        "categorical": Categorical,
    },
)

AUTO = "auto"
DEFAULTS = {
    Kind.BINARY: "bernoulli",
    Kind.UNIT: "bernoulli",
    Kind.REAL: "gaussian",
    Kind.COUNTS: "negative-binomial",
}


def resolved(name: str, kind: Kind) -> str:
    """The name of a likelihood: that of the kind of data where it is "auto"."""
    return DEFAULTS[kind] if name == AUTO else name
