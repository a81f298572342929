"""Small models after one epoch, and rows for them."""

import numpy as np
import torch

from hvae.latent import Product, parse
from hvae.model import MLP, VAE
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
    size = latent.size + len(description.covariates)
    network = MLP.build(made.seen, size, made.outputs, (16, 12))
    model = VAE(latent, network, made)
    model.initialize(0)
    return trained(model, rows, **more)


def reals():
    rows = torch.from_numpy(np.random.default_rng(0).normal(size=(60, 6))).float()
    return rows * torch.tensor([1, 10, 0.1, 1, 1, 0]) + 3


def counts(columns):
    return torch.from_numpy(np.random.default_rng(1).poisson(3.0, (60, columns))).float()
