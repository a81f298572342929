"""hvae.HypersphericalVAE: an estimator as scikit-learn asks, by the training of a run."""

import copy
import logging
import pickle
from dataclasses import replace

import numpy as np
import pandas
import pytest
import torch
from few import config
from scipy import sparse
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer
from sklearn.datasets import load_digits as grey_digits
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import check_estimator

import hvae
from hvae.data.binarization import binarized
from hvae.description import Kind
from hvae.errors import Diverged, Refused
from hvae.evaluation.importance import evaluate
from hvae.training.loop import open_state
from hvae.training.step import epoch_permutation

SMALL = {"hidden": (8,), "epochs": 2, "warmup": 1}


def small(shells="3,e2", **options):
    return hvae.HypersphericalVAE(shells, **{**SMALL, "iw_samples": 5, **options})


def grey(rows=60):
    return grey_digits().data[:rows]


@pytest.fixture(scope="module")
def fitted():
    return small(likelihood="binomial").fit(grey())


@pytest.mark.slow
def test_it_passes_the_checks_of_scikit_learn():
    """All of them: none is expected to fail. The array API is checked only where it is set up."""
    done = check_estimator(small("3"), on_skip=None, on_fail=None)
    failed = {check["check_name"]: str(check["exception"]) for check in done
              if check["status"] not in ("passed", "skipped")}  # fmt: skip
    assert failed == {}
    skipped = {check["check_name"] for check in done if check["status"] == "skipped"}
    assert skipped <= {"check_array_api_input"} and len(done) > 40


def test_it_trains_as_a_run_does(fitted):
    """The same settings and the same split of the rows: the same weights, bit for bit."""
    X = torch.from_numpy(grey()).float()
    order = epoch_permutation(60, 0, 0)
    dataset = hvae.data.load("digits")
    dataset = replace(
        dataset,
        train=X[order[6:].sort().values],
        validation=X[order[:6].sort().values],
        description=fitted.description_,
    )
    settings = config(likelihood="binomial", batch_size=100, **SMALL)
    state = open_state(settings, dataset)
    lines = list(state.epochs())
    for name, tensor in fitted.model_.state_dict().items():
        assert torch.equal(tensor, state.tensors["best"][name])
    for line, kept in zip(lines, fitted.history_, strict=True):
        assert line["validation"] == kept["validation"] and line["train"] == kept["train"]
    assert (fitted.best_epoch_, fitted.n_iter_) == (state.progress.best_epoch, 2)


def test_the_shapes_and_what_they_are(fitted):
    X = grey()
    z = fitted.transform(X)
    assert z.shape == (60, 5) and z.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(z[:, :3], axis=1), 1, rtol=1e-6)
    again = fitted.inverse_transform(z)
    assert again.shape == (60, 64) and again.min() >= 0 and again.max() <= 16
    drawn = fitted.sample(7)
    assert drawn.shape == (7, 64) and (drawn == np.round(drawn)).all() and drawn.max() <= 16
    np.testing.assert_array_equal(drawn, fitted.sample(7))
    assert (fitted.sample(7, random_state=1) != drawn).any()
    assert fitted.n_features_in_ == 64
    assert fitted.description_.kind is Kind.COUNTS and max(fitted.description_.maxima) == 16


def test_many_rows_are_drawn_and_decoded_in_blocks(fitted, monkeypatch):
    z = fitted.transform(grey())
    whole = fitted.inverse_transform(z)
    monkeypatch.setattr("hvae.estimator._ROWS", 7)
    np.testing.assert_allclose(fitted.inverse_transform(z), whole, rtol=1e-5)
    drawn = fitted.sample(20)
    assert len(drawn) == 20 and len(np.unique(drawn, axis=0)) == 20


def test_the_score_is_the_log_likelihood(fitted):
    """That of the first row is `evaluate`'s; all rows have the draws of the first."""
    X = grey()
    scores = fitted.score_samples(X)
    assert scores.shape == (60,) and scores.dtype == np.float64
    for row in (0, 41):
        one = evaluate(fitted.model_, torch.from_numpy(X[row : row + 1]).float(), 5, seed=0)
        assert scores[row] == one.ll
    np.testing.assert_array_equal(fitted.score_samples(X[::-1]), scores[::-1])
    assert fitted.score(X) == scores.mean()
    more = clone(fitted).set_params(iw_samples=50).fit(X)
    assert more.score(X) > fitted.score(X)


def test_a_count_above_the_maximum_is_impossible(fitted):
    X = grey(3)
    X[1, 5] = 17
    assert np.isneginf(fitted.score_samples(X)).tolist() == [False, True, False]


@pytest.mark.parametrize(
    ("X", "kind"),
    [
        (np.eye(12), Kind.BINARY),
        (np.eye(12) / 2, Kind.UNIT),
        (np.eye(12) * 3, Kind.COUNTS),
        (np.eye(12) - 0.5, Kind.REAL),
        (np.eye(12) * 1.5, Kind.REAL),
    ],
)
def test_what_the_numbers_are_is_recognised(X, kind):
    model = small("3").fit(X)
    assert model.description_.kind is kind
    assert np.isfinite(model.score(X)) and np.isfinite(model.sample(3)).all()


def test_a_likelihood_overrules_it_where_it_can():
    X = np.eye(12)
    counting = small("3", likelihood="negative-binomial").fit(X)
    assert counting.description_.kind is Kind.COUNTS
    assert counting.description_.maxima == (1,) * 12
    assert small("3", likelihood="gaussian").fit(X).description_.kind is Kind.BINARY
    with pytest.raises(Refused, match="poisson does not take real data; allowed: binary, counts"):
        small("3", likelihood="poisson").fit(X - 0.5)


def test_rows_of_another_kind_are_refused():
    model = small("3").fit(np.eye(12) * 3)
    for X in (-np.eye(12), np.eye(12) / 3):
        with pytest.raises(ValueError, match="^X: row 0, column 0 .* among counts data; allow"):
            model.transform(X)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"shells": "1"}, "--shells: '1' is too small"),
        ({"epochs": 0}, "--epochs: 0 is not allowed"),
        ({"hidden": (0,)}, "--hidden: 0 is not allowed"),
        ({"likelihood": "x"}, "--likelihood: 'x' is not allowed"),
        ({"iw_samples": 0}, "--iw-samples: 0 is not allowed"),
        ({"validation_fraction": 0.0}, "--validation-fraction: 0.0 is .* above 0 and below 1"),
        ({"validation_fraction": 1}, "--validation-fraction: 1 is"),
        ({"image_shape": (3, 3)}, "--image-shape: 3,3 is .* sizes whose product is 12"),
        ({"random_state": -1}, "--seed: -1 is not allowed"),
        ({"device": "cuda:99"}, "--device: cuda:99"),
    ],
)
def test_arguments_that_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        small(**options).fit(np.eye(12))


def test_rows_that_are_refused(fitted):
    with pytest.raises(ValueError, match="1 sample"):
        small().fit(np.eye(1, 3))
    with pytest.raises(ValueError, match="NaN"):
        small().fit(np.full((5, 2), np.nan))
    with pytest.raises(ValueError, match="63 features"):
        fitted.transform(grey()[:, :63])
    with pytest.raises(ValueError, match=r"z is 1 x 4; allowed: \[N, 5\]"):
        fitted.inverse_transform(np.ones((1, 4)))
    with pytest.raises(ValueError, match="shell 1 has length 1.73205; allowed: 1, to within"):
        fitted.inverse_transform(np.ones((1, 5)))
    with pytest.raises(ValueError, match="--n-samples: 0 is not allowed"):
        fitted.sample(0)


def test_few_rows_are_enough():
    for rows in (2, 10):
        X = np.random.default_rng(0).normal(size=(rows, 3))
        assert small("3", validation_fraction=0.9).fit(X).transform(X).shape == (rows, 3)


def test_before_it_is_fitted_it_says_so():
    for call in (small().transform, small().score_samples, small().inverse_transform):
        with pytest.raises(NotFittedError):
            call(np.eye(3))
    with pytest.raises(NotFittedError):
        small().sample()


def test_training_that_is_not_finite_is_named():
    with pytest.raises(Diverged, match="training diverged in epoch"):
        small("3", lr=1e25).fit(grey())


@pytest.mark.parametrize("state", [7, None, np.random.RandomState(3)])
def test_the_seed(state):
    X = grey()
    first, second = (
        small("3", random_state=copy.deepcopy(state)).fit(X).transform(X) for _ in range(2)
    )
    assert (first == second).all() == (state is not None)
    assert (first != small("3").fit(X).transform(X)).any()


def test_a_copy_computes_the_same(fitted):
    X = grey()
    for other in (pickle.loads(pickle.dumps(fitted)), copy.deepcopy(fitted)):
        np.testing.assert_array_equal(other.transform(X), fitted.transform(X))
        np.testing.assert_array_equal(other.score_samples(X), fitted.score_samples(X))
        assert other.description_ == fitted.description_ and not other.model_.training
        assert other.history_ == fitted.history_ and other.get_params() == fitted.get_params()


def test_a_pickle_holds_no_module(fitted):
    content = pickle.dumps(fitted.set_params(shells="3,e2"))
    products = b"\x8c\x05torch"  # the setting, a text
    assert content.count(products) == content.count(b"torch") == 1 and b"hvae.model" not in content
    state = fitted.__getstate__()
    assert isinstance(state["_weights"], bytes) and "model_" not in state
    damaged = {**state, "_config": {**state["_config"], "shells": "4,e2"}}
    with pytest.raises(Refused, match="the pickled estimator is of another shape"):
        small().__setstate__(damaged)


def test_a_pickle_of_a_device_that_is_not_there_comes_back_on_the_cpu(fitted):
    state = fitted.__getstate__()
    other = small()
    other.__setstate__({**state, "_config": {**state["_config"], "device": "cuda:99"}})
    assert other.model_.device.type == "cpu"


def test_parameters_that_are_set_after_fitting_wait_for_the_next_fit(fitted):
    other = copy.deepcopy(fitted).set_params(shells="2", random_state=5)
    np.testing.assert_array_equal(other.transform(grey()), fitted.transform(grey()))
    assert other.fit(grey()).transform(grey()).shape == (60, 2)


def test_names_of_columns():
    X = pandas.DataFrame(np.eye(12), columns=[f"g{j}" for j in range(12)])
    model = small("3,e2").fit(X).set_output(transform="pandas")
    names = [f"mean_direction_{name}" for name in ("1_1", "1_2", "1_3", "2_1", "2_2")]
    assert model.get_feature_names_out().tolist() == names
    assert model.transform(X).columns.tolist() == names
    assert model.description_.features == tuple(X.columns)
    assert model.feature_names_in_.tolist() == X.columns.tolist()


def test_sparse_rows_are_as_dense_ones(fitted):
    """The same rows in the same batches: the same bits."""
    X = sparse.csr_matrix(grey())
    model = small(likelihood="binomial").fit(X)
    np.testing.assert_array_equal(model.transform(X), fitted.transform(grey()))
    np.testing.assert_array_equal(model.score_samples(X), fitted.score_samples(grey()))


def test_numbers_of_the_unit_interval_are_drawn_for_bernoulli():
    """Training rows anew in every epoch; scored rows once, and alike wherever they stand."""
    X = grey() / 16
    model = small("3").fit(X)
    assert model.description_.kind is Kind.UNIT
    scores = model.score_samples(X)
    np.testing.assert_array_equal(model.score_samples(X[::-1]), scores[::-1])
    one = binarized(torch.from_numpy(X[4:5]).float(), 64, 0, step=0)
    assert scores[4] == evaluate(model.model_, one, 5, seed=0).ll
    density = small("3", likelihood="continuous-bernoulli").fit(X)
    assert density.score(X) != model.score(X)
    assert set(np.unique(model.sample(5))) <= {0, 1}


def test_images_for_convolutions():
    model = small("3", network="conv", hidden=(4, 8), image_shape=(8, 8), likelihood="binomial")
    assert model.fit(grey()).inverse_transform(model.transform(grey())).shape == (60, 64)


def test_arrays_that_cannot_be_written_to(recwarn):
    X = grey()
    X.setflags(write=False)
    model = small("3").fit(X)
    model.transform(np.asfortranarray(X)[::-1])
    assert not [warning for warning in recwarn if "writable" in str(warning.message)]


def test_it_stands_in_a_pipeline_and_in_cross_validation():
    X, y = load_breast_cancer(return_X_y=True)
    vae = small("4", epochs=12, warmup=4, lr=0.01, hidden=(32,))
    pipeline = make_pipeline(StandardScaler(), vae, LogisticRegression())
    assert cross_val_score(pipeline, X, y, cv=2).min() > 0.8  # the larger class has 0.63
    assert np.isfinite(cross_val_score(small("3"), X, cv=2)).all()


class TestVerbose:
    def test_quiet_by_default(self, capfd):
        small("3").fit(grey())
        assert capfd.readouterr() == ("", "")

    def test_a_line_an_epoch(self, caplog):
        with caplog.at_level(logging.INFO, logger="hvae"):
            model = small("3", verbose=True).fit(grey())
        elbo = model.history_[1]["validation"]["elbo"]
        assert caplog.messages[1] == f"epoch 2  validation ELBO {elbo:.2f}"

    def test_where_nobody_listens_it_goes_to_stderr(self, capfd, monkeypatch):
        log = logging.getLogger("hvae")
        monkeypatch.setattr(log, "propagate", False)
        small("3", verbose=True).fit(grey())
        out, err = capfd.readouterr()
        assert out == "" and len(err.splitlines()) == 2 and err.startswith("epoch 1  validation")
        assert log.handlers == []
