"""What the decoder makes of draws from the prior."""

import torch
from matplotlib.figure import Figure

from hvae.plots import images, style, tables
from hvae.plots.view import RunView

_DOWN, _ACROSS = 6, 16
_DRAWS = 24


def draw(view: RunView) -> Figure:
    """A grid of images, or a heat map with a draw a row."""
    note = " Each has the covariates of one of the rows." if view.description.covariates else ""
    if images.are_images(view.description):
        caption = f"E[x | z] at {_DOWN * _ACROSS} draws z from the prior, seed {view.seed}.{note}"
        means = _means(view, _DOWN * _ACROSS)
        height = 0.8 + images.height_of(view, _DOWN, _ACROSS, style.WIDTH - 0.2)
        figure = style.new_figure(height, f"Draws from the prior of {view.name}", caption)
        images.show(figure.subplots(), view, means.reshape(_DOWN, _ACROSS, -1))
        return figure
    scale = tables.scale_of(view)
    means = scale(_means(view, _DRAWS))
    features = tables.most_varying(means, tables.NAMED)
    caption = (
        f"E[x | z] at {_DRAWS} draws z from the prior, seed {view.seed}."
        f"{tables.chosen(view, features)}{note}"
    )
    figure = style.new_figure(5.0, f"Draws from the prior of {view.name}", caption)
    axes = figure.subplots()
    values = means[:, features].numpy()
    tables.heat_map(figure, [axes], [values], scale.colours, scale.low, scale.high, scale.unit)
    tables.number_rows(axes, len(means), "draw")
    tables.name_columns(axes, tables.names(view, features))
    return figure


def _means(view: RunView, count: int) -> torch.Tensor:
    rows = torch.arange(count) % len(view.rows)
    return view.decode(view.prior(count), rows)
