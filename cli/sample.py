"""`hvae sample`."""

from typing import Any

import click

from hvae.evaluation.of_file import sample_file

from . import _show as show
from . import _work


@click.command("sample")
@click.argument("run")
@click.option("-n", "samples", default=64, show_default=True, help="How many points.")
@click.option("--out", metavar="F", required=True, help=".npz or .csv.")
@click.option("--shell", type=int, help="Draw this component only, from 1; with --around.")
@click.option("--around", type=int, metavar="ROW", help="The row whose other components stay.")
@click.option(
    "--file",
    "source",
    default="test",
    show_default=True,
    metavar="FILE",
    help="Where ROW is, counted from 0: a file, or a split of the run's own data.",
)
@click.option(
    "--covariate",
    "covariates",
    multiple=True,
    metavar="COLUMN=VALUE",
    help="What the model is told beside the point, one for each column; that of ROW if not given.",
)
@click.option("--seed", type=int, help="Of the draws; the run's own if not given.")
@_work.options
def command(run: str, out: str, as_json: bool, quiet: bool, **given: Any) -> None:
    """Draw latent points from the prior and decode them with the best model of RUN.

    F has z, the points, and mean, E[x | z], in the data's units. With --shell and --around only one
    component is drawn; all others are at the mode of the posterior of ROW.

    \b
    hvae sample runs/cells -n 64 --out samples.npz
    hvae sample runs/cells --shell 3 --around 0 --out third.npz
    hvae sample runs/cells --shell 1 --around 7 --file new.h5ad --out first.csv
    """
    with show.Reporter(quiet) as reporter:
        work = _work.work(reporter, given)
        result = sample_file(run, out, work, **given)
    (show.document if as_json else show.written)(result)
