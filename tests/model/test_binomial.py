"""hvae.model.binomial: counts up to the largest of the data."""

import math

import pytest
import torch
from shares import assert_shares
from torch.distributions import Binomial as TorchBinomial

from hvae import random
from hvae.description import DataDescription, Kind
from hvae.errors import Refused
from hvae.model import Bernoulli
from hvae.model.binomial import Binomial

EPS = 2.0**-52
GREY = DataDescription((4,), Kind.COUNTS, maxima=(16, 0, 3, 16))
BINARY = DataDescription((4,), Kind.BINARY)


def logits(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return 3 * torch.randn(*shape, dtype=torch.float64, generator=generator)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int64, torch.float64])
def test_log_prob_is_that_of_torch(dtype):
    """The series is good to 2e-9 a count; parts are below 16 * 15."""
    x = torch.randint(0, 17, (20, 4), generator=torch.Generator().manual_seed(0)).to(dtype)
    parameters = logits(3, 20, 4)
    expected = TorchBinomial(16, logits=parameters).log_prob(x.double()).sum(-1)
    seen = Binomial(GREY).log_prob(parameters, x)
    assert seen.shape == (3, 20)
    torch.testing.assert_close(seen, expected, rtol=0, atol=4 * (2e-9 + 240 * 16 * EPS))


@pytest.mark.parametrize("largest", [1, 16, 255])
def test_probabilities_add_up_to_1(largest):
    one = Binomial(DataDescription((1,), Kind.COUNTS, maxima=(largest,)))
    x = torch.arange(largest + 1)[:, None]
    total = one.log_prob(logits(5, 1, 1).expand(5, largest + 1, 1), x).exp().sum(-1)
    torch.testing.assert_close(total, torch.ones(5).double(), rtol=0, atol=3e-9 + 255 * 32 * EPS)


def test_of_one_coin_it_is_the_bernoulli_likelihood():
    x, parameters = torch.tensor([[0, 1, 1, 0]], dtype=torch.uint8), logits(2, 1, 4)
    expected = Bernoulli(BINARY).log_prob(parameters, x)
    seen = Binomial(BINARY).log_prob(parameters, x)
    torch.testing.assert_close(seen, expected, rtol=0, atol=4 * 2e-9)


def test_a_count_above_the_largest_has_probability_0():
    x = torch.tensor([[16, 0, 16, 0], [16, 0, 17, 0]])
    assert (Binomial(GREY).log_prob(logits(2, 2, 4), x) == -math.inf).tolist() == [
        [False, True]
    ] * 2


@pytest.mark.parametrize("size", [50.0, 1e4])
def test_extreme_logits_are_finite(size):
    x = torch.tensor([[0, 16, 8, 0]])
    parameters = torch.tensor([size, -size, size, -size]).expand(1, 1, 4)
    assert Binomial(GREY).log_prob(parameters, x).item() == pytest.approx(-size * 40, abs=20)


def test_the_encoder_sees_parts_of_the_largest():
    x = torch.tensor([[0, 4, 16, 8]], dtype=torch.uint8)
    assert Binomial(GREY).encoder_input(x).tolist() == [[0.0, 0.25, 1.0, 0.5]]


@pytest.mark.parametrize(
    ("maxima", "what"), [(None, "not known"), ((0, 0), "0")], ids=["unknown", "zeros"]
)
def test_data_without_a_largest_count_are_refused(maxima, what):
    with pytest.raises(Refused) as error:
        Binomial(DataDescription((2,), Kind.COUNTS, maxima=maxima))
    assert str(error.value) == (
        f"--likelihood: the largest count of the data is {what}; allowed for binomial: 1 or more"
    )


def test_mean_and_draws():
    likelihood, parameters = Binomial(GREY), torch.tensor([-4.0, -1.0, 0.0, 2.0]).double()
    torch.testing.assert_close(likelihood.mean(parameters), 16 * parameters.sigmoid())
    draws = likelihood.sample(parameters.expand(2, 20_000, 4), random.stream(0, "user"))
    assert draws.shape == (2, 20_000, 4) and draws.dtype == torch.float64
    counts = torch.arange(17.0).double()
    probability = TorchBinomial(16, logits=parameters).log_prob(counts[:, None]).exp()
    for column in range(4):
        cells = 40_000 * probability[:, column] >= 100
        hits = draws[..., column].reshape(-1, 1) == counts[cells]
        assert_shares(hits, probability[cells, column])


def test_a_stream_gives_one_draw():
    parameters = torch.zeros(2, 10, 4)
    one, same = (Binomial(GREY).sample(parameters, random.stream(0, "user")) for _ in range(2))
    assert torch.equal(one, same)
    assert not torch.equal(one, Binomial(GREY).sample(parameters, random.stream(1, "user")))


def test_gradients():
    x = torch.tensor([[0, 16, 3, 7], [1, 0, 0, 16]])
    parameters = logits(2, 2, 4).requires_grad_()
    assert torch.autograd.gradcheck(lambda p: Binomial(GREY).log_prob(p, x), parameters)
