"""From one row to another along geodesics: all components at once, each on its shortest way."""

import math

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor

from hvae.plots import geometry, images, style, tables
from hvae.plots.view import RunView

_PAIRS = 4
_IMAGES = 11
_STEPS = 41


def draw(view: RunView) -> Figure:
    """A row of images a pair between its originals; of other rows a heat map a pair."""
    return _images(view) if images.are_images(view.description) else _heat_maps(view)


def path(view: RunView, start: int, end: int, count: int) -> Tensor:
    """[count, m]: from the mode of one row to that of another."""
    steps = torch.linspace(0, 1, count, dtype=torch.float64)
    z = view.modes.new_empty(count, view.modes.shape[1])
    for part in view.parts:
        here, there = view.modes[start, part.columns], view.modes[end, part.columns]
        if part.is_shell:
            z[:, part.columns] = geometry.geodesic(here, there, steps)
        else:
            z[:, part.columns] = here + torch.outer(steps, there - here)
    return z


def pairs(view: RunView, most: int) -> list[tuple[int, int]]:
    """Rows in pairs, no row twice; with labels, of two classes where that can be."""
    free = list(range(min(len(view.rows), 200)))
    found: list[tuple[int, int]] = []
    while len(free) > 1 and len(found) < most:
        start = free.pop(0)
        others = free
        if view.labels is not None:
            others = [i for i in free if view.labels[i] != view.labels[start]] or free
        end = others[0]
        free.remove(end)
        found.append((start, end))
    return found or [(0, 0)]


def _images(view: RunView) -> Figure:
    chosen = pairs(view, _PAIRS)
    rows = []
    data = view.rows[:, : view.description.size].double()
    for start, end in chosen:
        means = view.decode(path(view, start, end, _IMAGES), torch.full((_IMAGES,), start))
        rows.append(torch.cat([data[start, None], means, data[end, None]]))
    height = 1.2 + images.height_of(view, len(chosen), _IMAGES + 2, style.WIDTH - 0.2)
    figure = style.new_figure(height, f"Between two rows of {view.name}", _caption(view))
    axes = figure.subplots()
    images.show(axes, view, torch.stack(rows))
    steps = [f"{step:.1f}" for step in np.linspace(0, 1, _IMAGES)]
    labels = ["original", *steps, "original"]
    axes.set_xticks(images.centres(view, _IMAGES + 2, 1), labels)
    axes.tick_params(length=0)
    axes.set_xlabel("share of the way")
    return figure


def _heat_maps(view: RunView) -> Figure:
    chosen = pairs(view, _PAIRS)
    across = 1 if len(chosen) == 1 else 2
    down = math.ceil(len(chosen) / across)
    figure = style.new_figure(1.0 + 2.2 * down, f"Between two rows of {view.name}", _caption(view))
    grid = style.grid(figure, len(chosen), across)
    curves = [
        view.decode(path(view, start, end, _STEPS), torch.full((_STEPS,), start))
        for start, end in chosen
    ]
    tables.panels_of_curves(figure, grid, view, curves)
    for axes, (start, end) in zip(grid, chosen, strict=True):
        axes.set_xticks(np.linspace(0, _STEPS - 1, 5), ["0", "0.25", "0.5", "0.75", "1"])
        axes.set_xlabel("share of the way")
        axes.set_title(_title(view, start, end))
    return figure


def _title(view: RunView, start: int, end: int) -> str:
    if view.labels is None:
        return f"row {start + 1} to row {end + 1}"
    names = [style.class_name(view, int(view.labels[row])) for row in (start, end)]
    return f"{names[0]} to {names[1]}"


def _caption(view: RunView) -> str:
    caption = (
        f"Rows of {view.source}. E[x | z] between the posterior modes of two rows: on every shell "
        "along the shortest arc at constant speed"
    )
    return caption + (", elsewhere on the straight line." if view.flat else ".")
