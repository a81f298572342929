"""Shells `3`: mean directions on the ordinary sphere, in Mollweide's equal-area projection."""

import math

import numpy as np
from matplotlib.figure import Figure

from hvae.plots import style
from hvae.plots.view import RunView

_SPHERES = 6


def draw(view: RunView) -> Figure:
    """A map a sphere."""
    shown = view.most_used(view.spheres, _SPHERES)
    groups = style.groups(view)
    across = 1 if len(shown) == 1 else 2
    down = math.ceil(len(shown) / across)
    caption = (
        f"Mean directions of {view.source}. Mollweide's projection: equal areas of the picture are "
        "equal areas of the sphere, and so equally likely under the prior; meridians every 60°, "
        "0° in the middle."
        + style.capped(shown, view.spheres, "spheres")
        + style.neighbours_note(view)
    )
    height = 1.1 + down * (3.4 if across == 1 else 2.1)
    figure = style.new_figure(height, f"Spheres S² of {view.name}", caption)
    for place, part in enumerate(shown, 1):
        axes = figure.add_subplot(down, across, place, projection="mollweide")
        x, y, z = view.points(part).numpy().T
        style.scatter(axes, np.arctan2(y, x), np.arcsin(z.clip(-1, 1)), groups)
        axes.set_title(style.heading(view, part), fontsize=9)
        axes.set_longitude_grid_ends(90)  # type: ignore[attr-defined]
        axes.set_xticks(np.radians([-120, -60, 0, 60, 120]), [""] * 5)
        axes.set_yticks(np.radians([-60, -30, 0, 30, 60]))
        axes.tick_params(labelsize=7, labelcolor=style.PALE)
        axes.grid(True, linewidth=0.5)
        axes.set_axisbelow(True)
    style.legend(figure, groups)
    return figure
