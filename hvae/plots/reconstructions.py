"""Originals beside what the decoder makes of their posterior's mode."""

import numpy as np
import torch
from matplotlib.figure import Figure

from hvae.plots import images, style, tables
from hvae.plots.view import RunView

_ACROSS, _BANDS = 16, 3
_ROWS = 16


def draw(view: RunView) -> Figure:
    """Images in pairs, one above the other; of other rows three heat maps."""
    return _pairs(view) if images.are_images(view.description) else _heat_maps(view)


def _pairs(view: RunView) -> Figure:
    count = min(len(view.rows), _ACROSS * _BANDS)
    across = min(count, _ACROSS)
    bands = count // across
    count = across * bands
    rows = torch.arange(count)
    data = view.rows[:count, : view.description.size].double()
    means = view.decode(view.modes[:count], rows)
    height = 0.8 + sum(
        images.height_of(view, 2, across, style.WIDTH - 1) + 0.1 for _ in range(bands)
    )
    caption = f"{count} rows, of {view.source}. E[x | z] at the mode z of the posterior."
    figure = style.new_figure(height, f"Originals and reconstructions of {view.name}", caption)
    for band, axes in enumerate(figure.subplots(bands, 1, squeeze=False).flat):
        some = slice(band * across, (band + 1) * across)
        images.show(axes, view, torch.stack([data[some], means[some]]))
        axes.set_yticks(images.centres(view, 2, 0), ["original", "E[x | z]"])
        axes.tick_params(length=0)
    return figure


def _heat_maps(view: RunView) -> Figure:
    scale = tables.scale_of(view)
    small = view.description.size <= tables.NUMBERED
    count = min(len(view.rows), tables.NUMBERED if small else _ROWS)
    rows = torch.arange(count)
    data = tables.originals(view, view.rows[:count])
    means = view.decode(view.modes[:count], rows)
    features = tables.most_varying(scale(tables.originals(view, view.rows)), tables.NAMED)
    caption = (
        f"{count} rows, of {view.source}. E[x | z] at the mode z of the posterior."
        f"{tables.chosen(view, features)}{tables.library_note(view)}"
    )
    figure = style.new_figure(6.6, f"Originals and reconstructions of {view.name}", caption)
    panels = figure.subplots(3, 1, sharex=True)
    seen = [scale(numbers)[:, features].numpy() for numbers in (data, means)]
    values = [numbers[:, features].numpy() for numbers in (data, means)]
    for axes, title, numbers, raw in zip(
        panels, ("original", "E[x | z]"), seen, values, strict=False
    ):
        tables.heat_map(figure, [axes], [numbers], scale.colours, scale.low, scale.high, scale.unit)
        tables.write_numbers(axes, raw)
        axes.set_title(title)
    difference = seen[1] - seen[0]
    far = float(np.quantile(abs(difference), 0.99)) or 1.0
    tables.heat_map(
        figure,
        [panels[2]],
        [difference],
        style.DIVERGING,
        -far,
        far,
        "E[x | z] - original,\nin the scale above",
    )
    panels[2].set_title("difference")
    for axes in panels:
        tables.number_rows(axes, count, "row")
    tables.name_columns(panels[2], tables.names(view, features))
    return figure
