"""The parts of the example package are what they say: it is there to be copied."""

import math

import pytest
import torch
from hvae_example import laplace
from hvae_example.one_convolution import OneConvolution
from hvae_example.unit_gaussian import UnitGaussian
from torch.distributions import Laplace, Normal, kl_divergence

from hvae import random
from hvae.description import DataDescription, Kind
from hvae.errors import Refused
from hvae.latent import LatentOptions

ROWS, SAMPLES = 5, 400
STANDARD = Laplace(*torch.tensor([0.0, 1.0], dtype=torch.float64))
IMAGES = DataDescription((6, 5), Kind.BINARY)


class TestLaplace:
    """Two components, of 2 and 3 coordinates."""

    @pytest.fixture
    def family(self):
        return laplace.Laplace((2, 3), 4, LatentOptions())

    @pytest.fixture
    def raw(self):
        generator = torch.Generator().manual_seed(3)
        return [torch.randn(ROWS, 5, generator=generator, dtype=torch.float64) for _ in range(2)]

    def by_component(self, terms):
        return torch.stack([terms[..., :2].sum(-1), terms[..., 2:].sum(-1)], -1)

    def test_its_divergence_and_weight_are_those_of_the_densities(self, family, raw):
        """Both sides are a few float64 operations: 1e-12 is some thousand roundings."""
        draw = family.posterior(raw).draw(random.stream(1, "user"), SAMPLES, True)
        posterior, prior = Laplace(raw[0], raw[1].exp()), STANDARD
        expected = self.by_component(kl_divergence(posterior, prior))
        torch.testing.assert_close(draw.kl, expected, rtol=1e-12, atol=1e-12)
        weight = (prior.log_prob(draw.z) - posterior.log_prob(draw.z)).sum(-1)
        torch.testing.assert_close(draw.log_weight, weight, rtol=1e-12, atol=1e-12)
        density = prior.log_prob(draw.z).sum(-1)
        torch.testing.assert_close(family.prior.log_prob(draw.z), density, rtol=1e-12, atol=1e-12)
        assert family.posterior(raw).draw(random.stream(1, "user")).log_weight is None

    def test_its_draws_are_of_that_density(self, family, raw):
        """Their distribution function is uniform; KS at a level of 1e-6: 2.7 / sqrt(n)."""
        z = family.posterior(raw).draw(random.stream(2, "user"), SAMPLES).z
        prior = family.prior.sample(random.stream(2, "prior"), SAMPLES, ROWS, torch.float64)
        for points, density in ((z, Laplace(raw[0], raw[1].exp())), (prior, STANDARD)):
            uniform = density.cdf(points).flatten().sort().values
            steps = (torch.arange(uniform.numel()) + 0.5) / uniform.numel()
            assert (uniform - steps).abs().max() < 2.7 / math.sqrt(uniform.numel())

    def test_mode_and_concentration(self, family, raw):
        posterior = family.posterior(raw)
        assert torch.equal(posterior.mode(), raw[0])
        expected = self.by_component((-raw[1]).exp()) / torch.tensor([2, 3])
        torch.testing.assert_close(posterior.concentration, expected, rtol=1e-12, atol=0)

    def test_no_two_families_share_numbers(self, raw):
        one, other = (laplace.Laplace((5,), first, LatentOptions()) for first in (0, 1))
        draws = [f.posterior(raw).draw(random.stream(1, "user")).z for f in (one, other)]
        assert not torch.isclose(*draws).any()


class TestUnitGaussian:
    def test_it_is_a_density_and_its_mean_and_draws_are_its(self):
        likelihood, generator = UnitGaussian(IMAGES), torch.Generator().manual_seed(5)
        parameters = torch.randn(SAMPLES, ROWS, 30, generator=generator, dtype=torch.float64)
        x = torch.randint(0, 2, (ROWS, 30), generator=generator, dtype=torch.uint8)
        expected = Normal(parameters, 1.0).log_prob(x.double()).sum(-1)
        found = likelihood.log_prob(parameters, x)
        torch.testing.assert_close(found, expected, rtol=1e-12, atol=0)
        assert torch.equal(likelihood.mean(parameters), parameters)
        noise = likelihood.sample(parameters, random.stream(1, "user")) - parameters
        standard = 5 / math.sqrt(noise.numel())
        assert abs(noise.mean()) < standard and abs(noise.var() - 1) < math.sqrt(2) * standard

    def test_counts_are_refused(self):
        with pytest.raises(Refused, match="unit-gaussian does not take counts data; allowed: "):
            UnitGaussian(DataDescription((3,), Kind.COUNTS))


class TestOneConvolution:
    def test_it_fits_images_of_odd_sides(self):
        network = OneConvolution.build(IMAGES, 7, 60, (4, 3))
        for module in (network.encoder, network.decoder):
            for layer in module.modules():
                if hasattr(layer, "reset_parameters"):
                    layer.reset_parameters()
        assert network.encoder(torch.zeros(2, 30)).shape == (2, network.features)
        assert network.decoder(torch.zeros(2, 7)).shape == (2, 60)

    def test_vectors_are_refused(self):
        with pytest.raises(Refused, match="one-convolution takes images; allowed: height x width"):
            OneConvolution.build(DataDescription((30,), Kind.BINARY), 7, 30, (4,))
