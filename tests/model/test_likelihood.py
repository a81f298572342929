"""hvae.model: likelihoods, of data that they take; the Bernoulli one."""

import math

import pytest
import torch
from few import digits
from parts import Gaussian
from torch.distributions import Bernoulli as TorchBernoulli
from torch.nn import functional

from hvae import ops, random
from hvae.description import DataDescription, Kind
from hvae.errors import Refused
from hvae.latent import Product, parse
from hvae.model import MLP, VAE, Bernoulli

BINARY = DataDescription((2, 3), Kind.BINARY)


@pytest.mark.parametrize("kind", [Kind.REAL, Kind.COUNTS])
def test_data_of_another_kind_are_refused_in_one_line(kind):
    with pytest.raises(Refused) as error:
        Bernoulli(DataDescription((8,), kind))
    assert str(error.value) == (
        f"--likelihood: bernoulli does not take {kind.value} data; allowed: binary, unit interval"
    )


def test_every_kind_that_one_takes_is_named_and_taken():
    for kind in (Kind.REAL, Kind.UNIT):
        assert Gaussian(DataDescription((8,), kind)).data.kind is kind
    with pytest.raises(Refused, match="^--likelihood: gaussian does not take binary data; "):
        Gaussian(BINARY)
    with pytest.raises(Refused, match="; allowed: real, unit interval$"):
        Gaussian(BINARY)


class TestBernoulli:
    def test_a_logit_for_every_number(self):
        assert Bernoulli(BINARY).outputs == 6 and Bernoulli(BINARY).data is BINARY

    @pytest.mark.parametrize("dtype", [torch.uint8, torch.bool, torch.float32, torch.float64])
    def test_log_prob_is_that_of_torch(self, dtype):
        """Summed over a row, for every sample; pixels may be bytes. The terms are below 40."""
        generator = torch.Generator().manual_seed(0)
        logits = 5 * torch.randn(3, 4, 6, generator=generator, dtype=torch.float64)
        x = (torch.rand(4, 6, generator=generator) < 0.5).to(dtype)
        seen = Bernoulli(BINARY).log_prob(logits, x)
        expected = TorchBernoulli(logits=logits).log_prob(x.double()).sum(-1)
        assert seen.shape == (3, 4)
        torch.testing.assert_close(seen, expected, rtol=0, atol=6 * 40 * 2.0**-51)

    def test_the_mean_is_the_probability_of_a_1(self):
        logits = torch.tensor([[0.0, math.log(3.0), -math.log(3.0)]], dtype=torch.float64)
        expected = torch.tensor([[0.5, 0.75, 0.25]], dtype=torch.float64)
        seen = Bernoulli(BINARY).mean(logits)
        torch.testing.assert_close(seen, expected, rtol=2.0**-50, atol=0)

    def test_draws_are_bytes_that_are_1_with_that_probability(self):
        """Within five standard errors for each of 6 logits: false-alarm rate 4e-6 in all."""
        logits = torch.tensor([-30.0, -2.0, -0.5, 0.0, 1.0, 30.0])
        rng = random.stream(0, "user")
        x = Bernoulli(BINARY).sample(logits.expand(2, 5000, 6), rng)
        assert (
            x.dtype == torch.uint8
            and x.shape == (2, 5000, 6)
            and set(x.unique().tolist()) == {0, 1}
        )
        p = logits.double().sigmoid()
        share = x.double().mean((0, 1))
        assert ((share - p).abs() <= 5 * (p * (1 - p) / 10_000).sqrt() + 1e-12).all()
        assert share[0] == 0 and share[-1] == 1

    def test_a_draw_is_that_of_the_uniform_numbers_of_its_place(self):
        logits = torch.linspace(-2, 2, 6).expand(3, 4, 6)
        whole = Bernoulli(BINARY).sample(logits, random.stream(1, "user"))
        uniform = ops.uniform(random.stream(1, "user"), 3, 4, 6)
        assert torch.equal(whole, (uniform < logits.sigmoid()).byte())
        place = random.stream(1, "user", row=2, sample=1)
        assert torch.equal(Bernoulli(BINARY).sample(logits[:2, :2], place), whole[1:, 2:])

    def test_the_encoder_sees_the_row_itself(self):
        rows = digits().train[:3]
        assert Bernoulli(digits().description).encoder_input(rows) is rows


class TestAnother:
    """One of another package, with a parameter, on real numbers."""

    @pytest.fixture
    def model(self):
        likelihood = Gaussian(DataDescription((4,), Kind.REAL))
        latent = Product(parse("3,e1"))
        model = VAE(latent, MLP.build(likelihood.data, 4, likelihood.outputs, (8,)), likelihood)
        model.initialize(0)
        return model

    def test_its_log_prob_is_that_of_the_model(self, model):
        x = torch.randn(5, 4, generator=torch.Generator().manual_seed(0))
        rng = random.stream(0, "user")
        terms = model.terms(x, rng, 3)
        mean = model.decode(model.posterior(x).draw(rng, 3).z)
        expected = -functional.mse_loss(mean, x.expand(3, 5, 4), reduction="none").sum(-1) / 2
        expected = expected - 2 * math.log(2 * math.pi)
        torch.testing.assert_close(terms.log_likelihood, expected, rtol=1e-5, atol=1e-5)

    def test_its_parameter_is_one_of_the_model_and_gets_a_gradient(self, model):
        assert "likelihood.log_deviation" in dict(model.named_parameters())
        x = torch.randn(5, 4, generator=torch.Generator().manual_seed(0))
        model.terms(x, random.stream(0, "user")).log_likelihood.sum().backward()
        assert model.likelihood.log_deviation.grad.abs() > 0

    def test_the_encoder_sees_what_it_makes_of_a_row_in_the_dtype_of_the_weights(self, model):
        seen = []
        model.likelihood.encoder_input = lambda x: 2 * x
        model.double().encoder.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
        rows = torch.arange(8, dtype=torch.uint8).reshape(2, 4)
        model.posterior(rows)
        assert torch.equal(seen[0], 2 * rows.double()) and seen[0].dtype == torch.float64
