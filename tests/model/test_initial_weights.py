"""hvae.model.initial_weights: a function of the seed, whatever was drawn before."""

import math

import torch
from few import vae
from torch import nn


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
