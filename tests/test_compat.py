"""hvae.compat: a model written for s-vae-pytorch runs, and its numbers are ours."""

import doctest

import pytest
import torch
from torch import nn
from torch.distributions import kl_divergence

from hvae import compat, distributions
from hvae.compat import HypersphericalUniform, VonMisesFisher


class Model(nn.Module):
    """As one is written with s-vae-pytorch: scale [B, 1], the sphere of dimension z_dim - 1."""

    def __init__(self, z_dim=4):
        super().__init__()
        self.z_dim = z_dim
        self.encoder = nn.Linear(12, 16)
        self.mean, self.scale = nn.Linear(16, z_dim), nn.Linear(16, 1)
        self.decoder = nn.Sequential(nn.Linear(z_dim, 16), nn.ReLU(), nn.Linear(16, 12))

    def forward(self, x):
        h = torch.relu(self.encoder(x))
        z_mean = self.mean(h)
        z_mean = z_mean / z_mean.norm(dim=-1, keepdim=True)
        scale = nn.functional.softplus(self.scale(h)) + 1
        q_z = VonMisesFisher(z_mean, scale)
        p_z = HypersphericalUniform(self.z_dim - 1)
        return q_z, p_z, self.decoder(q_z.rsample())


def test_a_model_of_it_trains_and_is_evaluated():
    torch.manual_seed(0)
    x = (torch.rand(64, 12) < torch.rand(12)).float()
    model = Model()
    optimizer = torch.optim.Adam(model.parameters(), 1e-2)
    losses = []
    for _ in range(60):
        q_z, p_z, logits = model(x)
        reconstruction = nn.functional.binary_cross_entropy_with_logits(logits, x, reduction="none")
        loss = reconstruction.sum(-1).mean() + kl_divergence(q_z, p_z).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert sum(losses[-10:]) < sum(losses[:10]) and model.scale.weight.grad.abs().sum() > 0
    z = q_z.rsample(torch.Size([7]))
    weight = p_z.log_prob(z) - q_z.log_prob(z)
    assert z.shape == (7, 64, 4) and weight.shape == (7, 64) and weight.isfinite().all()
    assert q_z.rsample(3).shape == q_z.sample(3).shape == (3, 64, 4)
    assert not q_z.sample().requires_grad


def test_numbers_are_those_of_the_distributions():
    loc = nn.functional.normalize(torch.randn(5, 3), dim=-1)
    scale = torch.rand(5, 1) * 9
    theirs, ours = VonMisesFisher(loc, scale, k=20), distributions.VonMisesFisher(loc, scale[:, 0])
    assert torch.equal(theirs.log_prob(loc), ours.log_prob(loc))
    assert torch.equal(theirs.entropy(), ours.entropy()) and torch.equal(theirs.scale, scale)
    assert torch.equal(theirs.mean, ours.mean)
    wide = theirs.expand((2, 5))
    assert type(wide) is VonMisesFisher and wide.scale.shape == (2, 5, 1)
    sphere = HypersphericalUniform(2)
    assert sphere.dim == 2 and sphere.sample(4).shape == (4, 3)
    assert torch.equal(sphere.entropy(), distributions.HypersphericalUniform(3).entropy())
    assert sphere.expand((6,)).sample().shape == (6, 3)
    expected = kl_divergence(ours, distributions.HypersphericalUniform(3))
    assert torch.equal(kl_divergence(theirs, sphere), expected)


def test_a_row_of_concentrations_is_refused():
    with pytest.raises(ValueError, match=r"scale has shape \(5,\); allowed: \[..., 1\]"):
        VonMisesFisher(torch.eye(5), torch.ones(5))


def test_examples():
    assert doctest.testmod(compat).failed == 0
