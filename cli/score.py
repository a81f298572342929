"""`hvae score`."""

from typing import Any

import click

from hvae.evaluation.of_file import score_file

from . import _show as show
from . import _work


@click.command("score")
@click.argument("run")
@click.argument("file")
@click.option("--out", metavar="F", help=".npz or .csv.")
@click.option("--iw-samples", "samples", default=500, show_default=True, help="Samples a row.")
@click.option("--seed", type=int, help="Of the samples; the run's own if not given.")
@_work.options
def command(
    run: str,
    file: str,
    out: str | None,
    samples: int,
    seed: int | None,
    as_json: bool,
    quiet: bool,
    **given: Any,
) -> None:
    """Score every row of FILE with the best model of RUN: how likely it is under the model.

    FILE has rows as the run was trained on; test, validation or train is that split of the run's
    own data. F has elbo and ll of each row in nats, in the order of FILE; their means are what
    `hvae eval` gives. A row with a low LL is unlike the training data. A summary with the five
    lowest is printed, and without --out nothing else happens.

    \b
    hvae score runs/cells new.h5ad --out scores.csv
    hvae score runs/cells test --iw-samples 5000 --json
    """
    with show.Reporter(quiet) as reporter:
        work = _work.work(reporter, given)
        result = score_file(run, file, out, work, samples=samples, seed=seed)
    (show.document if as_json else show.scored)(result)
