"""The settings of a run: one frozen dataclass, checked when it is made, and its JSON form."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

import torch

from hvae import balance, build, data, shells
from hvae.errors import Refused

KAPPA_GRADIENTS = ("implicit", "naive", "reinforce")
PARAMETERIZATIONS = ("exponential", "scaled", "paper")


@dataclass(frozen=True)
class TrainConfig:
    """Every setting of a run; the defaults are the paper's protocol on the embedded digits, with
    what was measured to be better than its parameterization and gradient (results/expressivity).

    Attributes:
        dataset: one of `hvae.data.NAMES`.
        shells: the latent space in the language of `hvae.shells`.
        epochs: how many at most, counted from 1.
        warmup: the KL weight is min(1, epoch / warmup), and 1 throughout if 0; the best model is
            recorded from epoch min(warmup, epochs) on.
        lookahead: training stops this many epochs after the last improvement.
        batch_size: images a step.
        lr: Adam's learning rate.
        hidden: widths of the encoder's layers; the decoder mirrors them.
        kappa_grad: the gradient of a draw by its concentration, one of `KAPPA_GRADIENTS`.
        parameterization: how a head becomes a concentration and how large the decoder sees a
            sphere, one of `PARAMETERIZATIONS`.
        kl_weights: of each component's KL, in the language of `hvae.balance`.
        samples: draws of an image in a training step; the loss is their mean.
        seed: of every random stream.
        device: "cpu", "cuda" or "cuda:N".
        threads: CPU threads. A step takes a few milliseconds: a second thread gains a quarter at
            784 pixels on idle cores, and loses tenfold where another process holds one of them.
        data_dir: folder of the data files; None is $HVAE_DATA_DIR or the user's cache.

    Raises:
        Refused: a setting is not allowed; the message names the option and says what is.
    """

    dataset: str = "digits"
    shells: str = "5,5,5,5"
    epochs: int = 300
    warmup: int = 100
    lookahead: int = 50
    batch_size: int = 100
    lr: float = 1e-3
    hidden: tuple[int, ...] = (256, 128)
    kappa_grad: str = "implicit"
    parameterization: str = "exponential"
    kl_weights: str = "auto"
    samples: int = 1
    seed: int = 0
    device: str = "cpu"
    threads: int = 1
    data_dir: str | None = None

    def __post_init__(self) -> None:
        for name, (accepts, allowed) in _RULES.items():
            if not accepts(getattr(self, name)):
                raise refused_option(name, getattr(self, name), allowed)
        components = shells.parse(self.shells)
        object.__setattr__(self, "shells", shells.text(components))
        object.__setattr__(self, "kl_weights", balance.canonical(self.kl_weights, components))
        object.__setattr__(self, "lr", float(self.lr))

    def to_json(self) -> dict[str, Any]:
        """The JSON object from which `from_json` makes an equal configuration."""
        return {**asdict(self), "hidden": list(self.hidden)}

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> "TrainConfig":
        """The configuration that `to_json` wrote.

        Raises:
            Refused: a key is absent (it is never defaulted) or unknown, or a value is not allowed.
        """
        known = [field.name for field in fields(cls)]
        absent = [name for name in known if name not in document]
        unknown = [str(name) for name in document if name not in known]
        if absent or unknown:
            what = f"absent: {', '.join(absent) or '-'}; unknown: {', '.join(unknown) or '-'}"
            raise Refused(f"config: {what}; allowed: exactly {', '.join(known)}")
        hidden = document["hidden"]
        return cls(**{**document, "hidden": tuple(hidden) if isinstance(hidden, list) else hidden})


def parse_widths(text: str) -> tuple[int, ...]:
    """The widths of `--hidden`, such as "256,128".

    Raises:
        Refused: it is not a list of integers.
    """
    items = [item.strip() for item in text.split(",")]
    if not all(item.isascii() and item.isdigit() and len(item) < 10 for item in items):
        raise refused_option("hidden", text, _RULES["hidden"][1])
    return tuple(map(int, items))


def refused_option(name: str, value: object, allowed: str) -> Refused:
    """The one-line refusal of an option's value, by the option's name on the command line."""
    shown = repr(value) if not isinstance(value, tuple) else ",".join(map(str, value))
    shown = shown if len(shown) <= 60 else shown[:57] + "..."
    return Refused(f"--{name.replace('_', '-')}: {shown} is not allowed; allowed: {allowed}")


def use_threads(threads: int | None) -> None:
    """Let torch and the kernels work with this many CPU threads; None changes nothing."""
    if threads is not None:
        torch.set_num_threads(threads)


def available_device(name: str) -> torch.device:
    """The device of that name.

    Raises:
        Refused: it is not the name of a device, or the device is not there.
    """
    accepts, allowed = _RULES["device"]
    if not accepts(name):
        raise refused_option("device", name, allowed)
    device = torch.device(name)
    if device.type == "cuda" and not build.has_cuda_kernels():
        raise Refused(f"--device: {name}: hvae was built without CUDA kernels; allowed: cpu")
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if device.type == "cuda" and (device.index or 0) >= count:
        there = ", ".join(["cpu"] + ["cuda"] * bool(count) + [f"cuda:{i}" for i in range(count)])
        raise Refused(f"--device: {name} is not there; allowed: {there}")
    return device


def _integer(least: int, most: int) -> tuple[Callable[[object], bool], str]:
    return (
        lambda value: type(value) is int and least <= value <= most,
        f"an integer from {least} to {most}",
    )


def _one_of(names: tuple[str, ...]) -> tuple[Callable[[object], bool], str]:
    return lambda value: isinstance(value, str) and value in names, ", ".join(names)


def _is_hidden(value: object) -> bool:
    widths = value if isinstance(value, tuple) else ()
    return 1 <= len(widths) <= 64 and all(type(w) is int and 1 <= w <= 65536 for w in widths)


def _is_rate(value: object) -> bool:
    return type(value) in (int, float) and 0 < value <= 1e30


def _is_device(value: object) -> bool:
    if not isinstance(value, str):
        return False
    kind, colon, index = value.partition(":")
    if not colon:
        return kind in ("cpu", "cuda")
    return kind == "cuda" and index.isascii() and index.isdigit() and len(index) <= 3


_RULES: dict[str, tuple[Callable[[object], bool], str]] = {
    "dataset": _one_of(data.NAMES),
    "shells": (lambda value: isinstance(value, str), shells.allowed()),
    "epochs": _integer(1, 10**6),
    "warmup": _integer(0, 10**6),
    "lookahead": _integer(1, 10**6),
    "batch_size": _integer(1, 10**6),
    "lr": (_is_rate, "a number above 0, at most 1e30"),
    "hidden": (_is_hidden, "1 to 64 widths separated by commas, each 1 to 65536"),
    "kappa_grad": _one_of(KAPPA_GRADIENTS),
    "parameterization": _one_of(PARAMETERIZATIONS),
    "kl_weights": (lambda value: isinstance(value, str), balance.allowed()),
    "samples": _integer(1, 10**6),
    "seed": _integer(0, 2**63 - 1),
    "device": (_is_device, "cpu, cuda, or cuda:N"),
    "threads": _integer(1, 1024),
    "data_dir": (lambda value: value is None or isinstance(value, str), "the path of a folder"),
}
