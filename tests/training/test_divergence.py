"""hvae.training.divergence: where training that is not finite began."""

import math

import pytest
import torch
from few import vae

from hvae.training.divergence import first_bad_component


class TestFirstBadComponent:
    """By its KL or its raw parameters, then by their gradient; a fault of the network is none's."""

    @pytest.fixture
    def model(self):
        return vae("3,4,e2")  # columns: 3 + 4 directions, 2 kappas, 2 means, 2 variances

    def terms(self, **broken):
        shapes = {"log_likelihood": (5,), "kl": (5, 3), "raw": (5, 13), "raw_gradient": (13,)}
        parts = {name: torch.zeros(shape) for name, shape in shapes.items()}
        for name, place in broken.items():
            parts[name][place] = math.nan
        return parts

    @pytest.mark.parametrize(
        ("broken", "component"),
        [
            ({"kl": (3, 1), "log_likelihood": 0}, "2 of 3 (4)"),
            ({"raw": (2, 0), "raw_gradient": slice(None)}, "1 of 3 (3)"),
            ({"raw": (2, 8), "kl": (0, 2)}, "2 of 3 (4)"),
            ({"raw_gradient": 7}, "1 of 3 (3)"),
            ({"raw_gradient": [10, 12]}, "3 of 3 (e2)"),
            ({"raw_gradient": slice(None)}, "none (the network)"),
            ({"log_likelihood": 4, "raw_gradient": slice(None)}, "none (the network)"),
            ({}, "none (the network)"),
        ],
    )
    def test_cases(self, model, broken, component):
        assert first_bad_component(model.latent, **self.terms(**broken)) == component

    def test_a_single_component_is_named_by_its_gradient(self):
        zeros = [torch.zeros(shape) for shape in ((5,), (5, 1), (5, 4))]
        gradient = torch.full((4,), math.inf)
        assert first_bad_component(vae("3").latent, *zeros, gradient) == "1 of 1 (3)"
