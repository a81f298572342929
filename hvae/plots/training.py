"""Training curves: ELBO, RE and KL of both splits, and the concentration of every component."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from hvae.plots import style
from hvae.plots.view import RunView

_TITLES = {"elbo": "ELBO", "re": "RE, the reconstruction error", "kl": "KL"}
_POINTS = 3000  # of all lines in a panel of an SVG
_LABELLED = 8  # lines that can be told apart


def draw(view: RunView) -> Figure:
    """Four panels over the epochs."""
    marks = [
        f"dashed: epoch {view.best_epoch}, the best one" if view.best_epoch else "",
        f"dotted: epoch {view.warmup}, the end of the warm-up of the KL" if _warmup(view) else "",
    ]
    caption = "; ".join(mark for mark in marks if mark)
    caption = f"{caption[:1].upper()}{caption[1:]}. " if caption else ""
    caption += (
        "ELBO and KL at KL weight 1, means over rows; the first epochs may lie outside the frame. "
        "κ is the mean concentration of the validation rows"
    )
    caption += ", of a Euclidean component the mean precision." if view.flat else "."
    figure = style.new_figure(6.0, f"Training of {view.name}", caption)
    axes = figure.subplots(2, 2, sharex=True)
    epochs = np.array([line["epoch"] for line in view.metrics])
    for panel, (key, title) in zip(axes.flat, _TITLES.items(), strict=False):
        _curves(panel, view, epochs, key, title)
    axes[0, 0].legend(loc="lower right")
    _concentrations(axes[1, 1], view, epochs)
    for panel in axes[1]:
        panel.set_xlabel("epoch")
    return figure


def _curves(axes: Axes, view: RunView, epochs: NDArray[np.int64], key: str, title: str) -> None:
    later = []
    for split, colour in (("train", style.ORANGE), ("validation", style.BLUE)):
        values = np.array([line[split][key] for line in view.metrics])
        axes.plot(epochs, values, color=colour, label=split, linewidth=1.4, marker=_marker(epochs))
        later.append(values[len(values) // 10 :])
    _frame(axes, np.concatenate(later))
    axes.set_title(title)
    axes.set_ylabel("nats")
    _marks(axes, view)


def _frame(axes: Axes, values: NDArray[np.float64]) -> None:
    """The first tenth of the epochs does not decide what the frame has room for."""
    low, high = float(values.min()), float(values.max())
    margin = 0.06 * (high - low) or 1.0
    axes.set_ylim(low - margin, high + margin)


def _concentrations(axes: Axes, view: RunView, epochs: NDArray[np.int64]) -> None:
    few = len(view.parts) <= _LABELLED
    kinds = list(dict.fromkeys(part.symbol for part in view.parts))
    named: set[str] = set()
    for part in view.parts:
        values = [line["validation"]["kappa"][part.index] for line in view.metrics]
        place = part.index if few else kinds.index(part.symbol) % len(style.COLOURS)
        name = part.name if few else part.symbol
        axes.plot(
            epochs,
            values,
            color=style.COLOURS[place],
            linewidth=1.4 if few else 0.7,
            linestyle="-" if part.is_shell else "--",
            marker=_marker(epochs),
            rasterized=len(view.parts) * len(epochs) > _POINTS,
            label=None if name in named else name,
        )
        named.add(name)
    axes.set_yscale("log")
    style.powers_of_ten(axes.yaxis)
    axes.set_title("κ, the concentration" + ("" if few else f" of {len(view.parts)} components"))
    axes.set_ylabel("κ")
    _marks(axes, view)
    if len(named) <= _LABELLED:
        axes.legend(ncols=1 + (len(named) > 4), loc="best")


def _marks(axes: Axes, view: RunView) -> None:
    if view.best_epoch:
        axes.axvline(view.best_epoch, color=style.PALE, linewidth=1, linestyle="--", gid="best")
    if _warmup(view):
        axes.axvline(view.warmup, color=style.PALE, linewidth=1, linestyle=":", gid="warmup")


def _warmup(view: RunView) -> bool:
    """Whether its end is among the epochs."""
    return 0 < view.warmup <= len(view.metrics)


def _marker(epochs: NDArray[np.int64]) -> str:
    """Points where there is hardly a line."""
    return "o" if len(epochs) < 3 else ""
