"""`hvae info`."""

import click

from hvae.build import describe

from . import _show as show


@click.command("info")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def command(as_json: bool) -> None:
    """Say what this build is and what it can use here.

    \b
    hvae info
    hvae info --json
    """
    (show.document if as_json else show.built)(describe())
