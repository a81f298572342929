"""The pictures of a run, by name: the one list of them. A picture is a module beside this one.

Each has a function `draw(view) -> Figure`. Another picture is one module and one entry here.
"""

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hvae.plots.view import RunView

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Picture:
    """A picture of a run.

    Attributes:
        module: where it is drawn; imported when it is, since it needs matplotlib.
        shows: what, for help texts.
        applies: whether a run has what it shows.
    """

    module: str
    shows: str
    applies: Callable[[RunView], bool] = lambda view: True

    def draw(self, view: RunView) -> "Figure":
        """The picture, within `hvae.plots.style.style`."""
        figure: Figure = importlib.import_module(f"hvae.plots.{self.module}").draw(view)
        return figure


# In the order of a page.
PICTURES = {
    "training": Picture(
        "training",
        "ELBO, RE, KL and concentrations by epoch",
        lambda view: bool(view.metrics),
    ),
    "kl-by-shell": Picture("kl_by_shell", "KL of every component; with labels, which finds them"),
    "great-circles": Picture("great_circles", "one component varied, the others fixed"),
    "reconstructions": Picture("reconstructions", "originals and what becomes of them"),
    "prior": Picture("prior", "draws from the prior, decoded"),
    "interpolation": Picture("interpolation", "from one row to another along geodesics"),
    "circles": Picture(
        "circles", "where mean directions lie on shells 2", lambda view: bool(view.circles)
    ),
    "spheres": Picture(
        "spheres", "maps of shells 3, by Mollweide's projection", lambda view: bool(view.spheres)
    ),
    "wide-shells": Picture(
        "wide_shells", "principal planes of shells above 3", lambda view: bool(view.wide_shells)
    ),
    "euclidean": Picture(
        "flat", "principal components of what is no shell", lambda view: bool(view.flat)
    ),
}
