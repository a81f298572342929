"""hvae.model: the network, its initial weights, the terms of the ELBO."""

import math

import pytest
import torch
from few import config, digits
from torch import nn
from torch.nn import functional

from hvae import random
from hvae.config import TrainConfig
from hvae.model import VAE
from hvae.shells import parse


def vae(shells="3,e2", pixels=64, hidden=(16, 12), seed=0, **options):
    model = VAE(pixels, parse(shells), hidden, **options)
    model.initialize(seed)
    return model


def widths(network):
    return [
        (layer.in_features, layer.out_features) for layer in network if isinstance(layer, nn.Linear)
    ]


def test_the_papers_network():
    model = VAE.like(TrainConfig(shells="10,10,10,11"), pixels=784)
    assert widths(model.encoder) == [(784, 256), (256, 128)]
    assert (model.head.in_features, model.head.out_features) == (128, 41 + 4)
    assert widths(model.decoder) == [(41, 128), (128, 256), (256, 784)]
    kinds = [[type(layer).__name__ for layer in part] for part in (model.encoder, model.decoder)]
    assert kinds == [["Linear", "ReLU"] * 2, ["Linear", "ReLU"] * 2 + ["Linear"]]


def test_one_layer_gives_all_heads():
    assert vae("3,4,e5").head.out_features == (3 + 4) + 2 + 2 * 5


def test_initial_weights_are_uniform_on_the_inverse_root_of_the_fan_in():
    for layer in vae(hidden=(256, 128)).modules():
        if isinstance(layer, nn.Linear):
            bound = 1 / math.sqrt(layer.in_features)
            numbers = torch.cat([layer.weight.flatten(), layer.bias]).double() / bound
            assert numbers.abs().max() <= 1
            count = len(numbers)
            assert numbers.mean().abs() < 5 * math.sqrt(1 / 3 / count)
            assert (numbers.square().mean() - 1 / 3).abs() < 5 * math.sqrt(4 / 45 / count)


def test_initial_weights_depend_on_the_seed_alone():
    torch.manual_seed(1)
    before = torch.get_rng_state()
    one, same, other = (vae(seed=seed).state_dict() for seed in (7, 7, 8))
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(one[name], same[name]) for name in one)
    assert not any(torch.equal(one[name], other[name]) for name in one)


def test_layers_of_one_shape_have_different_weights():
    model = vae(pixels=16, hidden=(16, 16))
    assert not torch.isclose(model.encoder[0].weight, model.encoder[2].weight).any()


@pytest.mark.parametrize("samples", [1, 3])
def test_terms_are_those_of_torch(samples):
    """log p(x | z) is minus the cross-entropy at the logits of the latent space's own draw."""
    model = vae().double()
    images = digits().train[:9]
    rng = random.stream(0, "user")
    head = model.encode(images)
    terms = model.terms(head, images, rng, samples, weigh=True)
    draw = model.latent.draw(head, rng, samples, weigh=True)
    target = images.double().expand(samples, -1, -1)
    loss = functional.binary_cross_entropy_with_logits(
        model.decode(draw.z), target, reduction="none"
    )
    torch.testing.assert_close(terms.log_likelihood, -loss.sum(-1), rtol=1e-13, atol=0)
    torch.testing.assert_close(terms.kl, draw.kl, rtol=0, atol=0)
    torch.testing.assert_close(terms.log_weight, draw.log_weight, rtol=0, atol=0)
    assert model.terms(head, images, rng).log_weight is None


@pytest.mark.parametrize("kappa_grad", ["implicit", "naive", "reinforce"])
def test_terms_have_the_score_of_the_draw(kappa_grad):
    """Zeros [samples, images] whose gradient is that of the latent space's own draw."""
    model = vae(kappa_grad=kappa_grad)
    images, rng = digits().train[:9], random.stream(0, "user")
    head = model.encode(images).detach().requires_grad_()
    score = model.terms(head, images, rng, 3).score
    if kappa_grad != "reinforce":
        assert score is None
        return
    assert score.shape == (3, 9) and (score == 0).all()
    expected = model.latent.draw(head, rng, 3).score
    gradients = [torch.autograd.grad(x.sum(), head)[0] for x in (score, expected)]
    assert torch.equal(*gradients) and gradients[0].abs().max() > 0


def decoded(model):
    """A batch of latent points, their logits, and what the decoder saw."""
    seen = []
    model.decoder.register_forward_pre_hook(lambda module, arguments: seen.append(arguments[0]))
    z = model.latent.prior(random.stream(0, "prior"), 3, 4)
    return z, model.decode(z), seen[0]


@pytest.mark.parametrize("parameterization", ["exponential", "scaled"])
def test_the_decoder_sees_spheres_of_the_root_of_their_size(parameterization):
    model = vae("e2,3,2", parameterization=parameterization)
    z, logits, seen = decoded(model)
    parts = zip((1.0, math.sqrt(3), math.sqrt(2)), z.split([2, 3, 2], -1), strict=True)
    scaled = torch.cat([radius * part for radius, part in parts], -1)
    assert torch.equal(seen, scaled)
    assert logits.shape == (3, 4, 64) and torch.equal(logits, model.decoder(scaled))


@pytest.mark.parametrize(
    ("shells", "parameterization"), [("e2,3,2", "paper"), ("e7", "exponential")]
)
def test_the_decoder_sees_what_has_no_radius_itself(shells, parameterization):
    z, _, seen = decoded(vae(shells, parameterization=parameterization))
    assert seen is z


def test_images_may_be_bytes_or_numbers():
    model = vae()
    images = digits().train[:9]
    assert torch.equal(model.encode(images), model.encode(images.float()))


@pytest.mark.parametrize("shells", ["2,3,10", "e4", "3,e2"])
def test_gradients_reach_every_weight(shells):
    model = vae(shells)
    images = digits().train[:20]
    terms = model.terms(model.encode(images), images, random.stream(0, "user"))
    (terms.kl.sum() - terms.log_likelihood.sum()).backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.abs().max() > 0, name


def test_the_gradient_of_a_concentration_is_the_chosen_one():
    def gradient(kappa_grad):
        model = VAE.like(config(shells="2", kappa_grad=kappa_grad), 64)
        model.initialize(0)
        images = digits().train[:20]
        terms = model.terms(model.encode(images), images, random.stream(0, "user"))
        (-terms.log_likelihood.sum()).backward()
        return terms.log_likelihood.detach(), model.head.bias.grad

    (implicit, by_implicit), (naive, by_naive) = gradient("implicit"), gradient("naive")
    assert torch.equal(implicit, naive)  # the draws do not depend on the choice
    assert torch.equal(by_implicit[:2], by_naive[:2])
    assert not torch.isclose(by_implicit[2], by_naive[2])
