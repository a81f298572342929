"""A few real digits and a small model, for tests that train and evaluate."""

import functools
import io
from dataclasses import replace

import numpy as np
import scipy.io
import torch
from parts import convolutions

from hvae.data import load as _load  # bound here: tests replace hvae.data.load
from hvae.data import sources
from hvae.description import DataDescription, Kind
from hvae.latent import LatentOptions, Product, parse
from hvae.model import MLP, VAE, Bernoulli
from hvae.runs import TrainConfig
from hvae.training.step import Trainer


@functools.lru_cache
def digits():
    """The first rows of every split of the embedded digits: 130, 40 and 35 images of 8 x 8."""
    whole, rows = _load("digits"), {"train": 130, "validation": 40, "test": 35}
    return replace(
        whole,
        labels={name: whole.labels[name][:count] for name, count in rows.items()},
        **{name: getattr(whole, name)[:count].clone() for name, count in rows.items()},
    )


def config(**settings):
    """Settings for a run of a few epochs with a small network."""
    small = {"shells": "3,e2", "epochs": 3, "warmup": 2, "hidden": (16, 12), "batch_size": 50}
    small["products"] = "torch"  # the same on every machine
    return TrainConfig(**{**small, **settings})


def vae(shells="3,e2", pixels=64, hidden=(16, 12), seed=0, **options):
    """A model of binary images with its initial weights; options: those of `LatentOptions`."""
    latent = Product(parse(shells), LatentOptions(**options))
    likelihood = Bernoulli(DataDescription((pixels,), Kind.BINARY))
    network = MLP.build(likelihood.data, latent.size, likelihood.outputs, hidden)
    model = VAE(latent, network, likelihood)
    model.initialize(seed)
    return model


def batch_normalized():
    """A model of the digits with convolutions and batch normalization, in training."""
    latent = Product(parse("3,e2"))
    model = VAE(latent, convolutions(latent.size), Bernoulli(digits().description))
    model.initialize(0)
    with torch.no_grad():
        model.decode(model.posterior(digits().train[:50]).mode())
    return model


def trainer(shells="3,e2", lr=1e-3, batch_size=50, seed=0, kappa_grad="implicit", **options):
    """The training of a small model of the digits; options: those of `Trainer`."""
    model = vae(shells, seed=seed, kappa_grad=kappa_grad)
    return Trainer(model, lr, batch_size, seed, **options)


CALTECH_FILE = "caltech101_silhouettes_28_split1.mat"


def few_silhouettes(monkeypatch, **change):
    """Make "caltech" a set of a few random images; the content of its file.

    change: other arrays for train, validation or test.
    """
    rows, random = {"train": 20, "validation": 7, "test": 6}, np.random.default_rng(3)
    source = sources.SOURCES["caltech"]
    parts = {name: replace(source.parts[name], rows=count) for name, count in rows.items()}
    monkeypatch.setitem(sources.SOURCES, "caltech", replace(source, parts=parts))
    arrays = {name: random.integers(0, 2, (count, 784), "u1") for name, count in rows.items()}
    arrays |= change
    keys = {"train": "train_data", "validation": "val_data", "test": "test_data"}
    buffer = io.BytesIO()
    scipy.io.savemat(buffer, {keys[name]: array for name, array in arrays.items()})
    return buffer.getvalue()
