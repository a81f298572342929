"""hvae.model: networks, of which any two modules make one."""

import pytest
import torch
from few import digits
from parts import convolutions
from torch import nn

from hvae import random
from hvae.description import DataDescription, Kind
from hvae.latent import Product, parse
from hvae.model import MLP, NETWORKS, VAE, Bernoulli, Network
from hvae.model.convolutional import Convolutional
from hvae.model.gated import Gated
from hvae.training.step import Trainer


def test_ours():
    ours = {"mlp": MLP, "gated": Gated, "conv": Convolutional}
    assert dict(NETWORKS) == ours
    assert (NETWORKS.group, NETWORKS.base) == ("hvae.networks", Network)
    assert all(network.title != Network.title for network in ours.values())


def test_widths_where_the_user_gives_none():
    """One of another package has those of `Network`, unless it says its own."""
    widths = {name: network.widths for name, network in NETWORKS.items()}
    assert widths == {"mlp": (256, 128), "gated": (300, 300), "conv": (32, 64, 256)}
    assert type("Another", (Network,), {}).widths == (256, 128)


def test_two_modules_do_not_build_themselves():
    with pytest.raises(TypeError, match="^Network does not build itself; allowed: a subclass"):
        Network.build(digits().description, 5, 64, (16,))


@pytest.mark.parametrize("hidden", [(7,), (7, 6, 5)])
def test_an_mlp_mirrors_the_hidden_widths(hidden):
    """From the size of a row, whatever its shape, and to the outputs of the likelihood."""
    network = MLP.build(DataDescription((2, 3, 4), Kind.REAL), 5, 11, hidden)
    assert network.features == hidden[-1]
    shapes = [
        [(layer.in_features, layer.out_features) for layer in part if isinstance(layer, nn.Linear)]
        for part in (network.encoder, network.decoder)
    ]
    inwards, outwards = [24, *hidden], [5, *reversed(hidden), 11]
    assert shapes == [list(zip(w, w[1:], strict=False)) for w in (inwards, outwards)]
    assert isinstance(network.encoder[-1], nn.ReLU) and isinstance(network.decoder[-1], nn.Linear)


def recurrent(latent_size):
    """Modules of one's own: no layer of theirs is fully connected at the top."""

    class Rows(nn.Module):
        def __init__(self):
            super().__init__()
            self.rows = nn.GRU(8, 10, batch_first=True)

        def forward(self, x):
            return self.rows(x.unflatten(1, (8, 8)))[1][0]

    class Heat(nn.Module):
        def __init__(self):
            super().__init__()
            self.slope = nn.Parameter(torch.full((latent_size, 64), 0.1))

        def forward(self, z):
            assert z.dim() == 2
            return torch.tanh(z) @ self.slope

    return Network(Rows(), 10, Heat())


@pytest.mark.parametrize("modules", [convolutions, recurrent])
@pytest.mark.parametrize("samples", [1, 3])
def test_any_two_modules_train(modules, samples):
    """Every weight moves, and the ELBO of the epochs rises by more than 3 nats."""
    latent = Product(parse("3,e2"))
    model = VAE(latent, modules(latent.size), Bernoulli(digits().description))
    model.initialize(0)
    before = {name: tensor.detach().clone() for name, tensor in model.named_parameters()}
    assert (model.to_posterior.in_features, model.to_posterior.out_features) == (
        model.encoder(digits().train[:2].float()).shape[1],
        4 + 4,
    )
    trainer = Trainer(model, 1e-2, 50, samples=samples)
    elbos = [trainer.epoch(digits().train, epoch)["elbo"] for epoch in range(1, 6)]
    assert elbos[-1] > elbos[0] + 3
    for name, tensor in model.named_parameters():
        assert tensor.isfinite().all() and not torch.equal(tensor, before[name]), name


@pytest.mark.parametrize("modules", [convolutions, recurrent])
def test_terms_have_a_row_for_every_sample(modules):
    """Whatever else is in the batch, but for the order in which 64 terms of float32 are added."""
    latent = Product(parse("3,e2"))
    model = VAE(latent, modules(latent.size), Bernoulli(digits().description)).eval()
    model.initialize(0)
    images = digits().train[:6]
    terms = model.terms(images, random.stream(0, "user"), 4, with_log_weights=True)
    assert terms.log_likelihood.shape == terms.log_weight.shape == (4, 6)
    one = model.terms(images[2:3], random.stream(0, "user", row=2, sample=3))
    eps = torch.finfo(torch.float32).eps
    torch.testing.assert_close(
        one.log_likelihood[0], terms.log_likelihood[3, 2:3], rtol=64 * eps, atol=0
    )
