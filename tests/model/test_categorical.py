"""hvae.model.categorical: a softmax over the codes of each column."""

import math

import pytest
import torch
from shares import assert_shares
from torch.distributions import Categorical as TorchCategorical

from hvae import ops, random
from hvae.description import DataDescription, Kind
from hvae.errors import Refused
from hvae.model.categorical import MAX_OUTPUTS, Categorical

EPS = 2.0**-52
RAGGED, EVEN = (2, 0, 4, 2, 1), (2, 2, 2)


def categorical(maxima):
    return Categorical(DataDescription((len(maxima),), Kind.COUNTS, maxima=maxima))


def logits(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return 3 * torch.randn(*shape, dtype=torch.float64, generator=generator)


def codes(maxima, rows, seed=0):
    generator = torch.Generator().manual_seed(seed)
    columns = [torch.randint(0, most + 1, (rows,), generator=generator) for most in maxima]
    return torch.stack(columns, 1)


def by_column(parameters, maxima):
    return [TorchCategorical(logits=part) for part in parameters.split([m + 1 for m in maxima], -1)]


@pytest.mark.parametrize("maxima", [RAGGED, EVEN], ids=["ragged", "even"])
@pytest.mark.parametrize("dtype", [torch.uint8, torch.float64])
def test_log_prob_is_that_of_torch(maxima, dtype):
    """The logits stand column after column; terms are below 40."""
    likelihood, x = categorical(maxima), codes(maxima, 20)
    parameters = logits(3, 20, likelihood.outputs)
    assert likelihood.outputs == sum(maxima) + len(maxima)
    each = zip(by_column(parameters, maxima), x.unbind(1), strict=True)
    expected = torch.stack([column.log_prob(code) for column, code in each]).sum(0)
    seen = likelihood.log_prob(parameters, x.to(dtype))
    torch.testing.assert_close(seen, expected, rtol=0, atol=len(maxima) * 40 * 8 * EPS)


def test_probabilities_add_up_to_1():
    likelihood = categorical((2, 1))
    x = torch.cartesian_prod(torch.arange(3), torch.arange(2))
    total = likelihood.log_prob(logits(4, 1, 5).expand(4, 6, 5), x).exp().sum(-1)
    torch.testing.assert_close(total, torch.ones(4).double(), rtol=0, atol=6 * 40 * 8 * EPS)


def test_draws_are_as_fine_as_the_logits():
    """The first of two codes with a probability just above the uniform number: in float32 the
    number would be rounded up, past the probability, in half of the rows."""
    likelihood, rng = categorical((1,)), random.stream(3, "user")
    just_above = ops.uniform(rng, 1, 64, 1, dtype=torch.float64) * (1 + 1e-12)
    parameters = torch.cat([just_above.log(), torch.log1p(-just_above)], -1)
    assert (likelihood.sample(parameters, rng) == 0).all()


@pytest.mark.parametrize("maxima", [RAGGED, EVEN], ids=["ragged", "even"])
def test_the_encoder_sees_one_hot_codes(maxima):
    likelihood, x = categorical(maxima), codes(maxima, 7)
    expected = torch.cat(
        [torch.nn.functional.one_hot(x[:, j], most + 1) for j, most in enumerate(maxima)], 1
    )
    assert torch.equal(likelihood.encoder_input(x), expected.float())
    assert likelihood.seen == DataDescription((likelihood.outputs,), Kind.BINARY)


def test_the_encoders_description_keeps_the_covariates():
    data = DataDescription((1,), Kind.COUNTS, ("batch=a",), maxima=(3,))
    assert Categorical(data).seen == DataDescription((4,), Kind.BINARY, ("batch=a",))


def test_a_code_that_the_column_lacks_has_probability_0_and_is_not_another_columns():
    likelihood, x = categorical(RAGGED), torch.tensor([[3, 0, 4, 2, 1], [0, 0, 99, 0, 0]])
    assert (likelihood.log_prob(logits(2, 2, 14), x) == -math.inf).all()
    assert likelihood.encoder_input(x).sum(1).tolist() == [4.0, 4.0]
    known = torch.tensor([[2, 0, 4, 2, 1]])
    assert likelihood.encoder_input(known)[0, 3:].equal(likelihood.encoder_input(x[:1])[0, 3:])


def test_binary_columns_have_two_codes():
    assert Categorical(DataDescription((3,), Kind.BINARY)).outputs == 6


def test_unknown_and_too_many_codes_are_refused():
    with pytest.raises(
        Refused, match="^--likelihood: the largest code of each column is not known"
    ):
        Categorical(DataDescription((3,), Kind.COUNTS))
    with pytest.raises(
        Refused, match=f"have 2097152 codes; allowed for categorical: up to {2**20}"
    ):
        categorical((MAX_OUTPUTS - 1,) * 2)


def test_extreme_logits_are_finite():
    likelihood, x = categorical(EVEN), torch.tensor([[0, 1, 2]])
    parameters = torch.zeros(1, 1, 9).index_fill(-1, torch.tensor([1, 3, 7]), 1e30)
    assert likelihood.log_prob(parameters, x).item() == pytest.approx(-3e30)


@pytest.mark.parametrize("maxima", [RAGGED, EVEN], ids=["ragged", "even"])
def test_mean_and_draws(maxima):
    likelihood = categorical(maxima)
    parameters = logits(likelihood.outputs) / 3
    columns = by_column(parameters, maxima)
    expected = [c.probs @ torch.arange(len(c.probs)).double() for c in columns]
    torch.testing.assert_close(likelihood.mean(parameters), torch.stack(expected))
    drawn = likelihood.sample(parameters.expand(2, 20_000, -1), random.stream(0, "user"))
    assert drawn.shape == (2, 20_000, len(maxima)) and drawn.dtype == torch.float64
    for j, column in enumerate(columns):
        if maxima[j] == 0:
            assert (drawn[..., j] == 0).all()
        else:
            hits = drawn[..., j].reshape(-1, 1) == torch.arange(maxima[j] + 1)
            assert_shares(hits, column.probs)


def test_a_draw_depends_on_its_place_alone():
    likelihood, parameters = categorical(RAGGED), logits(3, 6, 14)
    whole = likelihood.sample(parameters, random.stream(0, "user"))
    place = random.stream(0, "user", row=2, sample=1)
    assert torch.equal(likelihood.sample(parameters[1:, 2:], place), whole[1:, 2:])


def test_gradients():
    likelihood, x = categorical(RAGGED), codes(RAGGED, 2)
    parameters = logits(2, 2, 14).requires_grad_()
    assert torch.autograd.gradcheck(lambda p: likelihood.log_prob(p, x), parameters)
