"""hvae.evaluation.scoring: scores of rows, whose means are those of an evaluation."""

import few
import pytest
import torch
from few import digits

from hvae.description import DataDescription, Kind
from hvae.errors import Diverged, Refused
from hvae.evaluation import importance
from hvae.evaluation.importance import by_row, evaluate
from hvae.evaluation.scoring import score
from hvae.latent import Product, parse
from hvae.model import MLP, VAE
from hvae.model.binomial import Binomial


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_means_are_those_of_the_evaluation(dtype):
    """The same float64 numbers, whose means over 35 rows round to 35 x 2^-53 of them."""
    model, rows = few.vae().to(dtype), digits().test
    scores, evaluation = score(model, rows, 7, seed=3), evaluate(model, rows, 7, seed=3)
    assert scores.ll.dtype == scores.elbo.dtype == torch.float64
    assert scores.ll.shape == scores.elbo.shape == (35,)
    assert scores.ll.mean().item() == pytest.approx(evaluation.ll, rel=1e-14)
    assert scores.elbo.mean().item() == pytest.approx(evaluation.elbo, rel=1e-14)


@pytest.mark.parametrize(
    ("encoder", "rows", "bytes_"), [(1, 1, 1), (8, 3, 2000), (35, 100, 1 << 20)]
)
def test_a_rows_scores_depend_on_its_number_and_on_no_batch(monkeypatch, encoder, rows, bytes_):
    """float64: sums of some hundred terms in another order."""
    model = few.vae().double()
    whole = score(model, digits().test, 11, seed=3)
    monkeypatch.setattr(importance, "_ENCODER_ROWS", encoder)
    monkeypatch.setattr(importance, "_ROWS", rows)
    monkeypatch.setitem(importance._CHUNK_BYTES, "cpu", bytes_)
    parts = score(model, digits().test, 11, seed=3)
    torch.testing.assert_close(parts.ll, whole.ll, rtol=1e-12, atol=0)
    torch.testing.assert_close(parts.elbo, whole.elbo, rtol=1e-12, atol=0)
    first = score(model, digits().test[:5], 11, seed=3)
    torch.testing.assert_close(first.ll, whole.ll[:5], rtol=1e-12, atol=0)


def test_the_seed_and_the_number_decide():
    model, rows = few.vae(), digits().test[:1].repeat(2, 1)
    scores = score(model, rows, 3, seed=0)
    assert scores.ll[0] != scores.ll[1]
    assert torch.equal(scores.ll, score(model, rows, 3, seed=0).ll)
    assert not torch.equal(scores.ll, score(model, rows, 3, seed=1).ll)


def test_a_row_alone_has_the_draws_of_row_0_wherever_it_stands():
    model, rows = few.vae(), digits().test
    alone = by_row(model, rows, 5, 2, alone=True)
    for number in (0, 7, 34):
        row = by_row(model, rows[number : number + 1], 5, 2)
        assert torch.equal(alone[number], row[0])


def test_what_is_unlike_the_data_scores_lower():
    """Of a model of black pixels, an image of white ones."""
    model = few.vae()
    with torch.no_grad():
        model.decoder[-1].bias.fill_(-3)
    rows = torch.zeros(3, 64, dtype=torch.uint8)
    rows[1] = 1
    scores = score(model, rows, 5)
    assert scores.ll.argmin() == 1 and scores.elbo.argmin() == 1


def test_a_row_that_is_impossible_has_minus_infinity():
    data = DataDescription((4,), Kind.COUNTS, maxima=(3,) * 4)
    likelihood = Binomial(data)
    model = VAE(Product(parse("3")), MLP.build(data, 3, 4, (8,)), likelihood)
    model.initialize(0)
    scores = score(model, torch.tensor([[1.0, 2, 3, 0], [1, 2, 4, 0]]), 5)
    assert scores.ll.isfinite().tolist() == scores.elbo.isfinite().tolist() == [True, False]
    assert scores.ll[1] == scores.elbo[1] == -torch.inf


def test_a_row_whose_scores_are_no_numbers_is_named():
    rows = digits().test.float()
    rows[4, 3] = torch.nan
    with pytest.raises(Diverged, match="^row 4, counted from 0: the ELBO or the LL is not a num"):
        score(few.vae(), rows, 3)


@pytest.mark.parametrize("samples", [0, 2**32])
def test_sample_counts_that_are_refused(samples):
    with pytest.raises(Refused, match="--iw-samples: .* allowed: an integer from 1 to 4294967295"):
        score(few.vae(), digits().test, samples)
