"""hvae.model.initial_weights: a function of the seed, whatever was drawn before."""

import math

import pytest
import torch
from few import batch_normalized, digits, vae
from parts import EstimatedGaussian, convolutions
from torch import nn

import hvae.latent.product
from hvae import ops, random
from hvae.latent import KINDS, Component, Product, parse
from hvae.model import MLP, VAE, Bernoulli
from hvae.model.initial_weights import initialize, seeded


def test_those_of_linear_layers_are_uniform_on_the_inverse_root_of_the_fan_in():
    for layer in vae(hidden=(256, 128)).modules():
        if isinstance(layer, nn.Linear):
            bound = 1 / math.sqrt(layer.in_features)
            numbers = torch.cat([layer.weight.flatten(), layer.bias]).double() / bound
            assert numbers.abs().max() <= 1
            count = len(numbers)
            assert numbers.mean().abs() < 5 * math.sqrt(1 / 3 / count)
            assert (numbers.square().mean() - 1 / 3).abs() < 5 * math.sqrt(4 / 45 / count)


def test_they_depend_on_the_seed_alone():
    torch.manual_seed(1)
    before = torch.get_rng_state()
    one, same, other = (vae(seed=seed).state_dict() for seed in (7, 7, 8))
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(one[name], same[name]) for name in one)
    assert not any(torch.equal(one[name], other[name]) for name in one)


def test_layers_of_one_shape_have_different_weights():
    model = vae(pixels=16, hidden=(16, 16))
    assert not torch.isclose(model.encoder[0].weight, model.encoder[2].weight).any()


def convolutional(seed):
    """Weights of a model with every kind of layer, made and reset after other draws of torch's."""
    torch.seed()
    latent = Product(parse("3,e2"))
    model = VAE(latent, convolutions(latent.size), Bernoulli(digits().description))
    with torch.no_grad():  # as if it had been trained
        for tensor in model.state_dict().values():
            tensor.copy_(torch.full_like(tensor, 7))
    model.initialize(seed)
    return model.state_dict()


def test_those_of_every_layer_are_a_function_of_the_seed():
    """Convolutions and batch normalization too, running means included."""
    one, same, other = (convolutional(seed) for seed in (7, 7, 8))
    assert all(torch.equal(one[name], same[name]) for name in one)
    differ = {name for name in one if not torch.equal(one[name], other[name])}
    fixed = {name for name in one if name.startswith(("encoder.2.", "decoder.4."))}
    assert len(fixed) == 10 and differ == set(one) - fixed
    ends = {"weight": 1, "bias": 0, "running_mean": 0, "running_var": 1, "num_batches_tracked": 0}
    for name in fixed:
        assert (one[name] == ends[name.rsplit(".", 1)[1]]).all()


def test_a_model_that_is_initialized_leaves_torchs_generator_alone():
    torch.manual_seed(1)
    model = batch_normalized()
    before = torch.get_rng_state()
    model.initialize(0)
    assert torch.equal(torch.get_rng_state(), before)


def test_the_ith_linear_layer_draws_from_step_i_of_its_stream():
    """A row's last number is its bias. Other layers, and a bias that is not there, take none."""
    layers = nn.Sequential(
        nn.Linear(5, 3), nn.Conv1d(1, 2, 3), nn.Linear(3, 4, bias=False), nn.Linear(4, 2)
    )
    initialize(layers, 6)
    for step, layer in enumerate(layers[i] for i in (0, 2, 3)):
        rng = random.stream(6, "weights", step=step)
        uniform = ops.uniform(rng, 1, layer.out_features, layer.in_features + 1)[0]
        drawn = (2 * uniform - 1) / math.sqrt(layer.in_features)
        assert torch.equal(layer.weight, drawn[:, :-1])
        assert layer.bias is None or torch.equal(layer.bias, drawn[:, -1])


def test_the_seeded_generator_is_that_of_the_weights_and_ends_with_the_block():
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    with pytest.raises(KeyError), seeded(3):
        one = torch.rand(3)
        raise KeyError
    assert torch.equal(torch.rand(3), expected)
    with seeded(3):
        assert torch.equal(torch.rand(3), one)
    with seeded(4):
        assert not torch.isclose(torch.rand(3), one).any()
    torch.manual_seed(random.key(3, "weights") % 2**63)
    assert torch.equal(torch.rand(3), one)


def test_components_change_their_rows_after_the_seed(monkeypatch):
    """The rest of the model is as it is without them."""
    monkeypatch.setattr(hvae.latent.product, "KINDS", {**KINDS, "x": EstimatedGaussian})
    likelihood = Bernoulli(digits().description)
    models = []
    for kind in ("e", "x"):
        network = MLP.build(likelihood.data, 5, likelihood.outputs, (16, 12))
        models.append(VAE(Product([Component("", 3), Component(kind, 2)]), network, likelihood))
        models[-1].initialize(5)
    plain, own = models
    rows = own.latent.raw_owner == 1
    before, after = plain.state_dict(), own.state_dict()
    assert rows.tolist() == [False] * 4 + [True] * 4
    assert (after["to_posterior.weight"][rows] == 0).all()
    assert after["to_posterior.bias"][rows].tolist() == [1.0, 1.0, -2.0, -2.0]
    for name in before:
        kept = ~rows if name.startswith("to_posterior.") else slice(None)
        assert torch.equal(before[name][kept], after[name][kept])
