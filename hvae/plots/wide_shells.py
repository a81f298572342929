"""Shells above `3`: the orthogonal projection of the mean directions to their principal plane.

The plane is that of the ordinary principal components of the coordinates in R^m. Where the rows
lie near each other these are, to first order, the principal geodesics at their mean; where they are
spread over the sphere, as the uniform prior wants them, there is no mean direction for a tangent
space to stand at, and a projection from one (Lambert's, the logarithm) tears its antipode. A linear
map never tears: what is near on the sphere is near in the picture.
"""

import math

from matplotlib.figure import Figure
from matplotlib.patches import Circle

from hvae.plots import geometry, style
from hvae.plots.view import RunView

_SHELLS = 6


def draw(view: RunView) -> Figure:
    """A disc a shell."""
    shown = view.most_used(view.wide_shells, _SHELLS)
    groups = style.groups(view)
    across = 2 if len(shown) == 4 else min(len(shown), 3)
    down = math.ceil(len(shown) / across)
    caption = (
        f"Mean directions of {view.source}, projected at right angles to the plane of their two "
        "principal directions in Rᵐ. In the plane: the share of their variance that it keeps, and "
        "of that of a uniform distribution, 2/m. The circle is the outline of the sphere."
        + style.capped(shown, view.wide_shells, "shells")
        + style.neighbours_note(view)
    )
    height = 1.2 + down * ((style.WIDTH - 1.5) / max(across, 2) + 0.3)
    figure = style.new_figure(height, f"Shells of {view.name} in their principal planes", caption)
    panels = style.grid(figure, len(shown), across)
    for axes, part in zip(panels, shown, strict=True):
        plane = geometry.principal_plane(view.points(part))
        x, y = (plane.points - plane.origin).numpy().T
        axes.add_patch(Circle((0, 0), 1, fill=False, edgecolor=style.PALE, linewidth=0.8))
        style.scatter(axes, x, y, groups)
        heading = style.heading(view, part).replace(" nats, ", " nats\n")
        axes.set_title(
            f"{heading}\nin the plane {100 * plane.share:.0f} % (uniform: {200 / part.size:.0f} %)",
            fontsize=8,
        )
        axes.set(xlim=(-1.05, 1.05), ylim=(-1.05, 1.05), aspect="equal")
        axes.set_xlabel("1st principal direction", fontsize=8)
        axes.set_xticks([-1, 0, 1])
        axes.set_yticks([-1, 0, 1])
        axes.tick_params(labelsize=7)
    for axes in panels[::across]:
        axes.set_ylabel("2nd principal direction", fontsize=8)
    style.legend(figure, groups)
    return figure
