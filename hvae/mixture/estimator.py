"""The mixture as an estimator of scikit-learn."""

import math
import warnings
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from scipy import sparse
from sklearn.base import BaseEstimator, ClusterMixin, DensityMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import ClassifierTags, check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data

from hvae import ops, random
from hvae.devices import available_device
from hvae.mixture.components import (
    Components,
    likeliest,
    log_likelihoods,
    logarithms,
)
from hvae.mixture.fitting import Rules, Running, iterations, seeded
from hvae.mixture.rows import DenseRows, SparseRows, UnitRows

Array = NDArray[Any]

_CHOICES = {
    "assignment": ("soft", "hard"),
    "concentration": ("own", "shared"),
    "weights": ("learned", "equal"),
}


class VonMisesFisherMixture(  # scikit-learn has no annotations
    ClusterMixin,  # type: ignore[misc]
    DensityMixin,  # type: ignore[misc]
    BaseEstimator,  # type: ignore[misc]
):
    """Clusters of directions: a mixture of von Mises-Fisher distributions, fitted by EM.

    Rows are divided by their lengths on entry: embeddings, tf-idf, gene expression. With
    `assignment="hard"`, `concentration="shared"` and `weights="equal"` it is spherical k-means.

    Args:
        n_components: C, the number of clusters, at least 1.
        assignment: "soft", EM, or "hard", each row with its likeliest component alone.
        concentration: "own", one k for each component, or "shared", one for all.
        weights: "learned" or "equal".
        batch_size: None for EM over all rows, or the rows of a batch for EM in batches, in which
            `max_iter` counts passes over the data.
        max_iter: iterations at most, at least 1.
        tol: EM is done when the mean log-likelihood of a row rises by less, in nats.
        max_concentration: the largest k, to which a component of equal rows goes.
        random_state: of the start and of the batches, as everywhere in scikit-learn.
        device: "cpu", "cuda" or "cuda:N"; sparse rows are computed on the CPU.

    Attributes:
        means_: [C, m], mean directions; concentrations_, weights_: [C]. float64.
        labels_: [n], the likeliest component of each row of fit.
        log_likelihood_: the mean of log p(x) over the rows, density with respect to area on
            S^{m-1}, at the parameters before the last update.
        n_iter_, converged_: how the fit ended.

    Raises:
        ValueError: from `fit`, for a setting out of range, fewer rows than components, or a single
            feature.
        Refused: from `fit`, for a device that is not there.

    A row of zeros has no direction: it counts for nothing in a fit, and elsewhere as at a right
    angle to every mean.

    It computes in the dtype of the rows, float32 or float64, with means and sums in float64. No
    array of n x C numbers is made, except the result of `predict_proba`. k has a relative error of
    about k eps, at most 1e-3, and densities stay right to k = 1e8 and beyond
    (`hvae.mixture.components`). Banerjee, Dhillon, Ghosh, Sra (2005); Cappe and Moulines (2009).

    >>> import numpy as np
    >>> rows = np.array([[1, 0.1], [1, -0.1], [-1, 0.1], [-1, -0.2]])
    >>> mixture = VonMisesFisherMixture(2, random_state=0).fit(rows)
    >>> bool(mixture.labels_[0] == mixture.labels_[1] != mixture.labels_[2])
    True
    """

    def __init__(
        self,
        n_components: int = 8,
        *,
        assignment: str = "soft",
        concentration: str = "own",
        weights: str = "learned",
        batch_size: int | None = None,
        max_iter: int = 100,
        tol: float = 1e-4,
        max_concentration: float = 1e8,
        random_state: Any = None,
        device: str = "cpu",
    ) -> None:
        self.n_components = n_components
        self.assignment = assignment
        self.concentration = concentration
        self.weights = weights
        self.batch_size = batch_size
        self.max_iter = max_iter
        self.tol = tol
        self.max_concentration = max_concentration
        self.random_state = random_state
        self.device = device

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        # Of predict_proba, whose classes scikit-learn's checks of sparse input ask of whatever has
        # that method; the estimator's type stays "clusterer".
        tags.classifier_tags = ClassifierTags(multi_class=True)
        return tags

    def fit(self, X: ArrayLike, y: object = None) -> "VonMisesFisherMixture":
        """Fit to rows X [n, m], dense or sparse; y is not looked at."""
        rules = self._rules()
        self.__dict__.pop("_running", None)
        everything = self._rows(X, reset=True)
        rows = self._directions(everything)
        generator = self._generator()
        start = seeded(rows, self.n_components, rules, generator)
        if self.batch_size is None:
            self._fit_whole(rows, start, rules)
        else:
            self._fit_batches(rows, start, rules, generator)
        self.labels_ = likeliest(everything, self._components)[0].cpu().numpy()
        return self

    def _directions(self, rows: UnitRows, seeds: bool = True) -> UnitRows:
        """The rows that are not zero, of which a start needs one for each component."""
        chosen = rows.nonzero()
        if seeds and len(chosen) < self.n_components:
            raise ValueError(
                f"n_samples={len(chosen)} (rows of zeros left out) is below "
                f"n_components={self.n_components}; allowed: at least as many rows as components"
            )
        return rows if len(chosen) == len(rows) else rows.take(chosen)

    def _fit_whole(self, rows: UnitRows, start: Components, rules: Rules) -> None:
        for progress in iterations(rows, start, rules, self.max_iter, self.tol):
            last = progress
        self._keep(last.components, last.log_likelihood, last.iterations, last.converged)
        if not last.converged:
            warnings.warn(
                f"EM had not converged after max_iter={self.max_iter} iterations",
                ConvergenceWarning,
                stacklevel=3,
            )

    def _fit_batches(
        self, rows: UnitRows, start: Components, rules: Rules, generator: torch.Generator
    ) -> None:
        running, before, passes = Running(start, rules), -math.inf, 0
        converged = False
        size = min(len(rows), int(self.batch_size or 0))
        while passes < self.max_iter and not converged:
            order = torch.randperm(len(rows), generator=generator).to(rows.device)
            batches = [part for part in order.split(size) if len(part) == size]
            found = [running.see(rows.take(part)) for part in batches]
            likelihood, passes = sum(found) / len(found), passes + 1
            converged, before = likelihood - before < self.tol, likelihood
        self._keep(running.components, before, passes, converged)

    def partial_fit(self, X: ArrayLike, y: object = None) -> "VonMisesFisherMixture":
        """One update by a batch of rows; the first, of at least C rows, seeds the components."""
        first = not hasattr(self, "_running")
        rows = self._directions(self._rows(X, reset=first), seeds=first)
        if first:
            rules = self._rules()
            start = seeded(rows, self.n_components, rules, self._generator())
            self._running = Running(start, rules)
        likelihood = self._running.see(rows)
        self._keep(self._running.components, likelihood, self._running.batches, False)
        return self

    def predict(self, X: ArrayLike) -> Array:
        """[n], the likeliest component of each row."""
        labels: Array = likeliest(self._seen(X), self._components)[0].cpu().numpy()
        return labels

    def predict_proba(self, X: ArrayLike) -> Array:
        """[n, C], the share of each component in each row, in the dtype of the rows."""
        share: Array = logarithms(self._seen(X), self._components).softmax(1).cpu().numpy()
        return share

    def score_samples(self, X: ArrayLike) -> Array:
        """[n], log p(x), density with respect to area on S^{m-1}."""
        found: Array = log_likelihoods(self._seen(X), self._components).cpu().numpy()
        return found

    def score(self, X: ArrayLike, y: object = None) -> float:
        """The mean of `score_samples`."""
        return float(self.score_samples(X).mean(dtype=np.float64))

    def bic(self, X: ArrayLike) -> float:
        """Bayes' information criterion of rows, the lower the better (Schwarz 1978)."""
        scores = self.score_samples(X)
        return self._parameters() * math.log(len(scores)) - 2 * float(scores.sum(dtype=np.float64))

    def aic(self, X: ArrayLike) -> float:
        """Akaike's information criterion of rows, the lower the better (Akaike 1974)."""
        return 2 * self._parameters() - 2 * float(self.score_samples(X).sum(dtype=np.float64))

    def sample(self, n_samples: int = 1) -> tuple[Array, Array]:
        """Rows [n_samples, m] of the mixture, float64, and their components [n_samples]."""
        check_is_fitted(self)
        if n_samples < 1:
            raise ValueError(f"n_samples is {n_samples}; allowed: 1 or more")
        generator = self._generator()
        components = self._components
        labels = torch.multinomial(
            components.weights.cpu(), n_samples, replacement=True, generator=generator
        )
        seed = int(torch.randint(2**31, (), generator=generator))
        rng = random.stream(seed, "user")
        means, concentrations = components.means.cpu(), components.concentrations.cpu()
        m = means.shape[1]
        z = ops.sample(means[labels], concentrations[labels, None], [m], rng)[0]
        return z[0].numpy(), labels.numpy()

    # ---- what the methods share ------------------------------------------------------------------

    def _rules(self) -> Rules:
        for name, allowed in _CHOICES.items():
            if getattr(self, name) not in allowed:
                raise ValueError(
                    f"{name} is {getattr(self, name)!r}; allowed: {', '.join(allowed)}"
                )
        for name, least in (("n_components", 1), ("max_iter", 1), ("batch_size", 1)):
            value = getattr(self, name)
            if value is not None and (not isinstance(value, int | np.integer) or value < least):
                raise ValueError(f"{name} is {value!r}; allowed: integers from {least} on")
        if not math.isfinite(self.tol):
            raise ValueError(f"tol is {self.tol!r}; allowed: finite, below 0 to go on to max_iter")
        if not 0 < self.max_concentration < math.inf:
            raise ValueError(
                f"max_concentration is {self.max_concentration!r}; allowed: above 0, finite"
            )
        available_device(self.device)
        return Rules(
            self.assignment == "hard",
            self.concentration == "own",
            self.weights == "equal",
            float(self.max_concentration),
        )

    def _generator(self) -> torch.Generator:
        seed = check_random_state(self.random_state).randint(2**31)
        return torch.Generator().manual_seed(int(seed))

    def _keep(
        self, components: Components, likelihood: float, iterations: int, converged: bool
    ) -> None:
        self.means_ = components.means.cpu().numpy()
        self.concentrations_ = components.concentrations.cpu().numpy()
        self.weights_ = components.weights.cpu().numpy()
        self.log_likelihood_, self.n_iter_ = float(likelihood), iterations
        self.converged_ = bool(converged)

    @property
    def _components(self) -> Components:
        parts = (self.means_, self.concentrations_, self.weights_)
        return Components(*(torch.from_numpy(x).to(self.device) for x in parts))

    def _parameters(self) -> int:
        return self._rules().parameters(*self.means_.shape)

    def _seen(self, X: ArrayLike) -> UnitRows:
        check_is_fitted(self)
        return self._rows(X, reset=False)

    def _rows(self, X: ArrayLike, reset: bool) -> UnitRows:
        """The rows as unit vectors."""
        rows = validate_data(
            self,
            X,
            reset=reset,
            accept_sparse="csr",
            dtype=[np.float64, np.float32],
            ensure_min_features=2 if reset else 1,
        )
        lengths = _lengths(rows)
        lengths = np.where(lengths > 0, lengths, 1).astype(rows.dtype)
        if sparse.issparse(rows):
            return SparseRows(sparse.diags_array(1 / lengths, dtype=rows.dtype).tocsr() @ rows)
        return DenseRows(torch.from_numpy(rows / lengths[:, None]).to(self.device))


def _lengths(rows: Any) -> Array:
    """Of every row, in its dtype; squares neither overflow nor vanish."""
    if sparse.issparse(rows):
        largest = abs(rows).max(axis=1).toarray().ravel()
        safe = np.where(largest > 0, largest, 1).astype(rows.dtype)
        scaled = sparse.diags_array(1 / safe, dtype=rows.dtype).tocsr() @ rows
        squares = scaled.multiply(scaled).sum(axis=1)
        lengths: Array = safe * np.sqrt(np.asarray(squares).ravel()).astype(rows.dtype)
        return lengths
    largest = np.abs(rows).max(axis=1)
    safe = np.where(largest > 0, largest, 1)
    scaled = rows / safe[:, None]
    found: Array = safe * np.sqrt(np.einsum("ij,ij->i", scaled, scaled))
    return found
