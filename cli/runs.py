"""`hvae runs`."""

import click

from hvae.runs.folder import HOME
from hvae.runs.listing import list_runs

from . import _show as show


@click.command("runs")
@click.argument("folder", default=str(HOME))
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document, a list.")
def command(folder: str, as_json: bool) -> None:
    """List the runs in FOLDER, ./runs if not given.

    The state is completed; cut short, which `hvae train --resume` goes on with; training, by
    another process; diverged; or damaged. LL is that of the test split, where `hvae eval` has
    measured it.

    \b
    hvae runs
    hvae runs /data/runs --json
    """
    listed = list_runs(folder)
    if as_json:
        show.document({"folder": folder, "runs": [run.to_json() for run in listed]})
    else:
        show.runs(folder, listed)
