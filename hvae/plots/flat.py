"""Components that are no shells: posterior modes in their principal components."""

import math

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from hvae.plots import geometry, style
from hvae.plots.view import Part, RunView

_COMPONENTS = 6
_BINS = 40


def draw(view: RunView) -> Figure:
    """A plane a component, of one coordinate a histogram."""
    shown = view.most_used(view.flat, _COMPONENTS)
    groups = style.groups(view)
    across = 2 if len(shown) == 4 else min(len(shown), 3)
    down = math.ceil(len(shown) / across)
    caption = (
        f"Posterior modes of {view.source}; of the variance: what the two principal components "
        "keep of it. The prior has standard deviation 1 in every direction."
        + style.capped(shown, view.flat, "components")
        + style.neighbours_note(view)
    )
    height = 1.2 + down * ((style.WIDTH - 1) / max(across, 2) + 0.35)
    figure = style.new_figure(height, f"Euclidean components of {view.name}", caption)
    panels = style.grid(figure, len(shown), across)
    for axes, part in zip(panels, shown, strict=True):
        heading = style.heading(view, part).replace(" nats, ", " nats\n")
        if part.size == 1:
            _histogram(axes, view, part, groups)
        else:
            plane = geometry.principal_plane(view.points(part))
            x, y = plane.points.numpy().T
            style.scatter(axes, x, y, groups)
            axes.set_box_aspect(1)
            reach = 1.05 * max(1.0, float(plane.points.abs().max()))
            axes.set(xlim=(-reach, reach), ylim=(-reach, reach))
            axes.set_xlabel("1st principal component", fontsize=8)
            axes.set_ylabel("2nd principal component", fontsize=8)
            heading += f"\n{100 * plane.share:.0f} % of the variance"
        axes.set_title(heading, fontsize=8)
        axes.tick_params(labelsize=7)
    style.legend(figure, groups)
    return figure


def _histogram(axes: Axes, view: RunView, part: Part, groups: list[style.Group]) -> None:
    values = view.points(part)[:, 0].numpy()
    edges = np.linspace(values.min() - 1e-9, values.max() + 1e-9, _BINS + 1)
    axes.hist(
        [values[group.rows] for group in groups],
        bins=list(edges),
        stacked=True,
        color=[group.colour for group in groups],
    )
    axes.set_xlabel("coordinate", fontsize=8)
    axes.set_ylabel("rows", fontsize=8)
