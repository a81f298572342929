"""`hvae table`."""

from pathlib import Path

import click

from hvae.studies import layout, table

from . import _show as show

_JSON = "json"


@click.command("table")
@click.argument("folders", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--format",
    "form",
    type=click.Choice([*layout.FORMATS, _JSON]),
    default="text",
    show_default=True,
    help="csv has all digits; json has everything, every run as well.",
)
@click.option("--runs", is_flag=True, help="A second table with a row for every run.")
def command(folders: tuple[Path, ...], form: str, runs: bool) -> None:
    """Print runs and their evaluations as the paper's tables are.

    FOLDERS are those of sweeps, or hold runs at any depth. A row is a setting: LL, ELBO, RE and KL
    of the test split in nats, mean and standard deviation over seeds. A run that diverged, or has
    not ended, is counted in its row.

    Rows that have a counterpart in the paper (Davidson, Tomczak, Gavves 2019, appendix B) have it
    beside them. Which kind of break-up a row of the paper is of is a guess.

    \b
    hvae table study
    hvae table study runs --format markdown --runs
    hvae table study --format csv > study.csv
    hvae table study --format latex
    """
    found = table.gather(folders)
    if form == _JSON:
        show.document(table.document(found))
        return
    sheets = [table.summary(found)]
    if runs:
        sheets += [table.details(found), *([table.choices(found)] if found.choices else [])]
    show.sheets(sheets, found.notes, form)
