"""KL(vMF || uniform) against the concentration, by ambient dimension (the paper's Fig. B.1)."""

import matplotlib
import torch
from matplotlib.figure import Figure

from hvae import ops
from hvae.plots import style

DIMS = (2, 3, 5, 10, 20, 41, 100)
_KAPPA = (-1.0, 4.0)  # powers of ten
_POINTS = 201


def draw() -> Figure:
    """One panel: with a fixed concentration a shell of more dimensions is nearer to uniform."""
    kappa = torch.logspace(*_KAPPA, _POINTS, dtype=torch.float64)
    kl, _ = ops.vmf(kappa[:, None].expand(-1, len(DIMS)).contiguous(), DIMS, "KL")
    caption = (
        "KL of a von Mises-Fisher distribution with concentration κ from the uniform one on the "
        "sphere Sᵐ⁻¹ in Rᵐ, which does not depend on the mean direction. At a small κ the "
        "KL falls with m as κ²/2m; at a large one it rises as (m-1)/2 log κ."
    )
    figure = style.new_figure(4.6, "KL from the uniform distribution by concentration", caption)
    axes = figure.subplots()
    shades = matplotlib.colormaps["viridis"]
    for i, m in enumerate(DIMS):
        colour = shades(0.9 * i / (len(DIMS) - 1))
        axes.plot(kappa, kl[:, i], color=colour, linewidth=1.6, label=f"m = {m}")
    axes.set(xscale="log", yscale="log", ylim=(1e-5, 1e3), xlim=(10 ** _KAPPA[0], 10 ** _KAPPA[1]))
    style.powers_of_ten(axes.xaxis)
    style.powers_of_ten(axes.yaxis)
    axes.set_xlabel("concentration κ")
    axes.set_ylabel("KL, nats")
    axes.grid(True, linewidth=0.5)
    axes.legend(loc="lower right")
    return figure
