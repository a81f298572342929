"""The auto-encoder as an estimator of scikit-learn."""

import contextlib
import logging
import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import safetensors.torch
import torch
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import issparse
from sklearn.base import (
    BaseEstimator,
    ClassNamePrefixFeaturesOutMixin,
    DensityMixin,
    TransformerMixin,
)
from sklearn.utils import check_array, check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data

from hvae import memory, random
from hvae.data import Dataset
from hvae.data.binarization import SEEDS, Binarized, binarized
from hvae.data.categories import Covariates
from hvae.data.matrix import Dense, Matrix, Sparse
from hvae.data.recognition import chosen_kind, kinds, look, reading
from hvae.data.stored_rows import StoredRows
from hvae.description import DataDescription, Kind
from hvae.devices import available_device
from hvae.errors import Refused, refused_option
from hvae.evaluation.encoding import coordinate_names, encode
from hvae.evaluation.importance import by_row, check_samples
from hvae.evaluation.points import check_points
from hvae.model import LIKELIHOODS
from hvae.model.likelihoods import AUTO, resolved
from hvae.rows import Rows
from hvae.runs import TrainConfig
from hvae.runs.products import with_products
from hvae.runs.trained import model_of
from hvae.training.loop import open_state
from hvae.training.step import epoch_permutation

_LOG = logging.getLogger("hvae")
_ROWS = 1000

Array = NDArray[Any]


class HypersphericalVAE(  # scikit-learn has no annotations
    ClassNamePrefixFeaturesOutMixin,  # type: ignore[misc]
    TransformerMixin,  # type: ignore[misc]
    DensityMixin,  # type: ignore[misc]
    BaseEstimator,  # type: ignore[misc]
):
    """A variational auto-encoder whose latent space is a product of hyperspheres.

    It trains by the same code as `hvae.train`, in memory. It is a transformer, from rows to mean
    directions, and a density estimator, whose score is the log-likelihood. Every argument that
    `hvae.TrainConfig` has means the same here.

    Args:
        shells: the latent space, such as "3", "10,10,e5".
        likelihood: "auto" goes by the numbers: 0 and 1, of the unit interval, counts, or real.
        network: encoder and decoder.
        hidden: widths of the encoder's layers; () for the network's own.
        epochs, warmup, lookahead, batch_size, lr, kappa_grad, parameterization, scale_frame,
            kl_weights, prior, prior_components, prior_precision, samples: of the training.
        image_shape: the shape of a row, for networks that ask for it; None is a vector.
        validation_fraction: of the rows, drawn by the seed, above 0 and below 1: at least one row.
            They choose the best epoch, and are not trained on.
        iw_samples: importance samples of a row in `score_samples` and `score`.
        device: "cpu", "cuda" or "cuda:N".
        random_state: an integer of at least 0, a RandomState, or None for a seed of NumPy's own.
        verbose: whether every epoch is a line of the logger "hvae", at the level INFO; where nobody
            listens to it, it goes to stderr.

    Attributes:
        model_: the `hvae.model.VAE` with the weights of the best epoch, in evaluation mode.
        description_: what the rows are, a `hvae.description.DataDescription`.
        history_: the figures of every epoch, as in metrics.jsonl.
        best_epoch_: counted from 1. n_iter_: how many epochs there were.
        n_features_in_: D; feature_names_in_: their names, where X has names.

    Rows are arrays [N, D] of float32 or float64, or what becomes one, or sparse matrices, of which
    a batch at a time is made dense.

    Errors are those of hvae: `hvae.errors.Refused`, a ValueError, for arguments and rows,
    `hvae.errors.Diverged` for a training that is not finite. A fitted estimator is pickled with its
    weights as safetensors bytes, and no module is.

    Example:
        >>> import hvae
        >>> from sklearn.datasets import load_digits
        >>> vae = hvae.HypersphericalVAE("3", likelihood="binomial", epochs=20, warmup=5)
        >>> vae.fit_transform(load_digits().data).shape
        (1797, 3)
    """

    def __init__(
        self,
        shells: str = "3",
        *,
        likelihood: str = AUTO,
        network: str = "mlp",
        hidden: Sequence[int] = (),
        epochs: int = 300,
        warmup: int = 100,
        lookahead: int = 50,
        batch_size: int = 100,
        lr: float = 1e-3,
        kappa_grad: str = "implicit",
        parameterization: str = "exponential",
        scale_frame: str = "mean",
        kl_weights: str = "auto",
        prior: str = "uniform",
        prior_components: int = 500,
        prior_precision: float = 1e4,
        samples: int = 1,
        image_shape: Sequence[int] | None = None,
        validation_fraction: float = 0.1,
        iw_samples: int = 100,
        device: str = "cpu",
        random_state: int | np.random.RandomState | None = 0,
        verbose: bool = False,
    ) -> None:
        self.shells = shells
        self.likelihood = likelihood
        self.network = network
        self.hidden = hidden
        self.epochs = epochs
        self.warmup = warmup
        self.lookahead = lookahead
        self.batch_size = batch_size
        self.lr = lr
        self.kappa_grad = kappa_grad
        self.parameterization = parameterization
        self.scale_frame = scale_frame
        self.kl_weights = kl_weights
        self.prior = prior
        self.prior_components = prior_components
        self.prior_precision = prior_precision
        self.samples = samples
        self.image_shape = image_shape
        self.validation_fraction = validation_fraction
        self.iw_samples = iw_samples
        self.device = device
        self.random_state = random_state
        self.verbose = verbose

    def fit(self, X: ArrayLike, y: object = None) -> "HypersphericalVAE":
        """Train on rows.

        Args:
            X: [N, D] with N >= 2.
            y: ignored.

        Raises:
            Refused: an argument, or X does not fit the likelihood.
            Diverged: a loss or a gradient was not finite.
            EnvironmentProblem: the memory is too small.
        """
        array = validate_data(self, X, dtype=_DTYPES, accept_sparse="csr", ensure_min_samples=2)
        check_samples(self.iw_samples)
        config = with_products(self._settings())
        dataset = self._dataset(array, config)
        history = []
        with memory.guarded(), _listened(self.verbose):
            state = open_state(config, dataset)
            for line in state.epochs():
                history.append(line)
                if self.verbose:
                    elbo = line["validation"]["elbo"]
                    _LOG.info("epoch %d  validation ELBO %.2f", line["epoch"], elbo)
        self._config = config
        self.model_ = state.model
        self.model_.load_state_dict(state.tensors["best"])
        self.model_.eval()
        self.description_ = dataset.description
        self.history_ = history
        self.best_epoch_ = state.progress.best_epoch
        self.n_iter_ = len(history)
        return self

    def transform(self, X: ArrayLike) -> Array:
        """The mean direction of every shell, and the mean of every Euclidean component.

        Args:
            X: [N, D].

        Returns:
            float32 [N, m]; the part of a shell has length 1.
        """
        rows = self._given(X)
        return encode(self.model_, rows, self._config.seed).mean_direction.numpy()

    def inverse_transform(self, X: ArrayLike) -> Array:
        """E[x | z] of latent points.

        Args:
            X: z, [N, m]; the part of a shell has length 1 to within 0.001.

        Returns:
            float32 [N, D], in the units of the rows.
        """
        check_is_fitted(self)
        points = torch.from_numpy(check_array(X, dtype=np.float64))
        check_points(self.model_.latent, points, "z")
        means = [self.model_.likelihood.mean(part) for part in self._decoded(points)]
        return torch.cat(means).cpu().numpy()

    def sample(self, n_samples: int = 1, random_state: int | None = None) -> Array:
        """Rows drawn from the model: z from the prior, and x of p(x | z).

        Args:
            n_samples: at least 1.
            random_state: an integer of at least 0, or None for the seed of `fit`.

        Returns:
            float32 [n_samples, D].
        """
        check_is_fitted(self)
        if type(n_samples) is not int or n_samples < 1:
            raise refused_option("n_samples", n_samples, "an integer of at least 1")
        seed = self._config.seed if random_state is None else random_state
        place = self.model_.device
        prior = random.stream(seed, "prior", device=place)
        with torch.inference_mode():
            z = self.model_.prior.sample(prior, 1, n_samples, self.model_.dtype)[0]
            drawn = []
            for number, parameters in enumerate(self._decoded(z)):
                rng = random.stream(seed, "user", row=number * _ROWS, device=place)
                drawn.append(self.model_.likelihood.sample(parameters[None], rng)[0])
        return torch.cat(drawn).float().cpu().numpy()

    def score_samples(self, X: ArrayLike) -> Array:
        """The log-likelihood of every row, by importance sampling with `iw_samples` samples.

        All rows have the same draws, those of row 0 in `hvae.evaluation.importance.evaluate`, so
        that the score of a row depends on no other row. Where the likelihood is Bernoulli and the
        numbers are of the unit interval they are drawn 0 and 1, alike in all rows.

        Args:
            X: [N, D].

        Returns:
            float64 [N], nats, in the units of the rows; minus infinity of a row that the model
            holds to be impossible.
        """
        rows = self._given(X)
        check_samples(self.iw_samples)
        if self.description_.kind is Kind.UNIT and self.model_.likelihood.binarizes:
            rows = _drawn_alike(rows, self.description_.size, self._config.seed)
        seed, samples = self._config.seed, self.iw_samples
        found = by_row(self.model_, rows, samples, seed, alone=True)
        return found[:, 0].cpu().numpy()

    def score(self, X: ArrayLike, y: object = None) -> float:
        """The mean of `score_samples`, nats a row."""
        return float(self.score_samples(X).mean())

    def get_feature_names_out(self, input_features: Sequence[str] | None = None) -> Array:
        """[m], "mean_direction_1_2" for the second coordinate of the first component."""
        super().get_feature_names_out(input_features)
        names = [f"mean_direction_{name}" for name in coordinate_names(self.model_.latent)]
        return np.array(names, dtype=object)

    @property
    def _n_features_out(self) -> int:
        return int(self.model_.latent.size)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        tags.transformer_tags.preserves_dtype = ["float32"]
        return tags

    def __getstate__(self) -> dict[str, Any]:
        state = dict(super().__getstate__())
        if "model_" in state:
            weights = state.pop("model_").state_dict()
            held = {name: tensor.cpu().contiguous() for name, tensor in weights.items()}
            state["_weights"] = safetensors.torch.save(held)
            state["_config"] = self._config.to_json()
            state["description_"] = self.description_.to_json()
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        given = dict(state)
        weights = given.pop("_weights", None)
        super().__setstate__(given)
        if weights is not None:
            self._config = TrainConfig.from_json(given["_config"])
            self.description_ = DataDescription.from_json(given["description_"])
            tensors = safetensors.torch.load(weights)
            model = model_of(self._config, self.description_, tensors, "the pickled estimator")
            self.model_ = model.to(_place(self._config.device)).eval()

    def _settings(self) -> TrainConfig:
        """The settings of the training, checked."""
        state = self.random_state
        if isinstance(state, int | np.integer):
            seed = int(state)
        else:
            seed = int(check_random_state(state).randint(2**31))
        own = {name: getattr(self, name) for name in _SETTINGS}
        return TrainConfig(hidden=tuple(self.hidden), seed=seed, **own)

    def _dataset(self, array: Array, config: TrainConfig) -> Dataset:
        """The rows, split in training and validation."""
        fraction = self.validation_fraction
        if not (isinstance(fraction, float | np.floating) and 0 < fraction < 1):
            raise refused_option("validation_fraction", fraction, "a number above 0 and below 1")
        takes = None if config.likelihood == AUTO else LIKELIHOODS[config.likelihood].takes
        matrix = _matrix(array)
        found = look(matrix, "X")
        kind = chosen_kind(kinds(found, grey=False), takes)
        drawn = LIKELIHOODS[resolved(config.likelihood, kind)].binarizes and kind is Kind.UNIT
        names = getattr(self, "feature_names_in_", None)
        description = DataDescription(
            self._shape(array.shape[1]),
            kind,
            maxima=found.maxima if kind is Kind.COUNTS else None,
            features=None if names is None else tuple(map(str, names)),
        )
        count = array.shape[0]
        held = min(max(1, round(fraction * count)), count - 1)
        order = epoch_permutation(count, config.seed, 0).numpy()  # epochs count from 1
        train, validation = (
            _rows(matrix, kind, found.highest, np.sort(part))
            for part in (order[held:], order[:held])
        )
        if drawn:
            validation = Binarized(validation, description.size, SEEDS["validation"])
        return Dataset(
            name="X",
            train=train,
            validation=validation,
            test=train[0:0],
            description=description,
            binarization="dynamic" if drawn else "none",
            checksum="",
            verified=True,
            source="memory",
        )

    def _shape(self, columns: int) -> tuple[int, ...]:
        if self.image_shape is None:
            return (columns,)
        shape = tuple(map(int, self.image_shape))
        if math.prod(shape) != columns:
            raise refused_option("image_shape", shape, f"sizes whose product is {columns}")
        return shape

    def _given(self, X: ArrayLike) -> Rows:
        """Rows of the kind that the model was trained on."""
        check_is_fitted(self)
        array = validate_data(self, X, dtype=_DTYPES, accept_sparse="csr", reset=False)
        return _rows(_matrix(array), self.description_.kind, array.max(), np.arange(array.shape[0]))

    @torch.inference_mode()
    def _decoded(self, z: torch.Tensor) -> list[torch.Tensor]:
        """What the decoder gives at points [N, m], in blocks of `_ROWS`."""
        z = z.to(self.model_.device, self.model_.dtype)
        return [self.model_.decode(part) for part in z.split(_ROWS)]


_SETTINGS = (
    *("shells", "likelihood", "network", "epochs", "warmup", "lookahead", "batch_size", "lr"),
    *("kappa_grad", "parameterization", "scale_frame", "kl_weights", "prior"),
    *("prior_components", "prior_precision", "samples", "device"),
)
_DTYPES = [np.float64, np.float32]


def _matrix(array: Any) -> Matrix:
    """Of a dense array or one of scipy's in rows."""
    if issparse(array):
        return Sparse(array)
    return Dense(np.require(array, requirements="W"))  # torch asks for memory it could write to


def _rows(matrix: Matrix, kind: Kind, highest: float, index: NDArray[np.int64]) -> Rows:
    """Rows as a model of this kind takes them: of a sparse matrix as they are asked for.

    Raises:
        Refused: a number is not of the kind; the message names its row and column.
    """
    read = reading(matrix, kind, False, False, highest, "X")
    rows = StoredRows(matrix, read, Covariates(np.zeros((0, 0), np.int64)), index)
    return rows if matrix.sparse else rows[0 : len(rows)]


def _drawn_alike(rows: Rows, columns: int, seed: int) -> Rows:
    """uint8 rows of the unit interval drawn 0 and 1, each with the draws of row 0."""
    each = (rows[i : i + 1] for i in range(len(rows)))
    return torch.cat([binarized(row, columns, seed, step=0) for row in each])


def _place(device: str) -> torch.device:
    """The device of that name; the CPU where it is not there."""
    try:
        return available_device(device)
    except Refused:
        return torch.device("cpu")


@contextlib.contextmanager
def _listened(verbose: bool) -> Iterator[None]:
    """In the block the logger's lines go to stderr, where nobody listens to them."""
    level, handler = _LOG.level, logging.StreamHandler()
    deaf = verbose and not _LOG.hasHandlers()
    if deaf:
        _LOG.addHandler(handler)
        _LOG.setLevel(logging.INFO)
    try:
        yield
    finally:
        if deaf:
            _LOG.removeHandler(handler)
            _LOG.setLevel(level)
