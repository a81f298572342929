"""Rows that are no images: heat maps of some of their numbers, in a scale that compares features."""

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
from hvae.plots.view import RunView

NAMED = 40  # columns that have room for a name
_SPREAD = 3.0  # standard deviations from the mean that have a colour of their own
_NUMBERED = 12  # rows and columns of a table that has room for its numbers
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
    """Names of features, or their numbers from 1, at most 16 characters."""
    known = view.description.features
    own = [str(int(i) + 1) if known is None else known[int(i)] for i in features]
    return [name if len(name) <= 16 else f"{name[:15]}…" for name in own]


def heat_map(
    figure: Figure,
    axes: Axes,
    values: NDArray[np.float64],
    colours: str,
    low: float,
    high: float,
    unit: str,
) -> None:
    """Values [rows, columns] as colours, with a bar that says what they are."""
    image = axes.imshow(values, aspect="auto", cmap=colours, vmin=low, vmax=high)
    outside = ("min" if values.min() < low else "", "max" if values.max() > high else "")
    extend = {"": "neither", "min": "min", "max": "max", "minmax": "both"}["".join(outside)]
    bar = figure.colorbar(image, ax=axes, pad=0.01, fraction=0.04, extend=extend, aspect=12)
    bar.set_label(unit, fontsize=8)
    bar.outline.set_visible(False)  # type: ignore[operator]
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)


def write_numbers(axes: Axes, values: NDArray[np.float64]) -> None:
    """The numbers [rows, columns] in the cells of a heat map, where the table is small enough."""
    if max(values.shape) > _NUMBERED:
        return
    image = axes.images[0]
    lightness = image.to_rgba(image.get_array())[..., :3] @ _LUMINANCE
    for i, row in enumerate(values):
        for j, value in enumerate(row):
            ink = "black" if lightness[i, j] > 0.45 else "white"
            axes.text(j, i, f"{value:.3g}", ha="center", va="center", fontsize=6.5, color=ink)


def name_columns(axes: Axes, labels: Sequence[str]) -> None:
    """Names below the columns, on end."""
    axes.set_xticks(range(len(labels)), labels, rotation=90, fontsize=7)
