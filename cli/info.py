"""`hvae info`."""

import click

from hvae.build import describe
from hvae.runs.listing import describe_run

from . import _show as show


@click.command("info")
@click.argument("run", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def command(run: str | None, as_json: bool) -> None:
    """Say what RUN is; without one, what this build is and what it can use here.

    Of a run: its state, every setting, what the data are, how many parameters the model has, and
    its evaluations.

    \b
    hvae info
    hvae info runs/gaussian
    hvae info runs/gaussian --json
    """
    if run is None:
        (show.document if as_json else show.built)(describe())
    else:
        (show.document if as_json else show.run)(describe_run(run))
