"""hvae.evaluation.elbo: the ELBO of a split, and the means over rows."""

import few
import pytest
from few import digits

from hvae.evaluation import elbo as module
from hvae.evaluation.elbo import elbo


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
