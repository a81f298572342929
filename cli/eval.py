"""`hvae eval`."""

from typing import Any

import click

from hvae.evaluation.of_run import SPLITS, evaluate_run
from hvae.model.likelihoods import AUTO
from hvae.ops import PRODUCTS
from hvae.runs import newest_completed

from . import _show as show


@click.command("eval")
@click.argument("run", required=False)
@click.option("--iw-samples", "samples", default=500, show_default=True, help="Samples a row.")
@click.option(
    "--refine",
    default=0,
    show_default=True,
    metavar="STEPS",
    help="Also fit each row's posterior in so many steps, the decoder fixed.",
)
@click.option(
    "--split", default="test", show_default=True, metavar="NAME", help=f"{', '.join(SPLITS)}."
)
@click.option("--seed", type=int, help="Of the samples; the run's own if not given.")
@click.option("--device", default="cpu", show_default=True, help="cpu, cuda or cuda:N.")
@click.option("--threads", type=int, help="CPU threads; torch's own choice if not given.")
@click.option(
    "--products",
    default=AUTO,
    show_default=True,
    metavar="NAME",
    help=f"As in train: {', '.join((AUTO, *PRODUCTS))}.",
)
@click.option("--data-dir", metavar="FOLDER", help="As in train; the run's own if not given.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document, the result.")
@click.option("--quiet", is_flag=True, help="Show no progress.")
def command(run: str | None, as_json: bool, quiet: bool, **arguments: Any) -> None:
    """Evaluate the best model of RUN, the newest completed run in ./runs if not given.

    ELBO, reconstruction error, KL, and the log-likelihood by importance sampling. The result is
    stored in the run's folder as eval-SPLIT-SAMPLES-SEED.json.

    With --refine the same figures follow for posteriors that are fitted to each row: what the
    decoder can explain, whatever the encoder has missed.

    \b
    hvae eval
    hvae eval runs/gaussian --iw-samples 5000
    hvae eval --split validation --seed 7 --json
    hvae eval --refine 400 --iw-samples 5000
    """
    folder = newest_completed() if run is None else run
    with show.Reporter(quiet) as reporter:
        result = evaluate_run(folder, observer=reporter, **arguments)
    (show.document if as_json else show.evaluated)(result)
