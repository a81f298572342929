"""hvae.evaluation.encoding: posteriors of rows, in their order, whatever the batches."""

import few
import pytest
import torch
from few import digits

from hvae import random
from hvae.description import DataDescription, Kind
from hvae.errors import Diverged, Refused
from hvae.evaluation import encoding
from hvae.evaluation.encoding import coordinate_names, encode
from hvae.latent import Product, parse
from hvae.model import MLP, VAE, Bernoulli
from hvae.observer import Observer

ROUNDING = 1e-5  # of float32 sums of 64 terms, as for the figures of a run


def test_it_is_the_posterior_of_every_row():
    model, rows = few.vae("3,e2").double(), digits().test
    found = encode(model, rows)
    with torch.no_grad():
        posterior = model.posterior(rows)
        kl = posterior.draw(random.stream(0, "evaluation")).kl
    assert found.mean_direction.shape == (35, 5) and found.mean_direction.dtype == torch.float64
    assert torch.equal(found.mean_direction, posterior.mode())
    assert torch.equal(found.concentration, posterior.concentration)
    assert torch.equal(found.kl, kl)


@pytest.mark.parametrize("batch", [1, 8, 35])
def test_batches_change_nothing_but_roundings(monkeypatch, batch):
    model, rows = few.vae(), digits().test
    whole = encode(model, rows)
    monkeypatch.setattr(encoding, "_ENCODER_ROWS", batch)
    for name, tensor in vars(encode(model, rows)).items():
        torch.testing.assert_close(tensor, getattr(whole, name), rtol=ROUNDING, atol=ROUNDING)


def test_covariates_are_seen():
    data = DataDescription((64,), Kind.BINARY, covariates=("batch=a", "batch=b"))
    latent = Product(parse("3"))
    model = VAE(latent, MLP.build(data, 5, 64, (8,)), Bernoulli(data))
    model.initialize(0)
    rows = digits().test[:2].float()
    a = encode(model, torch.cat([rows, torch.tensor([[1.0, 0.0]] * 2)], 1))
    b = encode(model, torch.cat([rows, torch.tensor([[0.0, 1.0]] * 2)], 1))
    assert not torch.equal(a.mean_direction, b.mean_direction)


def test_the_model_is_evaluated_as_after_training():
    model, rows = few.batch_normalized(), digits().test
    training = encode(model, rows)
    assert model.training
    assert torch.equal(training.mean_direction, encode(model.eval(), rows).mean_direction)


def test_rows_of_another_width_are_refused():
    with pytest.raises(Refused, match="^rows of 63 numbers; allowed: 64, as the model$"):
        encode(few.vae(), digits().test[:, :63])


def test_a_row_without_a_finite_posterior_is_named():
    rows = digits().test.float()
    rows[4, 3] = torch.inf
    with pytest.raises(Diverged, match="^row 4, counted from 0: its posterior is not finite$"):
        encode(few.vae(), rows)


def test_the_observer_hears_of_every_batch(monkeypatch):
    class Ear(Observer):
        heard = ()

        def images(self, done, total):
            self.heard += ((done, total),)

    monkeypatch.setattr(encoding, "_ENCODER_ROWS", 20)
    ear = Ear()
    encode(few.vae(), digits().test, observer=ear)
    assert ear.heard == ((20, 35), (35, 35))


def test_coordinates_have_the_number_of_their_component_and_their_own():
    assert coordinate_names(Product(parse("2,e1,3"))) == ["1_1", "1_2", "2_1", "3_1", "3_2", "3_3"]
