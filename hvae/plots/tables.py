"""Rows that are no images: heat maps in a scale that compares features, and small tables."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from torch import Tensor

from hvae.description import Kind
from hvae.model.negative_binomial import NegativeBinomial
from hvae.plots import style
from hvae.plots.view import RunView, plain

ALONG = 10  # features of a curve
NAMED = 40  # columns that have room for a name
_SPREAD = 3.0  # standard deviations from the mean that have a colour of their own
NUMBERED = 12  # rows and columns of a table that has room for its numbers
_LUMINANCE = np.array([0.2126, 0.7152, 0.0722])  # of red, green, blue (Rec. 709)


@dataclass(frozen=True)
class Scale:
    """How numbers are compared across features, and in which colours.

    Attributes:
        unit: of the scale, for the bar of colours.
        shift, factor: [D] each: (x - shift) factor, after log(1 + x) where `logarithm`.
        low, high: the ends of the colours; None for those of the data.
    """

    unit: str
    shift: Tensor
    factor: Tensor
    logarithm: bool
    low: float
    high: float

    def __call__(self, x: Tensor) -> Tensor:
        """[..., D] in this scale."""
        seen = x.double().log1p() if self.logarithm else x.double()
        return (seen - self.shift) * self.factor

    @property
    def colours(self) -> str:
        """Diverging for a scale with a middle."""
        return style.DIVERGING if self.low < 0 else style.SEQUENTIAL


def scale_of(view: RunView) -> Scale:
    """Probabilities as they are, counts as log(1 + x), reals in standard deviations of the rows."""
    data = view.description
    zeros, ones = torch.zeros(data.size).double(), torch.ones(data.size).double()
    if data.kind is Kind.REAL:
        numbers = view.rows[:, : data.size].double()
        deviation = numbers.std(0, correction=0)
        factor = torch.where(deviation > 0, 1 / deviation, ones)
        unit = "standard deviations\nfrom the mean"
        return Scale(unit, numbers.mean(0), factor, False, -_SPREAD, _SPREAD)
    if data.kind is Kind.COUNTS:
        high = float(originals(view, view.rows).log1p().max()) or 1.0
        return Scale("log(1 + count)", zeros, ones, True, 0.0, high)
    unit = "probability of a 1" if data.kind is Kind.BINARY else "value"
    return Scale(unit, zeros, ones, False, 0.0, 1.0)


def originals(view: RunView, rows: Tensor) -> Tensor:
    """The data [R, D] of rows [R, W], comparable with E[x | z]: of the median library size."""
    data = rows[:, : view.description.size].double()
    likelihood = view.model.likelihood
    if isinstance(likelihood, NegativeBinomial):
        data = data * (float(likelihood.library) / data.sum(1, keepdim=True).clamp(min=1))
    return data


def library_note(view: RunView) -> str:
    """What `originals` did, for a caption."""
    if isinstance(view.model.likelihood, NegativeBinomial):
        size = float(view.model.likelihood.library)
        return f" Counts are brought to the median library size, {size:.0f}."
    return ""


def most_varying(values: Tensor, most: int) -> Tensor:
    """int64, in order: the features along which values [..., D] differ most, in their scale."""
    flat = values.reshape(-1, values.shape[-1])
    spread = flat.std(0, correction=0)
    return spread.topk(min(most, len(spread))).indices.sort().values


def names(view: RunView, features: Tensor) -> list[str]:
    """Names of features, or their numbers from 1, at most 20 characters."""
    known = view.description.features
    own = [str(int(i) + 1) if known is None else known[int(i)] for i in features]
    return [plain(name, 20) for name in own]


def chosen(view: RunView, features: Tensor) -> str:
    """Which features these are, for a caption; "" for all."""
    if len(features) == view.description.size:
        return ""
    return f" The {len(features)} of {view.description.size} features that vary most."


def heat_map(
    figure: Figure,
    panels: Sequence[Axes],
    tables: Sequence[NDArray[np.float64]],
    colours: str,
    low: float,
    high: float,
    unit: str,
) -> None:
    """Values [rows, columns] a panel as colours, with one bar that says what they are."""
    for panel, table in zip(panels, tables, strict=True):
        image = panel.imshow(table, aspect="auto", cmap=colours, vmin=low, vmax=high)
        panel.spines[:].set_visible(False)
        panel.tick_params(length=0)
    below = "min" if min(table.min() for table in tables) < low else ""
    above = "max" if max(table.max() for table in tables) > high else ""
    extend = {"": "neither", "minmax": "both"}.get(below + above, below + above)
    aspect = 12 if len(panels) == 1 else 30
    bar = figure.colorbar(
        image, ax=list(panels), extend=extend, pad=0.01, fraction=0.04, aspect=aspect
    )
    bar.set_label(unit, fontsize=8)
    bar.outline.set_visible(False)


def panels_of_curves(
    figure: Figure,
    panels: Sequence[Axes],
    view: RunView,
    curves: Sequence[Tensor],
) -> None:
    """A heat map a curve [T, D] of E[x | z]: the features that vary most along it, over its points.

    All have the same colours; where these have a middle they reach as far as the curves.
    """
    scale = scale_of(view)
    scaled = [scale(curve) for curve in curves]
    features = [most_varying(curve, ALONG) for curve in scaled]
    values = [curve[:, own].T.numpy() for curve, own in zip(scaled, features, strict=True)]
    low, high = scale.low, scale.high
    if low < 0:
        high = min(high, max(float(abs(table).max()) for table in values)) or high
        low = -high
    heat_map(figure, panels, values, scale.colours, low, high, scale.unit)
    for panel, own in zip(panels, features, strict=True):
        panel.set_yticks(range(len(own)), names(view, own), fontsize=7)


def number_rows(axes: Axes, count: int, name: str) -> None:
    """Rows from 1, every fifth one with its number."""
    some = [0, *range(4, count, 5)]
    axes.set_yticks(some, [str(row + 1) for row in some])
    axes.set_ylabel(name)


def write_numbers(axes: Axes, values: NDArray[np.float64]) -> None:
    """The numbers [rows, columns] in the cells of a heat map, where the table is small enough."""
    if max(values.shape) > NUMBERED:
        return
    image = axes.images[0]
    lightness = image.to_rgba(np.asarray(image.get_array()))[..., :3] @ _LUMINANCE
    for i, row in enumerate(values):
        for j, value in enumerate(row):
            ink = "black" if lightness[i, j] > 0.45 else "white"
            axes.text(j, i, f"{value:.3g}", ha="center", va="center", fontsize=7, color=ink)


def name_columns(axes: Axes, labels: Sequence[str]) -> None:
    """Names below the columns, on end where there are many."""
    rotation = 90 if len(labels) > 7 else 0
    axes.set_xticks(range(len(labels)), labels, rotation=rotation, fontsize=7)
