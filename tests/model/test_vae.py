"""hvae.model.vae: rows to posteriors, latent points to rows, and the terms of the ELBO."""

import math

import pytest
import torch
from few import config, digits, vae
from parts import convolutions
from torch import nn
from torch.nn import functional

from hvae import TrainConfig, random
from hvae.description import DataDescription, Kind
from hvae.latent import Product, parse
from hvae.model import VAE, Bernoulli
from hvae.runs.assembly import assemble


def widths(network):
    return [
        (layer.in_features, layer.out_features) for layer in network if isinstance(layer, nn.Linear)
    ]


def test_the_papers_network():
    pixels = DataDescription((28, 28), Kind.BINARY)
    model = assemble(TrainConfig(shells="10,10,10,11"), pixels)
    assert widths(model.encoder) == [(784, 256), (256, 128)]
    assert widths([model.to_posterior]) == [(128, 41 + 4)]
    assert widths(model.decoder) == [(41, 128), (128, 256), (256, 784)]
    kinds = [[type(layer).__name__ for layer in part] for part in (model.encoder, model.decoder)]
    assert kinds == [["Linear", "ReLU"] * 2, ["Linear", "ReLU"] * 2 + ["Linear"]]


def test_one_layer_gives_all_raw_parameters():
    assert vae("3,4,e5").to_posterior.out_features == (3 + 4) + 2 + 2 * 5


@pytest.mark.parametrize("samples", [1, 3])
def test_terms_are_those_of_torch(samples):
    """log p(x | z) is minus the cross-entropy at the logits of the latent space's own draw."""
    model = vae().double()
    images = digits().train[:9]
    rng = random.stream(0, "user")
    terms = model.terms(images, rng, samples, with_log_weights=True)
    draw = model.posterior(images).draw(rng, samples, with_log_weights=True)
    target = images.double().expand(samples, -1, -1)
    loss = functional.binary_cross_entropy_with_logits(
        model.decode(draw.z), target, reduction="none"
    )
    torch.testing.assert_close(terms.log_likelihood, -loss.sum(-1), rtol=1e-13, atol=0)
    torch.testing.assert_close(terms.kl, draw.kl, rtol=0, atol=0)
    torch.testing.assert_close(terms.log_weight, draw.log_weight, rtol=0, atol=0)
    assert model.terms(images, rng).log_weight is None
    assert torch.equal(terms.posterior.raw, model.posterior(images).raw)


@pytest.mark.parametrize("kappa_grad", ["implicit", "naive", "reinforce"])
def test_terms_have_the_score_of_the_draw(kappa_grad):
    """Zeros [samples, images] whose gradient is that of the latent space's own draw."""
    model = vae(kappa_grad=kappa_grad)
    images, rng = digits().train[:9], random.stream(0, "user")
    raw = model.posterior(images).raw.detach().requires_grad_()
    score = model.terms(images, rng, 3, posterior=model.latent.posterior(raw)).score
    if kappa_grad != "reinforce":
        assert score is None
        return
    assert score.shape == (3, 9) and (score == 0).all()
    expected = model.latent.posterior(raw).draw(rng, 3).score
    gradients = [torch.autograd.grad(x.sum(), raw)[0] for x in (score, expected)]
    assert torch.equal(*gradients) and gradients[0].abs().max() > 0


def decoded(model):
    """A batch of latent points, their logits, and what the decoder saw."""
    seen = []
    model.decoder.register_forward_pre_hook(lambda module, arguments: seen.append(arguments[0]))
    z = model.latent.prior.sample(random.stream(0, "prior"), 3, 4)
    return z, model.decode(z), seen[0]


@pytest.mark.parametrize("parameterization", ["exponential", "scaled"])
def test_the_decoder_sees_spheres_of_the_root_of_their_size(parameterization):
    model = vae("e2,3,2", parameterization=parameterization)
    z, logits, seen = decoded(model)
    parts = zip((1.0, math.sqrt(3), math.sqrt(2)), z.split([2, 3, 2], -1), strict=True)
    scaled = torch.cat([radius * part for radius, part in parts], -1)
    assert torch.equal(seen, scaled.flatten(0, 1))
    assert logits.shape == (3, 4, 64) and torch.equal(logits, model.decoder(scaled))


@pytest.mark.parametrize("shape", [(), (4,), (3, 4), (2, 3, 4), (0,), (3, 0)])
def test_points_of_any_leading_shape_are_decoded(shape):
    """By modules that take points one below the other, as convolutions do."""
    latent = Product(parse("3,e2"))
    likelihood = Bernoulli(DataDescription((8, 8), Kind.BINARY))
    model = VAE(latent, convolutions(latent.size), likelihood).eval()
    model.initialize(0)
    z = torch.randn(*shape, 5, generator=torch.Generator().manual_seed(0))
    logits = model.decode(z)
    assert logits.shape == (*shape, 64)
    below = model.decoder(latent.to_decoder(z.reshape(-1, 5)))
    assert torch.equal(logits.reshape(-1, 64), below)


@pytest.mark.parametrize(
    ("shells", "parameterization"), [("e2,3,2", "paper"), ("e7", "exponential")]
)
def test_the_decoder_sees_what_has_no_radius_itself(shells, parameterization):
    """Points one below the other, which is a view of them."""
    z, _, seen = decoded(vae(shells, parameterization=parameterization))
    assert torch.equal(seen, z.flatten(0, 1)) and seen.data_ptr() == z.data_ptr()


def test_images_may_be_bytes_or_numbers():
    model = vae()
    images = digits().train[:9]
    assert torch.equal(model.posterior(images).raw, model.posterior(images.float()).raw)


@pytest.mark.parametrize("shells", ["2,3,10", "e4", "3,e2"])
def test_gradients_reach_every_weight(shells):
    model = vae(shells)
    images = digits().train[:20]
    terms = model.terms(images, random.stream(0, "user"))
    (terms.kl.sum() - terms.log_likelihood.sum()).backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.abs().max() > 0, name


def test_the_gradient_of_a_concentration_is_the_chosen_one():
    def gradient(kappa_grad):
        model = assemble(config(shells="2", kappa_grad=kappa_grad), digits().description)
        model.initialize(0)
        images = digits().train[:20]
        terms = model.terms(images, random.stream(0, "user"))
        (-terms.log_likelihood.sum()).backward()
        return terms.log_likelihood.detach(), model.to_posterior.bias.grad

    (implicit, by_implicit), (naive, by_naive) = gradient("implicit"), gradient("naive")
    assert torch.equal(implicit, naive)  # the draws do not depend on the choice
    assert torch.equal(by_implicit[:2], by_naive[:2])
    assert not torch.isclose(by_implicit[2], by_naive[2])


def test_evaluating_is_a_mode_of_its_block():
    """Every layer has the mode it had before, also where an error ends the block."""
    latent = Product(parse("3"))
    network = convolutions(latent.size)
    model = VAE(latent, network, Bernoulli(DataDescription((8, 8), Kind.BINARY)))
    model.encoder[2].eval()
    before = {name: module.training for name, module in model.named_modules()}
    assert len(set(before.values())) == 2
    with pytest.raises(KeyError), model.evaluating():
        assert not any(module.training for module in model.modules())
        raise KeyError
    assert {name: module.training for name, module in model.named_modules()} == before
