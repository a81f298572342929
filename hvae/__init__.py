"""Variational auto-encoders whose latent space is a product of hyperspheres.

    hvae.train(hvae.TrainConfig(...))    train a model into a run folder
    hvae.resume(folder)                  go on with a run that was cut short, to the same bits
    hvae.evaluate_run(folder)            its importance-weighted log-likelihood
    hvae.load_run(folder)                the trained model: encode, decode, draw from the prior
    hvae.HypersphericalVAE(...)          the same as an estimator of scikit-learn
    hvae.distributions, hvae.special     von Mises-Fisher distributions and Bessel functions
    hvae.mixture                         clusters of directions, an estimator of scikit-learn
    hvae.ops                             the kernels as torch ops; hvae.reference, in plain torch

What is named here is imported when it is first used, so that `import hvae` is quick.
"""

import importlib
from importlib import metadata

_HOMES = {
    "TrainConfig": "hvae.runs",
    "train": "hvae.training.begin",
    "resume": "hvae.training.resumption",
    "evaluate_run": "hvae.evaluation.of_run",
    "load_run": "hvae.runs",
    "HypersphericalVAE": "hvae.estimator",
}
_MODULES = ("compat", "data", "distributions", "mixture", "ops", "random", "reference", "special")

__all__ = ["__version__", *_HOMES, *_MODULES]  # noqa: PLE0604


def __getattr__(name: str) -> object:
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    if name == "__version__":  # of what is installed; pyproject.toml says it
        return metadata.version("hvae")
    if name in _MODULES:
        return importlib.import_module(f"hvae.{name}")
    raise AttributeError(f"module 'hvae' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
