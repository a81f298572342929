"""hvae.mixture: EM against plain formulas, high concentrations, what scikit-learn asks."""

import doctest
import math
import pickle

import numpy as np
import pytest
import torch
from mpmath import mp
from scipy import sparse
from sklearn.base import clone, is_classifier, is_clusterer
from sklearn.cluster import KMeans
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.metrics import adjusted_rand_score
from sklearn.preprocessing import normalize
from sklearn.utils.estimator_checks import check_estimator

from hvae import ops, random
from hvae.distributions import VonMisesFisher
from hvae.mixture import VonMisesFisherMixture, estimator
from hvae.mixture.components import Components, assigned, logarithms, near_pairs, shared, totals_of
from hvae.mixture.fitting import Rules, expected, iterations, maximized
from hvae.mixture.rows import DenseRows, SparseRows

DOUBLE = torch.float64


def clusters(n, m, count, k, seed=0, dtype=DOUBLE):
    """n rows of `count` von Mises-Fisher distributions of concentration k, and their labels."""
    generator = torch.Generator().manual_seed(seed)
    means = torch.nn.functional.normalize(
        torch.randn(count, m, generator=generator, dtype=DOUBLE), dim=1
    )
    labels = torch.randint(count, (n,), generator=generator)
    kappa = torch.full((n, 1), float(k), dtype=DOUBLE)
    z = ops.sample(means[labels], kappa, [m], random.stream(seed, "user"))[0][0]
    return z.to(dtype), labels, means


def components_of(means, k, weights=None):
    count = len(means)
    even = torch.full((count,), 1 / count, dtype=DOUBLE)
    kappa = torch.as_tensor(k, dtype=DOUBLE).expand(count).clone()
    return Components(means, kappa, even if weights is None else weights)


def densities(x, components):
    """log w + log density [n, C], by the distribution of each component."""
    parts = zip(components.means, components.concentrations, components.weights, strict=True)
    columns = [VonMisesFisher(mu, k).log_prob(x) + w.log() for mu, k, w in parts]
    return torch.stack(columns, 1)


@pytest.mark.parametrize("make", [DenseRows, lambda x: SparseRows(sparse.csr_matrix(x.numpy()))])
@pytest.mark.parametrize("k", [20.0, 5e13])
def test_sums_of_a_soft_step(make, k):
    """Shares, their sums and spreads, of the densities; either side of where a product serves."""
    x, _, means = clusters(300, 5, 4, 20.0)
    if k > 1e6:
        means = torch.cat((means[:2], means[:2]))
        means[2:] += 1e-7 * torch.randn(2, 5, dtype=DOUBLE)
        means = torch.nn.functional.normalize(means, dim=1)
        x = torch.nn.functional.normalize(means[torch.arange(300) % 4] + 1e-7 * x, dim=1)
    weights = torch.tensor([0.1, 0.2, 0.3, 0.4], dtype=DOUBLE)
    components = components_of(means, k, weights)
    assert components.narrow(DOUBLE) == (k > 1e6)
    found, exact = shared(make(x), components), densities(x, components)
    share = exact.softmax(1)
    # eps k v is the rounding of a logarithm: 1e-15 * 20, and v = (3e-7)^2 of 5e13.
    torch.testing.assert_close(found.counts, share.sum(0), rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(found.sums, share.T @ x, rtol=1e-9, atol=1e-9)
    v = (x[:, None] - means).square().sum(-1) / 2
    torch.testing.assert_close(found.spreads, (share * v).sum(0), rtol=1e-8, atol=0)
    assert found.log_likelihood == pytest.approx(exact.logsumexp(1).sum().item(), rel=1e-9)
    hard, labels = assigned(make(x), components)
    assert torch.equal(labels, exact.argmax(1))
    assert hard.counts.sum() == 300 and hard.log_likelihood <= found.log_likelihood
    torch.testing.assert_close(
        logarithms(make(x), components).softmax(1), share, rtol=1e-8, atol=1e-9
    )


def test_near_ties_at_the_largest_dimension():
    """m = 32768, k = 1e8 in float32: a product is off by k eps = 10 nats, the pairs are not."""
    m, k = 32768, 1e8
    generator = torch.Generator().manual_seed(1)
    means = torch.nn.functional.normalize(
        torch.randn(3, m, generator=generator, dtype=DOUBLE), dim=1
    )
    means[1] = torch.nn.functional.normalize(means[0] + 2e-4 * means[2], dim=0)
    components = components_of(means, k)
    kappa = torch.full((40, 1), k, dtype=DOUBLE)
    truth = torch.arange(40) % 2
    x = ops.sample(means[truth], kappa, [m], random.stream(1, "user"))[0][0].float()
    exact = densities(x.double(), components)
    pairs = near_pairs(DenseRows(x), components)
    # v is about m / 2k = 1.6e-4 with a rounding of 4 eps: k v eps is 4e-3 nats, and constants round
    # at 1e8 eps = 6, alike for equal concentrations.
    constant = components.constants[0].item()
    mine = -k * pairs.v.double()
    there = (exact - constant)[pairs.row, pairs.component]
    assert (mine - there).abs().max() < 0.05
    labels = assigned(DenseRows(x), components)[1]
    clear = (exact[:, 0] - exact[:, 1]).abs() > 0.1
    assert torch.equal(labels[clear], exact.argmax(1)[clear]) and clear.sum() > 30
    assert totals_of(pairs, 40).isfinite().all()


def test_a_fit_at_the_largest_dimension():
    """m = 32768, k = 1e8 in float32: everything finite, k within 5 standard errors, 1/m a row."""
    x, labels, _ = clusters(40, 32768, 2, 1e8, dtype=torch.float32)
    mixture = VonMisesFisherMixture(2, random_state=0, max_concentration=1e9).fit(x.numpy())
    assert adjusted_rand_score(labels, mixture.labels_) == 1
    assert np.isfinite(mixture.score(x.numpy())) and mixture.converged_
    for c in range(2):
        rows = (mixture.labels_ == c).sum()
        # The mean direction takes m - 1 of the rows (m - 1) squares: k is larger by n / (n - 1).
        ratio = mixture.concentrations_[c] / (1e8 * rows / (rows - 1))
        assert abs(ratio - 1) < 5 * math.sqrt(2 / 32768 / rows) + 1e-3


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("k", [5.0, 1e3, 1e8])
def test_one_component_is_the_maximum_likelihood_estimate(k, dtype):
    """At every concentration, in float32 as well: `VonMisesFisher.fit` of the same rows."""
    x, _, _ = clusters(2000, 6, 1, k, dtype=dtype)
    mixture = VonMisesFisherMixture(
        1, random_state=0, tol=-1, max_iter=4, max_concentration=1e9
    ).fit(x.numpy())
    expected = VonMisesFisher.fit(torch.nn.functional.normalize(x.double(), dim=1))
    # 1 - A, about 1/k, has an error of a few eps where it comes of sums.
    eps = torch.finfo(dtype).eps
    bar = 10 * k * eps if k * eps < 1e-3 else 1e-4
    assert mixture.concentrations_[0] == pytest.approx(expected.concentration.item(), rel=bar)
    assert np.abs(mixture.means_[0] - expected.loc.numpy()).max() < (
        1e-12 if dtype == DOUBLE else 1e-6
    )


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("concentration", ["own", "shared"])
@pytest.mark.parametrize("weights", ["learned", "equal"])
def test_em_climbs_to_a_stationary_point(concentration, weights):
    """Each iteration raises the likelihood; at the end an update by the plain formulas is none."""
    x, _, _ = clusters(400, 4, 3, 8.0, seed=2)
    options = {"concentration": concentration, "weights": weights, "random_state": 1}
    seen = []
    for steps in (1, 2, 3, 5, 9, 400):
        mixture = VonMisesFisherMixture(3, max_iter=steps, tol=1e-13, **options).fit(x.numpy())
        seen.append(mixture.score(x.numpy()))
    assert (np.diff(seen) > -1e-12).all() and seen[-1] > seen[0]
    now = mixture._components
    share = densities(x, now).softmax(1)
    counts, sums = share.sum(0), share.T @ x
    torch.testing.assert_close(
        sums / sums.norm(dim=1, keepdim=True), now.means, rtol=1e-4, atol=1e-4
    )
    length = sums.norm(dim=1) / counts
    if concentration == "shared":
        length = ((counts * length).sum() / 400).expand(3)
    mean = ops.vmf(now.concentrations[:, None], (4,), "A")[0][:, 0]
    torch.testing.assert_close(mean, length, rtol=1e-4, atol=1e-4)
    if weights == "equal":
        assert (mixture.weights_ == 1 / 3).all()
    else:
        torch.testing.assert_close(now.weights, counts / 400, rtol=1e-3, atol=1e-4)
    if concentration == "shared":
        assert len(set(mixture.concentrations_.tolist())) == 1


@mp.workdps(40)
def plain_em(x, components, steps):
    """Mean log-likelihood before each update, and the last components, in 40 digits by mpmath."""
    rows = [[mp.mpf(value) for value in row] for row in x.tolist()]
    means = [[mp.mpf(value) for value in mu] for mu in components.means.tolist()]
    kappas = [mp.mpf(value) for value in components.concentrations.tolist()]
    weights = [mp.mpf(value) for value in components.weights.tolist()]
    m, nu, seen = x.shape[1], mp.mpf(x.shape[1]) / 2 - 1, []

    def log_density(row, mu, k):
        constant = nu * mp.log(k) - m * mp.log(2 * mp.pi) / 2 - mp.log(mp.besseli(nu, k))
        return constant + k * mp.fdot(mu, row)

    for _ in range(steps):
        shares = []
        for row in rows:
            terms = [
                w * mp.exp(log_density(row, mu, k))
                for w, mu, k in zip(weights, means, kappas, strict=True)
            ]
            shares.append([term / sum(terms) for term in terms] + [mp.log(sum(terms))])
        seen.append(mp.fsum(share[-1] for share in shares) / len(rows))
        for c in range(len(means)):
            count = mp.fsum(share[c] for share in shares)
            total = [
                mp.fdot([share[c] for share in shares], [r[i] for r in rows]) for i in range(m)
            ]
            length = mp.norm(total)
            means[c], weights[c] = [value / length for value in total], count / len(rows)
            kappas[c] = mp.findroot(
                lambda k, a=length / count: mp.besseli(nu + 1, k) / mp.besseli(nu, k) - a,
                kappas[c],
            )
    return [float(value) for value in seen], [float(k) for k in kappas]


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("k, m", [(8.0, 3), (60.0, 10), (1e4, 10)])
def test_em_is_plain_em_in_high_precision(k, m):
    """Likelihoods of four iterations, and the concentrations after them.

    A logarithm of a density has an error of a few eps (k + |log|), and what a concentration
    is relatively off by is that of 1 - A, some eps k / m.
    """
    x, _, means = clusters(40, m, 3, k, seed=5)
    start = components_of(torch.nn.functional.normalize(means + 0.1, dim=1), 0.7 * k)
    rules = Rules(hard=False, own=True, equal_weights=False, most=1e8)
    steps = list(iterations(DenseRows(x), start, rules, 4, -math.inf))
    likelihoods, kappas = plain_em(x, start, 4)
    eps = torch.finfo(DOUBLE).eps
    found = [step.log_likelihood for step in steps]
    assert found == pytest.approx(likelihoods, rel=0, abs=16 * eps * (k + m))
    concentrations = steps[-1].components.concentrations.tolist()
    assert concentrations == pytest.approx(kappas, rel=64 * eps * k)


@pytest.mark.parametrize("assignment", ["soft", "hard"])
@pytest.mark.parametrize("batch_size", [None, 100])
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_clusters_are_found(assignment, batch_size, dtype):
    x, labels, means = clusters(900, 8, 5, 60.0, seed=4, dtype=dtype)
    mixture = VonMisesFisherMixture(
        5, assignment=assignment, batch_size=batch_size, max_iter=20, random_state=0
    ).fit(x.numpy())
    assert adjusted_rand_score(labels, mixture.labels_) > 0.97
    near = (torch.from_numpy(mixture.means_) @ means.T).amax(1)
    assert (near > 0.99).all() and (np.abs(mixture.concentrations_ / 60 - 1) < 0.3).all()
    proba = mixture.predict_proba(x.numpy())
    assert proba.shape == (900, 5) and proba.dtype == x.numpy().dtype
    assert np.allclose(proba.sum(1), 1) and (proba.argmax(1) == mixture.predict(x.numpy())).all()


def test_sparse_rows_are_the_same_rows(dtype):
    x, _, _ = clusters(300, 8, 3, 40.0, dtype=dtype)
    x = np.where(np.abs(x.numpy()) < 0.15, 0, x.numpy())
    dense, thin = (
        VonMisesFisherMixture(3, random_state=0).fit(rows) for rows in (x, sparse.csr_matrix(x))
    )
    # The sums have another order: 300 roundings of eps, carried through the iterations.
    bar = 1e-9 if dtype == DOUBLE else 1e-3
    np.testing.assert_allclose(dense.means_, thin.means_, rtol=0, atol=bar)
    np.testing.assert_allclose(
        dense.score_samples(x), thin.score_samples(sparse.csr_array(x)), rtol=bar
    )
    assert (dense.predict(x) == thin.predict(sparse.csc_matrix(x))).all()


def test_densities_and_criteria():
    """score_samples is log of the mixture's density; BIC and AIC count the numbers fitted."""
    x, _, _ = clusters(200, 4, 2, 9.0)
    mixture = VonMisesFisherMixture(2, random_state=0).fit(x.numpy())
    expected = densities(x, mixture._components).logsumexp(1)
    np.testing.assert_allclose(mixture.score_samples(x.numpy()), expected.numpy(), rtol=1e-12)
    for options, count in (({}, 9), ({"concentration": "shared"}, 8), ({"weights": "equal"}, 8)):
        mixture.set_params(concentration="own", weights="learned").set_params(**options)
        total = expected.sum().item()
        assert mixture.bic(x.numpy()) == pytest.approx(count * math.log(200) - 2 * total)
        assert mixture.aic(x.numpy()) == pytest.approx(2 * count - 2 * total)


def test_draws_have_the_moments_of_the_mixture():
    x, _, _ = clusters(500, 3, 2, 30.0)
    mixture = VonMisesFisherMixture(2, random_state=0).fit(x.numpy())
    z, labels = mixture.sample(40_000)
    assert z.shape == (40_000, 3) and np.allclose(np.linalg.norm(z, axis=1), 1)
    for c in range(2):
        share = (labels == c).mean()
        assert abs(share - mixture.weights_[c]) < 5 * math.sqrt(0.25 / 40_000)
        law = VonMisesFisher(
            *(torch.from_numpy(a[c : c + 1]) for a in (mixture.means_, mixture.concentrations_))
        )
        mine, exact = z[labels == c].mean(0), law.mean[0].numpy()
        assert (np.abs(mine - exact) < 5 / math.sqrt((labels == c).sum())).all()
    again, _ = mixture.sample(40_000)
    assert np.array_equal(z, again)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_batches_one_by_one():
    x, labels, _ = clusters(1200, 6, 4, 50.0, seed=7)
    mixture = VonMisesFisherMixture(4, random_state=0)
    for batch in x.numpy().reshape(8, 150, 6):
        mixture.partial_fit(batch)
    assert mixture.n_iter_ == 8 and adjusted_rand_score(labels, mixture.predict(x.numpy())) > 0.95
    mixture.fit(x.numpy())
    assert not hasattr(mixture, "_running")


def test_an_empty_component_moves_to_the_worst_row():
    """A hard step does not lose a component that no row belongs to."""
    x, _, means = clusters(200, 5, 2, 30.0)
    x[0] = -means.sum(0) / means.sum(0).norm()
    start = components_of(
        torch.cat((means, means[:1])), 30.0, torch.tensor([0.5, 0.5, 1e-300]).double()
    )
    statistics, moved = expected(DenseRows(x), start, Rules(True, True, False, 1e8))
    assert (statistics.counts > 0).all()
    torch.testing.assert_close(moved.means[2], x[0])
    after = maximized(statistics, moved, Rules(True, True, False, 1e6))
    assert after.concentrations.max() <= 1e6 and after.concentrations.isfinite().all()


def test_rows_of_zeros():
    """They change no fit, and lie at a right angle to every mean."""
    x, _, _ = clusters(100, 4, 2, 20.0)
    rows = np.concatenate((x.numpy(), np.zeros((3, 4))))
    with_zeros, without = (
        VonMisesFisherMixture(2, random_state=0).fit(r) for r in (rows, x.numpy())
    )
    assert np.array_equal(with_zeros.means_, without.means_) and len(with_zeros.labels_) == 103
    expected = with_zeros._components.constants - with_zeros._components.concentrations
    zero = with_zeros.score_samples(np.zeros((1, 4)))[0]
    assert zero == pytest.approx(expected.logsumexp(0).item())


@pytest.mark.slow
def test_digits_beside_k_means():
    """Ten clusters of the 1797 digits, mean of four starts, beside KMeans on the normalised rows.

    Over ten starts they are 0.63 and 0.62, each with a standard deviation of 0.05.
    """
    x, labels = load_digits(return_X_y=True)
    ours, theirs = [], []
    for seed in range(4):
        mixture = VonMisesFisherMixture(10, concentration="shared", random_state=seed).fit(x)
        plain = KMeans(10, n_init=1, random_state=seed).fit(normalize(x))
        ours.append(adjusted_rand_score(labels, mixture.labels_))
        theirs.append(adjusted_rand_score(labels, plain.labels_))
    assert np.mean(ours) > 0.55 and np.mean(ours) > np.mean(theirs) - 0.07


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_it_passes_the_checks_of_scikit_learn():
    """All; that of arrays of other libraries is skipped unless SciPy's environment asks for it.

    Those of sparse input want the shares of four classes: C = 4.
    """
    done = check_estimator(VonMisesFisherMixture(4, max_iter=20), on_skip=None, on_fail=None)
    others = {c["check_name"]: c["exception"] for c in done if c["status"] != "passed"}
    skip = others.pop("check_array_api_input", None)
    assert not others and (skip is None or "SCIPY_ARRAY_API" in str(skip))
    assert len(done) > 40


def test_it_is_a_clusterer():
    mixture = VonMisesFisherMixture()
    assert is_clusterer(mixture) and not is_classifier(mixture)


def test_copies(tmp_path):
    x, _, _ = clusters(60, 3, 2, 20.0)
    mixture = VonMisesFisherMixture(2, random_state=0).fit(x.numpy())
    again = pickle.loads(pickle.dumps(mixture))
    assert np.array_equal(again.predict_proba(x.numpy()), mixture.predict_proba(x.numpy()))
    assert np.array_equal(clone(mixture).fit(x.numpy()).means_, mixture.means_)


@pytest.mark.parametrize(
    "options, words",
    [
        ({"assignment": "firm"}, "assignment is 'firm'; allowed: soft, hard"),
        ({"concentration": "none"}, "allowed: own, shared"),
        ({"weights": "no"}, "allowed: learned, equal"),
        ({"n_components": 0}, "n_components is 0; allowed: integers from 1"),
        ({"n_components": 61}, "n_samples=60 .* below n_components=61"),
        ({"max_iter": 0}, "max_iter is 0"),
        ({"batch_size": 0}, "batch_size is 0"),
        ({"max_concentration": math.inf}, "max_concentration is inf; allowed: above 0, finite"),
        ({"device": "cuda:99"}, "--device: cuda:99"),
        ({"tol": math.nan}, "tol is nan; allowed: finite, below 0 to go on to max_iter"),
    ],
)
def test_refusals(options, words):
    x, _, _ = clusters(60, 3, 2, 20.0)
    with pytest.raises(ValueError, match=words):
        VonMisesFisherMixture(**{"n_components": 2, **options}).fit(x.numpy())


def test_before_a_fit():
    mixture = VonMisesFisherMixture(2)
    for call in (lambda: mixture.predict(np.ones((2, 3))), mixture.sample):
        with pytest.raises(NotFittedError):
            call()
    with pytest.warns(ConvergenceWarning, match="max_iter=1"):
        mixture.set_params(max_iter=1).fit(np.random.default_rng(0).normal(size=(50, 3)))
    with pytest.raises(ValueError, match="n_samples is 0; allowed"):
        mixture.sample(0)


def test_example():
    assert doctest.testmod(estimator).failed == 0
