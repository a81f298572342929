"""`hvae decode`."""

from typing import Any

import click

from hvae.evaluation.of_file import decode_file

from . import _show as show
from . import _work


@click.command("decode")
@click.argument("run")
@click.argument("f")
@click.option("--out", metavar="G", required=True, help=".npz or .csv.")
@click.option(
    "--covariate",
    "covariates",
    multiple=True,
    metavar="COLUMN=VALUE",
    help="What the model is told beside the point, one for each column; that of F if not given.",
)
@_work.options
def command(
    run: str,
    f: str,
    out: str,
    covariates: tuple[str, ...],
    as_json: bool,
    quiet: bool,
    **given: Any,
) -> None:
    """Decode the latent points in F with the best model of RUN.

    F is .npz or .csv with mean_direction or z, as `hvae encode` and `hvae sample` write them: the
    part of every shell has length 1 to within 0.001. G has mean, E[x | z], in the data's units.

    \b
    hvae decode runs/cells test.npz --out again.npz
    hvae decode runs/cells points.csv --out again.csv
    """
    with show.Reporter(quiet) as reporter:
        result = decode_file(run, f, out, _work.work(reporter, given), covariates=covariates)
    (show.document if as_json else show.written)(result)
