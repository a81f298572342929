"""Rows that are images: grey [height, width] or colour [3, height, width], tiled to one picture."""

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray
from torch import Tensor

from hvae.description import DataDescription, Kind
from hvae.plots.view import RunView

GAP = 1  # pixels between two tiles


def are_images(data: DataDescription) -> bool:
    """Whether rows are drawn as images: height x width, or 1 or 3 channels of that."""
    return len(data.shape) == 2 or (len(data.shape) == 3 and data.shape[0] in {1, 3})


def limits(view: RunView) -> tuple[float, float]:
    """The numbers that are drawn as the darkest and the lightest grey."""
    data = view.description
    if data.kind in {Kind.BINARY, Kind.UNIT}:
        return 0.0, 1.0
    numbers = view.rows[:, : data.size].double()
    low, high = float(numbers.min()), float(numbers.max())
    if data.kind is Kind.COUNTS:
        low, high = 0.0, float(max(data.maxima or (0,))) or high
    return low, high if high > low else low + 1


def tiled(view: RunView, rows: Tensor) -> NDArray[np.float64]:
    """One picture [H, W] or [H, W, 3] of 0 to 1 from rows [r, c, D]; gaps are NaN, in colour 1."""
    shape = view.description.shape
    channels, (height, width) = (shape[0] if len(shape) == 3 else 1), shape[-2:]
    low, high = limits(view)
    scaled = ((rows.double() - low) / (high - low)).clamp(0, 1).numpy()
    down, across = rows.shape[:2]
    cells = scaled.reshape(down, across, channels, height, width)
    empty = np.nan if channels == 1 else 1.0
    picture = np.full((down * (height + GAP) - GAP, across * (width + GAP) - GAP, channels), empty)
    for i in range(down):
        for j in range(across):
            top, left = i * (height + GAP), j * (width + GAP)
            picture[top : top + height, left : left + width] = cells[i, j].transpose(1, 2, 0)
    return picture[..., 0] if channels == 1 else picture


def centres(view: RunView, count: int, axis: int) -> NDArray[np.float64]:
    """The middle of each of the tiles in pixels, down (axis 0) or across (axis 1)."""
    side = view.description.shape[-2:][axis]
    return np.arange(count, dtype=np.float64) * (side + GAP) + (side - 1) / 2


def show(axes: Axes, view: RunView, rows: Tensor) -> None:
    """Draw rows [r, c, D] as r x c tiles. Of binary images a 1 is dark, as ink on paper."""
    ink = view.description.kind is Kind.BINARY
    axes.imshow(tiled(view, rows), cmap="gray_r" if ink else "gray", vmin=0, vmax=1)
    axes.set_facecolor("#E8E8E8" if ink else "white")
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set_visible(False)


def height_of(view: RunView, down: int, across: int, width: float) -> float:
    """Inches of height of r x c tiles that are so wide."""
    tall, wide = view.description.shape[-2:]
    return width * down * (tall + GAP) / (across * (wide + GAP))
