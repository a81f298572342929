"""`hvae plot`."""

from typing import Any

import click

from hvae.plots import PICTURES, kl_strength, plot_run
from hvae.plots.of_run import PAGE, ROWS, SPLITS
from hvae.runs import newest_completed
from hvae.studies.folder import StudyFolder
from hvae.studies.picture import plot_study

from . import _show as show

_WITHOUT_A_RUN = {"out", "strength", "as_json", "quiet"}
_OF_A_STUDY = {"run", "out", "as_json", "quiet"}


@click.command("plot")
@click.argument("run", required=False)
@click.option("--out", metavar="FOLDER", help="Where the files go; RUN/plots if not given.")
@click.option(
    "--only",
    multiple=True,
    metavar="NAME",
    help=f"Repeatable: {'; '.join(f'{name}, {p.shows}' for name, p in PICTURES.items())}.",
)
@click.option("--html", is_flag=True, help=f"Write {PAGE} too, one page with all in it.")
@click.option("--rows", default=ROWS, show_default=True, help="Shown, of the split, at most.")
@click.option(
    "--split", default="test", show_default=True, metavar="NAME", help=f"{', '.join(SPLITS)}."
)
@click.option("--seed", default=0, show_default=True, help="Of the rows and of the prior's draws.")
@click.option("--data-dir", metavar="FOLDER", help="As in train; the run's own if not given.")
@click.option(
    "--kl-strength",
    "strength",
    is_flag=True,
    help="Without a RUN: KL from the uniform distribution by concentration and dimension.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document, the files.")
@click.option("--quiet", is_flag=True, help="Show no progress.")
@click.pass_context
def command(
    ctx: click.Context,
    /,
    run: str | None,
    out: str | None,
    strength: bool,
    as_json: bool,
    quiet: bool,
    **arguments: Any,
) -> None:
    """Draw pictures of RUN, the newest completed run in ./runs if not given, as PNG and SVG.

    Of the folder of a sweep it is one picture, LL against the number of shells for balanced,
    leveled and unbalanced break-ups, with the paper's points.

    They need matplotlib: pip install "hvae[plots]".

    \b
    hvae plot
    hvae plot runs/spheres --html
    hvae plot runs/spheres --only spheres --only kl-by-shell --split validation --out pictures
    hvae plot study
    hvae plot --kl-strength --out pictures
    """
    if strength:
        _refuse_others(ctx, _WITHOUT_A_RUN, "--kl-strength")
        written = kl_strength(out or ".")
    elif run is not None and StudyFolder(run).begun:
        _refuse_others(ctx, _OF_A_STUDY, "the folder of a sweep")
        written = plot_study(run, out)
    else:
        folder = newest_completed() if run is None else run
        with show.Reporter(quiet) as reporter:
            written = plot_run(folder, out=out, observer=reporter, **arguments)
    paths = [str(path) for path in written]
    if as_json:
        show.document({"files": paths})
    else:
        click.echo("\n".join(paths))


def _refuse_others(ctx: click.Context, allowed: set[str], what: str) -> None:
    """A picture that is of no run takes no option of one."""
    for name in sorted(set(ctx.params) - allowed):
        if ctx.get_parameter_source(name) is not click.core.ParameterSource.DEFAULT:
            option = "RUN" if name == "run" else f"--{name.replace('_', '-')}"
            raise click.UsageError(f"{option} is not allowed with {what}.", ctx)
