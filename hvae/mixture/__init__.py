"""Mixtures of von Mises-Fisher distributions, for clustering directions.

VonMisesFisherMixture(n_components)     an estimator of scikit-learn
"""

from hvae.mixture.estimator import VonMisesFisherMixture

__all__ = ["VonMisesFisherMixture"]
