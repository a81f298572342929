"""KL of every component as bars, and how well each alone finds the class of a row."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from hvae.plots import style
from hvae.plots.neighbours import NEIGHBOURS
from hvae.plots.view import IGNORED, Part, RunView

_BARS = 48
_PAPER = {"facecolor": "white", "edgecolor": "none", "pad": 0.5}
_ROOM = 5  # fewer bars are no wider than so many
_VALUES = 16  # bars that have room for their number


def draw(view: RunView) -> Figure:
    """One panel, with labels a second one."""
    shown = view.most_used(view.parts, _BARS)
    ignored = view.ignored
    plural = "is" if len(ignored) == 1 else "are"
    found = (
        f"{len(ignored)} of {len(view.parts)} {plural} ignored" if ignored else "none is ignored"
    )
    caption = (
        f"Mean over {view.source}. Orange: ignored, under {IGNORED} nats: the mean KL is a bound on"
        f" what a component says of a row, here {IGNORED / np.log(2):.2f} bit at most."
        + style.capped(shown, view.parts, "components")
    )
    if view.accuracy is not None:
        caption += style.neighbours_note(view)
    panels = 1 if view.accuracy is None else 2
    figure = style.new_figure(
        1.3 + 1.9 * panels, f"KL by component of {view.name}: {found}", caption
    )
    axes = figure.subplots(panels, 1, sharex=True, squeeze=False)[:, 0]
    kl = [float(view.kl[part.index]) for part in shown]
    colours = [style.ORANGE if value < IGNORED else style.BLUE for value in kl]
    axes[0].bar(range(len(shown)), kl, color=colours, width=0.7)
    axes[0].set_ylabel("KL, nats")
    _numbers(axes[0], [f"{v:.2f}" + "\nignored" * (v < IGNORED) for v in kl])
    if view.accuracy is not None:
        _accuracies(axes[1], view, [100 * view.accuracy[part.index] for part in shown], colours)
    _names(axes[-1], shown)
    return figure


def _accuracies(axes: Axes, view: RunView, accuracy: list[float], colours: list[str]) -> None:
    axes.bar(range(len(accuracy)), accuracy, color=colours, width=0.7)
    chance = 100 * view.chance
    axes.axhline(chance, color=style.INK, linewidth=0.8, linestyle="--", gid="chance")
    axes.set_ylabel(f"{NEIGHBOURS}-NN accuracy, %")
    axes.set_ylim(0, 100)
    _numbers(axes, [f"{value:.0f}" for value in accuracy])


def _numbers(axes: Axes, texts: list[str]) -> None:
    """Texts on the bars, where there is room."""
    if len(texts) <= _VALUES:
        axes.bar_label(axes.containers[0], texts, padding=2, fontsize=8, zorder=3, bbox=_PAPER)  # type: ignore[arg-type]
    axes.margins(y=0.18)


def _names(axes: Axes, shown: tuple[Part, ...]) -> None:
    many = len(shown) > _VALUES
    axes.set_xticks(
        range(len(shown)), [part.name for part in shown], rotation=90 if many else 0,
        fontsize=7 if many else 9,
    )  # fmt: skip
    middle, half = (len(shown) - 1) / 2, max(len(shown), _ROOM) / 2 + 0.1
    axes.set_xlim(middle - half, middle + half)
    axes.set_xlabel("component")
