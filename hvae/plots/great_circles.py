"""One component varied with the others fixed: a great circle on each shell (the paper's Fig. 2)."""

import math
from collections.abc import Sequence

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from torch import Tensor

from hvae.plots import geometry, images, style, tables
from hvae.plots.view import Part, RunView

_IMAGES = 13  # every 30 degrees, both ends among them: the same point
_STEPS = 61  # every 6 degrees, of a heat map
_SHELLS = 10
_HEAT_MAPS = 6
_REACH = 3.0  # on a Euclidean component, from its posterior mean


def draw(view: RunView) -> Figure:
    """A row of images a component, or a heat map."""
    return _images(view) if images.are_images(view.description) else _heat_maps(view)


def turns(count: int) -> Tensor:
    """[count] float64, from -1 to 1: a whole turn, its ends the same point."""
    return torch.linspace(-1, 1, count, dtype=torch.float64)


def varied(view: RunView, part: Part, count: int) -> Tensor:
    """[count, m]: row 0's posterior mode, with one component on a closed great circle through it.

    The circle leaves the mode in the direction in which the rows lie furthest off
    (`geometry.principal_tangent`). A Euclidean component runs along its principal direction.
    """
    z = view.modes[0].repeat(count, 1)
    points, centre, way = view.points(part), view.modes[0, part.columns], turns(count)
    if part.is_shell:
        direction = geometry.principal_tangent(points, centre)
        z[:, part.columns] = geometry.great_circle(centre, direction, math.pi * way)
    else:
        direction = geometry.principal_direction(points)
        z[:, part.columns] = centre + torch.outer(_REACH * way, direction)
    return z


def _images(view: RunView) -> Figure:
    shown = view.most_used(view.parts, _SHELLS)
    height = 1.3 + images.height_of(view, len(shown), _IMAGES, style.WIDTH - 1.2)
    figure = style.new_figure(
        height, f"One component varied, the others fixed: {view.name}", _caption(view, shown)
    )
    axes = figure.subplots()
    means = torch.stack([view.decode(varied(view, part, _IMAGES)) for part in shown])
    images.show(axes, view, means)
    _frame_the_mode(axes, view, len(shown))
    axes.set_xticks(images.centres(view, _IMAGES, 1), _degrees(_IMAGES))
    axes.set_yticks(
        images.centres(view, len(shown), 0),
        [f"{part.name}\nKL {view.kl[part.index]:.1f}" for part in shown],
    )
    axes.tick_params(length=0)
    axes.set_xlabel(_axis(shown))
    return figure


def _frame_the_mode(axes: Axes, view: RunView, down: int) -> None:
    """The column in which every row is the same image."""
    tall, wide = view.description.shape[-2:]
    left = (_IMAGES // 2) * (wide + images.GAP) - 1
    axes.add_patch(
        Rectangle(
            (left, -1),
            wide + 1,
            down * (tall + images.GAP),
            fill=False,
            edgecolor=style.VERMILION,
            linewidth=1.5,
            clip_on=False,
            gid="mode",
        )
    )


def _heat_maps(view: RunView) -> Figure:
    shown = view.most_used(view.parts, _HEAT_MAPS)
    panels = 1 if len(shown) == 1 else 2
    down = math.ceil(len(shown) / panels)
    figure = style.new_figure(
        1.0 + 2.1 * down,
        f"One component varied, the others fixed: {view.name}",
        _caption(view, shown),
    )
    grid = style.grid(figure, len(shown), panels)
    curves = [view.decode(varied(view, part, _STEPS)) for part in shown]
    tables.panels_of_curves(figure, grid, view, curves)
    for axes, part in zip(grid, shown, strict=True):
        axes.set_xticks(np.linspace(0, _STEPS - 1, 5), _degrees(5) if part.is_shell else _far(5))
        axes.axvline(_STEPS // 2, color=style.VERMILION, linewidth=1)
        axes.set_xlabel(_axis([part]))
        axes.set_title(style.kl_heading(view, part))
    return figure


def _caption(view: RunView, shown: Sequence[Part]) -> str:
    caption = (
        "E[x | z] along a great circle through the posterior mode of one row (at 0°), in the "
        "direction in which the rows lie furthest from it; 180° is the antipode."
    )
    if not images.are_images(view.description):
        caption += f" The {tables.ALONG} features that vary most."
    if any(not part.is_shell for part in shown):
        caption += (
            f" A Euclidean component runs {_REACH:.0f} units, standard deviations of the prior, "
            "to both sides along its principal direction."
        )
    return caption + style.capped(shown, view.parts, "components")


def _axis(shown: Sequence[Part]) -> str:
    shells = any(part.is_shell for part in shown)
    flat = any(not part.is_shell for part in shown)
    angle, way = "angle from the mode", "way from the mode, prior standard deviations"
    return angle if shells and not flat else way if flat and not shells else f"{angle} (shells)"


def _degrees(count: int) -> list[str]:
    return [f"{180 * turn:.0f}°" for turn in turns(count).tolist()]


def _far(count: int) -> list[str]:
    return [f"{_REACH * turn:.1f}" for turn in turns(count).tolist()]
