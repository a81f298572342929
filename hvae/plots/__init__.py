"""Pictures of what the shells of a run learned. They need matplotlib, the extra `plots`.

`plot_run` draws those of a run, `kl_strength` the KL from the uniform distribution by dimension,
and `PICTURES` lists what there is. matplotlib is imported when a picture is drawn.
"""

from hvae.plots.of_run import kl_strength, plot_run
from hvae.plots.pictures import PICTURES
from hvae.plots.view import RunView

__all__ = ["PICTURES", "RunView", "kl_strength", "plot_run"]
