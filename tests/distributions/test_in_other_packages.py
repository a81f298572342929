"""Ours in Pyro and in pythae, where these packages are installed; both work on float32."""

import pytest
import torch
from directions import directions
from torch.distributions import kl_divergence

from hvae.distributions import HypersphericalUniform, VonMisesFisher

ROWS, M = 8, 5


def test_pyro_infers_directions_in_a_plate():
    """SVI with AutoNormal finds the modes of von Mises-Fisher posteriors, one of every row."""
    pyro = pytest.importorskip("pyro")
    mixin = pyro.distributions.torch_distribution.TorchDistributionMixin
    uniform = type("Uniform", (HypersphericalUniform, mixin), {})
    von_mises_fisher = type("Fisher", (VonMisesFisher, mixin), {})
    seen = directions(ROWS, M).float()

    def model():
        with pyro.plate("rows", ROWS):
            z = pyro.sample("z", uniform(M))
            pyro.sample("x", von_mises_fisher(z, torch.tensor(50.0)), obs=seen)

    pyro.clear_param_store()
    guide = pyro.infer.autoguide.AutoNormal(model)
    svi = pyro.infer.SVI(model, guide, pyro.optim.Adam({"lr": 0.05}), pyro.infer.Trace_ELBO())
    losses = [svi.step() for _ in range(300)]
    assert losses[-1] < losses[0]
    found = guide.median()["z"]
    assert found.shape == (ROWS, M)
    assert (found * seen).sum(-1).min() > 0.95


def test_pythae_trains_on_our_draws_and_divergence():
    """Its S-VAE, whose own Bessel functions underflow at this size, trains with our two lines."""
    models = pytest.importorskip("pythae.models")

    class Exact(models.SVAE):
        def _sample_von_mises(self, loc, concentration):
            return VonMisesFisher(loc, concentration[..., 0]).rsample()

        def _compute_kl(self, m, concentration):
            pole = torch.eye(m)[0]
            posterior = VonMisesFisher(pole, concentration[..., 0])
            return kl_divergence(posterior, HypersphericalUniform(m))

    size = 500
    config = {"input_dim": (1, 8, 8), "latent_dim": size, "reconstruction_loss": "bce"}
    model = Exact(models.SVAEConfig(**config))
    images = (torch.rand(ROWS, 1, 8, 8) < 0.3).float()
    optimizer = torch.optim.Adam(model.parameters(), 1e-3)
    losses = []
    for _ in range(60):
        found = model({"data": images})
        assert found.z.shape == (ROWS, size)
        assert (found.reg_loss >= 0).all()
        optimizer.zero_grad()
        found.loss.backward()
        optimizer.step()
        losses.append(found.loss.item())
    assert sum(losses[-10:]) < sum(losses[:10])
