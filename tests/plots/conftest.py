"""Views of small models: one epoch of images, of vectors, of counts."""

import pytest
import torch
from few import digits, vae
from views import MIXED, counts, of_vectors, reals, trained

from hvae.description import DataDescription, Kind
from hvae.model.binomial import Binomial
from hvae.model.gaussian import Gaussian
from hvae.model.negative_binomial import NegativeBinomial
from hvae.plots.style import style


@pytest.fixture(scope="session")
def image_view():
    """Binary digits with their classes."""
    small = digits()
    labels = small.labels["train"][:130]
    model = vae(MIXED)
    model.likelihood.data = small.description
    return trained(model, small.train, labels)


@pytest.fixture(scope="session")
def real_view():
    """Six real columns, the last of which is constant; three classes with names."""
    features = ("a", "b$x$", "<c>", "d", "e" * 40, "constant")
    description = DataDescription((6,), Kind.REAL, features=features)
    labels = torch.arange(60) % 3
    return of_vectors(description, Gaussian, reals(), labels=labels, label_names=("_x", "$y", "z"))


@pytest.fixture(scope="session")
def count_view():
    """Fifty columns of counts, without labels."""
    rows = counts(50)
    maxima = tuple(int(n) for n in rows.amax(0))
    return of_vectors(DataDescription((50,), Kind.COUNTS, maxima=maxima), NegativeBinomial, rows)


@pytest.fixture(scope="session")
def colour_view():
    """Images of three channels of 4 x 5."""
    rows = counts(60)
    maxima = tuple(int(n) for n in rows.amax(0))
    return of_vectors(DataDescription((3, 4, 5), Kind.COUNTS, maxima=maxima), Binomial, rows, "3")


@pytest.fixture(autouse=True)
def _styled():
    """As pictures are drawn."""
    with style():
        yield
