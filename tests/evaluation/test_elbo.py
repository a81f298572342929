"""hvae.evaluation.elbo: the ELBO of a split, and the means over rows."""

import few
import pytest
import torch
from few import digits

from hvae import random
from hvae.evaluation import elbo as module
from hvae.evaluation.elbo import elbo, summary


def vae(shells="3,e2"):
    return few.vae(shells).double()


def test_every_image_weighs_the_same(monkeypatch):
    """35 images in batches of 8: the last three weigh as much as any other three."""
    model, images = vae(), digits().validation[:35]
    whole = elbo(model, images, 0)
    monkeypatch.setattr(module, "_ENCODER_ROWS", 8)
    parts = elbo(model, images, 0)
    for name in ("elbo", "re", "kl", "kl_per_shell", "kappa"):
        assert parts[name] == pytest.approx(whole[name], rel=1e-12)


def test_validation_has_the_same_noise_every_time_and_another_for_another_seed():
    model, images = vae(), digits().validation
    assert elbo(model, images, 0) == elbo(model, images, 0)
    assert elbo(model, images, 0)["re"] != elbo(model, images, 1)["re"]


def test_the_model_is_validated_as_after_training():
    """In the mode of training too, which it is in again after; its running means stay."""
    model = few.batch_normalized()
    images = digits().validation
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    training = elbo(model, images, 0)
    after = model.state_dict()
    assert model.training and all(torch.equal(before[name], after[name]) for name in before)
    assert elbo(model.eval(), images, 0) == training and not model.training


def test_a_summary_is_means_over_rows_in_the_order_of_the_components():
    log_likelihood = torch.tensor([-3.0, -5.0])
    kl = torch.tensor([[1.0, 10.0, 100.0], [3.0, 30.0, 300.0]])
    concentration = torch.tensor([[4.0, 5.0, 6.0], [6.0, 7.0, 9.0]])
    assert summary(log_likelihood, kl, concentration) == {
        "elbo": -(4.0 + 222.0),
        "re": 4.0,
        "kl": 222.0,
        "kl_per_shell": [2.0, 20.0, 200.0],
        "kappa": [5.0, 6.0, 7.5],
    }


def test_a_summary_is_summed_in_float64():
    """A large constant leaves the digits of a small one behind it, which float32 would drop."""
    rows = torch.full((1000, 1), 2.0**24)
    rows[1:] += 2
    means = summary(torch.zeros(1000), rows, rows)
    assert means["kl_per_shell"] == means["kappa"] == [2.0**24 + 2 * 0.999]


def test_its_parts_are_those_of_the_model():
    """One sample a row, of the stream of validation at step 0."""
    model, images = vae(), digits().validation
    with torch.no_grad():
        terms = model.terms(images, random.stream(9, "validation"))
    seen = elbo(model, images, 9)
    assert seen["re"] == pytest.approx(-terms.log_likelihood.mean().item(), rel=1e-13)
    assert seen["kl_per_shell"] == pytest.approx(terms.kl.mean(0).tolist(), rel=1e-13)
    kappa = terms.posterior.concentration.mean(0).tolist()
    assert seen["kappa"] == pytest.approx(kappa, rel=1e-13)
