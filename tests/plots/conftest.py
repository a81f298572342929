"""Views of small models: one epoch of images, of vectors, of counts."""

import numpy as np
import pytest
import torch
from few import digits, vae

from hvae.description import DataDescription, Kind
from hvae.latent import Product, parse
from hvae.model import MLP, VAE
from hvae.model.binomial import Binomial
from hvae.model.gaussian import Gaussian
from hvae.model.negative_binomial import NegativeBinomial
from hvae.plots.style import style
from hvae.plots.view import RunView
from hvae.training.protocol import TrainingState

MIXED = "3,2,10,e2,3,2,e1"


class _Settings:
    epochs, warmup, lookahead, batch_size, lr, samples, seed = 1, 1, 1, 50, 1e-3, 1, 0


class _Data:
    def __init__(self, rows):
        self.train, self.validation = rows, rows[:30]

    def epoch(self, seed, epoch):
        return self.train


def trained(model, rows, labels=None, label_names=None, **more):
    """A view of a model after one epoch."""
    model.likelihood.observe(rows)
    kl_weights = [1.0] * len(model.latent.components)
    state = TrainingState(_Settings, model, _Data(rows), kl_weights)
    metrics = [state.run_epoch()]
    given = {
        "name": "small", "model": model.eval(), "rows": rows, "labels": labels,
        "label_names": label_names, "source": f"all {len(rows)} rows", "metrics": metrics,
        "best_epoch": 1, "warmup": 1, "facts": {"data": "small"},
    }  # fmt: skip
    return RunView(**{**given, **more})


def of_vectors(description, likelihood, rows, shells=MIXED, **more):
    latent, made = Product(parse(shells)), likelihood(description)
    network = MLP.build(made.seen, latent.size, made.outputs, (16, 12))
    model = VAE(latent, network, made)
    model.initialize(0)
    return trained(model, rows, **more)


@pytest.fixture(scope="session")
def image_view():
    """Binary digits with their classes."""
    small = digits()
    labels = small.labels["train"][:130]
    model = vae(MIXED)
    model.likelihood.data = small.description
    return trained(model, small.train, labels)


def reals():
    rows = torch.from_numpy(np.random.default_rng(0).normal(size=(60, 6))).float()
    return rows * torch.tensor([1, 10, 0.1, 1, 1, 0]) + 3


@pytest.fixture(scope="session")
def real_view():
    """Six real columns, the last of which is constant; three classes with names."""
    features = ("a", "b$x$", "<c>", "d", "e" * 40, "constant")
    description = DataDescription((6,), Kind.REAL, features=features)
    labels = torch.arange(60) % 3
    return of_vectors(description, Gaussian, reals(), labels=labels, label_names=("_x", "$y", "z"))


def counts(columns):
    return torch.from_numpy(np.random.default_rng(1).poisson(3.0, (60, columns))).float()


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
