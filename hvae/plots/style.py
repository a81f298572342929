"""How every picture looks: its size, its letters, its colours."""

import contextlib
import math
import textwrap
import warnings
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import matplotlib
import matplotlib.style
import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, NullFormatter
from numpy.typing import NDArray

from hvae.plots.view import SUPERSCRIPTS, Part, RunView, plain

WIDTH = 8.5  # inches; at 100 pixels an inch the 850 pixels of a page on GitHub
RASTERIZED_FROM = 400  # marks; an SVG has about 100 bytes for each

INK = "#222222"
PALE = "#777777"

# Okabe, Ito 2008, "Color universal design", without black; the two after them are from Tol's
# "muted" scheme, and every class has a marker of its own beside its colour.
COLOURS = (
    "#0072B2",
    "#E69F00",
    "#009E73",
    "#D55E00",
    "#56B4E9",
    "#CC79A7",
    "#F0E442",
    "#222222",
    "#882255",
    "#999933",
)
BLUE, ORANGE, GREEN, VERMILION = COLOURS[:4]
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*", "<", ">")
OTHERS = ("#BBBBBB", ".")

SEQUENTIAL = "cividis"
DIVERGING = "PuOr_r"

_SETTINGS = {
    "svg.fonttype": "none",  # text stays text: small, and to be searched
    "svg.hashsalt": "hvae",
    "text.parse_math": False,  # a $ in the name of a feature is a $
    "font.family": ["DejaVu Sans"],
    "font.size": 9,
    "axes.titlesize": 9,
    "axes.labelsize": 9,
    "axes.titlelocation": "left",
    "axes.edgecolor": PALE,
    "axes.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "legend.fontsize": 8,
    "legend.frameon": False,
    "axes.grid": False,
    "grid.color": "#DDDDDD",
    "image.interpolation": "none",
    "savefig.facecolor": "white",
}


@contextlib.contextmanager
def style() -> Iterator[None]:
    """In the block pictures are drawn and written as here, whatever a user's own settings are."""
    with warnings.catch_warnings(), matplotlib.style.context(["default", _SETTINGS]):
        warnings.filterwarnings("ignore", "Glyph .* missing from", UserWarning)  # boxes in PNG only
        yield


def new_figure(height: float, title: str, caption: str) -> Figure:
    """A figure of the common width, in inches, with a title above and a caption below."""
    figure = Figure(figsize=(WIDTH, height), layout="constrained")
    figure.suptitle(textwrap.fill(title, 84), x=0.01, ha="left", fontsize=12, fontweight="bold")
    figure.supxlabel(
        textwrap.fill(caption, 140), x=0.01, ha="left", fontsize=8, color=PALE, linespacing=1.3
    )
    return figure


def caption_of(figure: Figure) -> str:
    """The caption that `new_figure` was given."""
    return " ".join(figure.get_supxlabel().split())


def title_of(figure: Figure) -> str:
    """The title that `new_figure` was given."""
    return " ".join(figure.get_suptitle().split())


def powers_of_ten(axis: Axis) -> None:
    """A logarithmic axis whose ticks need no mathematical typesetting."""
    axis.set_major_formatter(FuncFormatter(_power_of_ten))
    axis.set_minor_formatter(NullFormatter())


def _power_of_ten(value: float, place: int | None) -> str:
    power = round(math.log10(value))
    return f"10{str(power).translate(SUPERSCRIPTS)}"


class Group(NamedTuple):
    """Rows of one class, as they are drawn.

    Attributes:
        name: of the class; "" where there are no labels.
        colour, marker: matplotlib's.
        rows: bool [N].
    """

    name: str
    colour: str
    marker: str
    rows: NDArray[np.bool_]


def groups(view: RunView) -> list[Group]:
    """The classes of the rows, at most as many as there are colours.

    Of more the most frequent ones have a colour, and all others are one group, which comes first
    and so lies below.
    """
    if view.labels is None:
        return [Group("", BLUE, "o", np.ones(len(view.rows), bool))]
    labels = view.labels.numpy()
    classes, counts = np.unique(labels, return_counts=True)
    most = len(COLOURS)
    shown = classes
    if len(classes) > most:
        shown = np.sort(classes[np.argsort(-counts, kind="stable")[: most - 1]])
    made = [
        Group(class_name(view, int(c)), COLOURS[i], MARKERS[i], labels == c)
        for i, c in enumerate(shown)
    ]
    if len(classes) > most:
        rest = ~np.isin(labels, shown)
        made.insert(0, Group(f"{len(classes) - most + 1} others", *OTHERS, rest))
    return made


def class_name(view: RunView, label: int) -> str:
    """The name of a class, or its number."""
    return str(label) if view.label_names is None else plain(view.label_names[label], 24)


def legend(figure: Figure, shown: Sequence[Group], areas: bool = False) -> None:
    """The classes beside the picture, if there are any: their markers, or squares for areas."""
    if len(shown) == 1 and not shown[0].name:
        return
    marks = [
        Line2D([], [], color=group.colour, marker=marker, linestyle="", markersize=6)
        for group, marker in ((group, "s" if areas else group.marker) for group in shown)
    ]
    # matplotlib leaves out a name that begins with an underscore.
    names = [f" {group.name}" if group.name[:1] == "_" else group.name for group in shown]
    figure.legend(marks, names, loc="outside right upper", handletextpad=0.2, borderaxespad=0.3)


def scatter(axes: Axes, x: NDArray[Any], y: NDArray[Any], shown: Sequence[Group]) -> None:
    """Points [N] by class; many are one raster image within an SVG."""
    size = 22 if len(x) <= 300 else 11 if len(x) <= 1000 else 8
    for group in shown:
        axes.scatter(
            x[group.rows],
            y[group.rows],
            s=size,
            c=group.colour,
            marker=group.marker,
            linewidths=0,
            alpha=0.75,
            rasterized=len(x) > RASTERIZED_FROM,
        )


def grid(figure: Figure, count: int, across: int) -> list[Axes]:
    """So many panels in rows of `across`."""
    panels = list(figure.subplots(math.ceil(count / across), across, squeeze=False).flat)
    for axes in panels[count:]:
        axes.remove()
    return panels[:count]


def heading(view: RunView, part: Part) -> str:
    """Of the panel of a component: its name, its KL, what its neighbours say of the class."""
    text = kl_heading(view, part)
    if view.accuracy is not None:
        text += f", 15-NN {100 * view.accuracy[part.index]:.0f} %"
    return text


def kl_heading(view: RunView, part: Part) -> str:
    """The name and the KL of a component, and whether it is ignored."""
    ignored = ", ignored" if part in view.ignored else ""
    return f"{part.name}, KL {view.kl[part.index]:.2f} nats{ignored}"


def neighbours_note(view: RunView) -> str:
    """What the "15-NN" of `heading` is; "" where there is none."""
    if view.accuracy is None:
        return ""
    return (
        " 15-NN: how often the class of a row is that of most of its 15 nearest other rows in this"
        " component alone, with a draw from the posterior of each, which is what the decoder sees "
        f"(the most frequent class: {100 * view.chance:.0f} %)."
    )


def capped(shown: Sequence[Part], of: Sequence[Part], what: str) -> str:
    """What was left out, for a caption; "" where nothing was."""
    if len(shown) == len(of):
        return ""
    return f" {len(shown)} of {len(of)} {what}: those with the largest KL, none that is ignored."
