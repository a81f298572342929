"""`hvae encode`."""

from typing import Any

import click

from hvae.evaluation.of_file import encode_file

from . import _show as show
from . import _work


@click.command("encode")
@click.argument("run")
@click.argument("file")
@click.option("--out", metavar="F", help=".npz, .csv, or .h5ad where FILE is one.")
@_work.options
def command(run: str, file: str, out: str | None, as_json: bool, quiet: bool, **given: Any) -> None:
    """Encode every row of FILE with the best model of RUN.

    FILE has rows as the run was trained on; test, validation or train is that split of the run's
    own data. F has, in the order of FILE, mean_direction (a unit vector a shell; of a Euclidean
    component its mean), concentration and kl (nats) of each component. An .h5ad is copied, with
    .obsm["X_hvae"], ["hvae_concentration"] and ["hvae_kl"]. A summary is printed, and without --out
    nothing else happens.

    \b
    hvae encode runs/cells cells.h5ad --out encoded.h5ad
    hvae encode runs/cells test --out test.npz
    hvae encode runs/cells new.csv --out new-encoded.csv --force
    """
    with show.Reporter(quiet) as reporter:
        result = encode_file(run, file, out, _work.work(reporter, given))
    (show.document if as_json else show.encoded)(result)
