"""Shells `2`: where the mean directions lie on the circle."""

import math

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.figure import Figure
from matplotlib.patches import Circle
from numpy.typing import NDArray

from hvae.plots import style
from hvae.plots.view import Part, RunView

_CIRCLES = 12
_BINS = 36
_ARC = 4  # segments of the edge of a bin
_OUTER = 2.0  # the radius at which the fullest bin ends; the circle itself is 1


def draw(view: RunView) -> Figure:
    """A ring of bars a circle."""
    shown = view.most_used(view.circles, _CIRCLES)
    groups = style.groups(view)
    across = min(len(shown), 4 if len(shown) > 6 else 3)
    down = math.ceil(len(shown) / across)
    colours = ", in the colours of the classes" if view.labels is not None else ""
    caption = (
        f"Mean directions of {view.source}, in bins of {360 // _BINS}°{colours}; the area of a bar "
        "is the number of its rows."
        + style.capped(shown, view.circles, "circles")
        + style.neighbours_note(view)
    )
    height = 1.0 + down * (style.WIDTH - 1.0) / max(across, 2)
    figure = style.new_figure(height, f"Circles of {view.name}", caption)
    counted = [counts(view, part, groups) for part in shown]
    many = int(np.count_nonzero(counted)) > style.RASTERIZED_FROM
    for axes, part, number in zip(
        style.grid(figure, len(shown), across), shown, counted, strict=True
    ):
        _ring(axes, number, groups, many)
        heading = style.heading(view, part).replace(" nats, ", " nats\n")
        axes.set_title(heading, loc="center", fontsize=8)
    style.legend(figure, groups, areas=True)
    return figure


def counts(view: RunView, part: Part, groups: list[style.Group]) -> NDArray[np.int64]:
    """[groups, bins]: how many mean directions lie in each bin of the angle, from -180 degrees."""
    points = view.points(part).numpy()
    angle = np.arctan2(points[:, 1], points[:, 0])
    place = np.minimum((angle + np.pi) / (2 * np.pi) * _BINS, _BINS - 1).astype(int)
    return np.array([np.bincount(place[group.rows], minlength=_BINS) for group in groups])


def _ring(axes: Axes, counted: NDArray[np.int64], groups: list[style.Group], many: bool) -> None:
    """Bars on the outside of the circle, classes one outside the other, areas as the counts."""
    edges = np.linspace(-np.pi, np.pi, _BINS + 1)
    grow = (_OUTER**2 - 1) / max(1, counted.sum(0).max())
    outer = np.sqrt(1 + grow * counted.cumsum(0))
    inner = np.vstack([np.ones(_BINS), outer[:-1]])
    for group, low, high, number in zip(groups, inner, outer, counted, strict=True):
        bars = [_bar(edges[i], edges[i + 1], low[i], high[i]) for i in range(_BINS) if number[i]]
        axes.add_collection(
            PolyCollection(bars, facecolors=group.colour, linewidths=0, rasterized=many)
        )
    axes.add_patch(Circle((0, 0), 1, fill=False, edgecolor=style.INK, linewidth=1))
    for angle, name in ((0, "0°"), (90, "90°"), (180, "180°"), (270, "-90°")):
        x, y = math.cos(math.radians(angle)), math.sin(math.radians(angle))
        axes.text(0.7 * x, 0.78 * y, name, ha="center", va="center", fontsize=6.5, color=style.PALE)
    axes.set(xlim=(-_OUTER, _OUTER), ylim=(-_OUTER, _OUTER), aspect="equal")
    axes.set_axis_off()


def _bar(start: float, end: float, low: float, high: float) -> NDArray[np.float64]:
    angles = np.linspace(start, end, _ARC + 1)
    rim = np.stack([np.cos(angles), np.sin(angles)], 1)
    return np.vstack([low * rim, high * rim[::-1]])
