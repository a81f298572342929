"""The settings of a run: one frozen dataclass, checked when it is made, and its JSON form."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from hvae import data, devices
from hvae.data import FileOptions
from hvae.errors import Refused, refused_option
from hvae.latent import (
    KAPPA_GRADIENTS,
    MOST_PRECISE,
    PARAMETERIZATIONS,
    SCALE_FRAMES,
    grammar,
    kl_weights,
)
from hvae.model import LIKELIHOODS, NETWORKS, PRIORS
from hvae.model.likelihoods import AUTO, DEFAULTS
from hvae.ops import PRODUCTS
from hvae.runs import schema
from hvae.runs.options import Option, Rule, integer, number, one_of, option, text


def _is_hidden(value: object) -> bool:
    widths = value if isinstance(value, tuple) else ()
    return 1 <= len(widths) <= 64 and all(type(w) is int and 1 <= w <= 65536 for w in widths)


_HIDDEN = Rule(
    lambda value: value == () or _is_hidden(value),
    lambda: "1 to 64 widths separated by commas, each 1 to 65536",
)
_SPLIT = FileOptions().split
_ANY = Rule(lambda value: True, lambda: "anything")  # `data.FileOptions` says what is
_FOLDER = Rule(
    lambda value: value is None or isinstance(value, str), lambda: "the path of a folder"
)

DATA, LATENT, MODEL = "Data", "Latent space", "Model"
TRAINING, MACHINE = "Training", "Machine"


@dataclass(frozen=True)
class TrainConfig:
    """Every setting of a run.

    The defaults are the paper's protocol on the embedded digits, with what was measured to be
    better than its parameterization and gradient (results/expressivity). Each field is an option of
    the command line too, declared here once: its default, which values are allowed, its help text,
    and whether the figures depend on it.

    Attributes:
        dataset: one of `hvae.data.NAMES`; with `data` it becomes the file's own name,
            `hvae.data.dataset_name`.
        data: a file of the user's in place of a published set, kept as an absolute path.
        labels, split, split_seed, image_shape, layer, covariate: how that file is read, as in
            `hvae.data.FileOptions`.
        shells: the latent space in the language of `hvae.latent.grammar`.
        likelihood: of a row given a latent point, one of `hvae.model.LIKELIHOODS`, or "auto": what
            the kind of the data has by default.
        network: encoder and decoder, one of `hvae.model.NETWORKS`.
        hidden: widths of the encoder's layers; the decoder mirrors them. Where none are given they
            become those of the network, `hvae.model.Network.widths`.
        epochs: how many at most, counted from 1.
        warmup: the KL weight is min(1, epoch / warmup), and 1 throughout if 0; the best model is
            recorded from epoch min(warmup, epochs) on.
        lookahead: training stops this many epochs after the last improvement.
        batch_size: rows a step.
        lr: Adam's learning rate.
        kappa_grad: the gradient of a draw by its concentration, one of
            `hvae.latent.KAPPA_GRADIENTS`.
        parameterization: how a raw number becomes a concentration and how large the decoder sees a
            sphere, one of `hvae.latent.PARAMETERIZATIONS`.
        scale_frame: in which frame a scaled shell is stretched, one of `hvae.latent.SCALE_FRAMES`.
        kl_weights: of each component's KL, in the language of `hvae.latent.kl_weights`.
        prior: one of `hvae.model.PRIORS`.
        prior_components: of a learned prior.
        prior_precision: what the concentrations and precisions of these stay below.
        samples: draws of a row in a training step; the loss is their mean.
        seed: of every random stream.
        device: "cpu", "cuda" or "cuda:N".
        threads: CPU threads. A step takes a few milliseconds, so that a second thread gains little,
            and threads wait for each other where another process holds one of the cores.
        products: which library multiplies matrices on a CPU, one of `hvae.ops.PRODUCTS`, or "auto":
            the one that a short measurement finds the faster (`hvae.runs.products`). A run has the
            name of what was found in its settings, since the last bits depend on it.
        data_dir: folder of the data files; None is $HVAE_DATA_DIR or the user's cache. Another is
            kept as an absolute path, so that the run is found from every folder.
        checkpoint_every: seconds of work between checkpoints at most, where an epoch takes less;
            0 is a checkpoint an epoch. It changes no figure.

    Raises:
        Refused: a setting is not allowed; the message names the option and says what is.
    """

    dataset: str = option(
        "digits",
        one_of(lambda: data.NAMES),
        lambda: f"{', '.join(data.NAMES)}.",
        "NAME",
        group=DATA,
    )
    data: str | None = option(
        None,
        Rule(
            lambda value: value is None or (isinstance(value, str) and value != ""),
            lambda: "the path of a file, or of a folder of images",
        ),
        f"Your own data, in place of --dataset: {data.FORMATS}.",
        "FILE",
        decides=False,
        group=DATA,
    )
    labels: str | None = option(
        None, _ANY, "Of --data: the column of labels.", "COLUMN", group=DATA
    )
    split: str = option(
        _SPLIT,
        _ANY,
        "Of --data: fractions of training, validation and test, or a column that says which. A "
        "file with splits of its own keeps them.",
        "LIST",
        group=DATA,
    )
    split_seed: int = option(0, _ANY, "Of --data: of the split, apart from --seed.", group=DATA)
    image_shape: str | None = option(
        None,
        _ANY,
        "Of --data: the shape of a row, such as 28x28; the file's own if not given.",
        "SHAPE",
        group=DATA,
    )
    layer: str | None = option(
        None, _ANY, "Of an .h5ad: raw or the name of a layer; X if not given.", "NAME", group=DATA
    )
    covariate: tuple[str, ...] = option(
        (),
        _ANY,
        "Of --data: a column that encoder and decoder are told, one-hot; may be repeated.",
        "COLUMN",
        repeatable=True,
        group=DATA,
    )
    shells: str = option(
        "5,5,5,5",
        text(grammar.allowed),
        lambda: f"The latent space: {grammar.allowed()}.",
        "LIST",
        group=LATENT,
    )
    prior: str = option(
        "uniform",
        one_of(lambda: tuple(PRIORS)),
        "Of latent points: uniform on spheres and standard normal on Euclidean components; "
        "mixture, learned over the whole space; vamp, a mixture of the posteriors of learned rows "
        "(Tomczak, Welling 2018), at several times the cost.",
        "NAME",
        group=LATENT,
    )
    prior_components: int = option(500, integer(1, 65536), "Of a learned prior.", group=LATENT)
    prior_precision: float = option(
        MOST_PRECISE,
        number(0, MOST_PRECISE, f"a number above 0, at most {MOST_PRECISE:g}", above=True),
        "Concentrations and precisions of its components stay below it: a floor on their widths.",
        group=LATENT,
    )
    likelihood: str = option(
        AUTO,
        one_of(lambda: (AUTO, *LIKELIHOODS)),
        lambda: (
            f"Of a row given a latent point: {', '.join((AUTO, *LIKELIHOODS))}. auto goes by the "
            f"data: {', '.join(f'{kind.value} {name}' for kind, name in DEFAULTS.items())}."
        ),
        "NAME",
        group=MODEL,
    )
    network: str = option(
        "mlp",
        one_of(lambda: tuple(NETWORKS)),
        lambda: f"Encoder and decoder: {', '.join(NETWORKS)}.",
        "NAME",
        group=MODEL,
    )
    hidden: tuple[int, ...] = option(
        (),
        _HIDDEN,
        lambda: (
            "Widths of the encoder's layers; the decoder has them in reverse. If not given, "
            f"{'; '.join(f'{name} {_written(n.widths)}' for name, n in NETWORKS.own.items())}."
        ),
        "LIST",
        group=MODEL,
    )
    epochs: int = option(300, integer(1, 10**6), "How many at most.", group=TRAINING)
    warmup: int = option(
        100, integer(0, 10**6), "Epochs over which the weight of the KL rises to 1.", group=TRAINING
    )
    lookahead: int = option(
        50,
        integer(1, 10**6),
        "Epochs without an improvement after which training stops.",
        group=TRAINING,
    )
    batch_size: int = option(100, integer(1, 10**6), "Rows a step.", group=TRAINING)
    lr: float = option(
        1e-3,
        number(0, 1e30, "a number above 0, at most 1e30", above=True),
        "Adam's learning rate.",
        group=TRAINING,
    )
    kappa_grad: str = option(
        "implicit",
        one_of(lambda: KAPPA_GRADIENTS),
        f"The gradient in the concentration: {', '.join(KAPPA_GRADIENTS)}; naive is biased.",
        "NAME",
        group=LATENT,
    )
    parameterization: str = option(
        "exponential",
        one_of(lambda: tuple(PARAMETERIZATIONS)),
        "Of the concentration, from a number a that the network gives: exponential, m exp(a/2); "
        "scaled, 4m softplus(a) + 0.01; paper, softplus(a) + 1. The decoder sees spheres of radius "
        "sqrt(m), under paper of radius 1. Scaled shells are another matter: s in --shells.",
        "NAME",
        group=LATENT,
    )
    scale_frame: str = option(
        "mean",
        one_of(lambda: SCALE_FRAMES),
        "Along what a scaled shell has its widths: mean, axes projected on the tangent space at "
        "the mean direction; fixed, the axes themselves.",
        "NAME",
        group=LATENT,
    )
    kl_weights: str = option(
        "auto",
        text(kl_weights.allowed),
        lambda: (
            f"What the KL of each component weighs in the loss: {kl_weights.allowed()}. "
            "auto is 2 - least d / d for a von Mises-Fisher shell of d dimensions, 1 for others; "
            "equal is the ELBO."
        ),
        "LIST",
        group=LATENT,
    )
    samples: int = option(
        1, integer(1, 10**6), "Draws of a row in a training step.", group=TRAINING
    )
    seed: int = option(0, integer(0, 2**63 - 1), "Of every random number.", group=TRAINING)
    device: str = option(
        "cpu",
        Rule(devices.is_device_name, lambda: devices.ALLOWED),
        "cpu, cuda or cuda:N.",
        "NAME",
        group=MACHINE,
    )
    threads: int = option(
        1,
        integer(1, 1024),
        "CPU threads; a step is short, and few networks gain from more than 2.",
        group=MACHINE,
    )
    products: str = option(
        AUTO,
        one_of(lambda: (AUTO, *PRODUCTS)),
        f"What multiplies matrices on a CPU: {', '.join((AUTO, *PRODUCTS))}. auto measures which "
        "is faster here, once for a machine.",
        "NAME",
        group=MACHINE,
    )
    data_dir: str | None = option(
        None,
        _FOLDER,
        "Where the data files are; $HVAE_DATA_DIR or the user's cache if not given.",
        "FOLDER",
        decides=False,
        group=DATA,
    )
    checkpoint_every: float = option(
        10.0,
        number(0, 1e9, "seconds from 0 to 1e9; 0 is a checkpoint an epoch"),
        "The most work that a power cut may cost; 0: a checkpoint an epoch.",
        "SECONDS",
        decides=False,
        group=MACHINE,
    )

    def __post_init__(self) -> None:
        self._name_file()
        for name, declared in options().items():
            named = name == "dataset" and self.data is not None
            if not named and not declared.rule.accepts(getattr(self, name)):
                raise refused_option(name, getattr(self, name), declared.rule.allowed())
        components = grammar.parse(self.shells)
        self._set("shells", grammar.text(components))
        self._set(
            "kl_weights", kl_weights.canonical(self.kl_weights, components, self.learned_prior)
        )
        self._set("hidden", self.hidden or NETWORKS[self.network].widths)
        self._set("lr", float(self.lr))
        self._set("prior_precision", float(self.prior_precision))
        self._set("checkpoint_every", float(self.checkpoint_every))
        if self.data_dir is not None:
            self._set("data_dir", data.absolute_folder(self.data_dir))

    @property
    def learned_prior(self) -> bool:
        """Whether the prior is trained."""
        return PRIORS[self.prior] is not None

    @property
    def file_options(self) -> FileOptions:
        """How `data` is read."""
        return FileOptions(**{name: getattr(self, name) for name in data.FILE_OPTIONS})

    def _name_file(self) -> None:
        """The name and the absolute path of `data`; its options stand beside nothing else."""
        given = self.file_options
        if self.data is None:
            default = FileOptions()
            for name in data.FILE_OPTIONS:
                if getattr(given, name) != getattr(default, name):
                    raise refused_option(name, getattr(given, name), "only with --data")
            return
        if not options()["data"].rule.accepts(self.data):
            return
        name = data.dataset_name(self.data)
        if self.dataset not in (name, type(self).dataset):
            raise refused_option("dataset", self.dataset, "nothing beside --data")
        self._set("dataset", name)
        self._set("data", data.absolute_folder(self.data))

    def _set(self, name: str, value: object) -> None:
        object.__setattr__(self, name, value)

    def to_json(self) -> dict[str, Any]:
        """The JSON object from which `from_json` makes an equal configuration."""
        lists = {"hidden": list(self.hidden), "covariate": list(self.covariate)}
        return {schema.KEY: schema.CURRENT, **asdict(self), **lists}

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> "TrainConfig":
        """The configuration that `to_json` wrote, now or in an earlier version of hvae.

        Raises:
            Refused: a key is absent or unknown, the schema is of a later version, or a value is not
                allowed.
        """
        given = schema.settings(document)
        known = [field.name for field in fields(cls)]
        absent = [name for name in known if name not in given]
        unknown = [str(name) for name in given if name not in known]
        if absent or unknown:
            what = f"absent: {', '.join(absent) or '-'}; unknown: {', '.join(unknown) or '-'}"
            raise Refused(f"config: {what}; allowed: exactly {', '.join(known)}")
        hidden = given["hidden"]
        if hidden == []:
            raise refused_option("hidden", "", _HIDDEN.allowed())
        lists = {name: _tuple(given[name]) for name in ("hidden", "covariate")}
        return cls(**{**given, **lists})

    def describes(self, recorded: "TrainConfig") -> bool:
        """Whether a run with these recorded settings is one that these make.

        What was left to a measurement may have been found to be anything.
        """
        found = replace(self, products=recorded.products) if self.products == AUTO else self
        return found.deciding() == recorded.deciding()

    def deciding(self) -> dict[str, Any]:
        """`to_json` without what changes no figure."""
        document = self.to_json()
        return {
            name: value
            for name, value in document.items()
            if name == schema.KEY or options()[name].decides
        }


def options() -> dict[str, Option]:
    """Every option by the name of its field, in their order."""
    return dict(_options())


def _options() -> Iterator[tuple[str, Option]]:
    for field in fields(TrainConfig):
        yield field.name, field.metadata["option"]


def _tuple(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _written(widths: Sequence[int]) -> str:
    return ",".join(map(str, widths))


def parse_widths(text: str) -> tuple[int, ...]:
    """The widths of `--hidden`, such as "256,128".

    Raises:
        Refused: it is not a list of integers.
    """
    items = [item.strip() for item in text.split(",")]
    if not all(item.isascii() and item.isdigit() and len(item) < 10 for item in items):
        raise refused_option("hidden", text, _HIDDEN.allowed())
    return tuple(map(int, items))
