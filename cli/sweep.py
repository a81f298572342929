"""`hvae sweep`."""

from collections.abc import Callable
from typing import Any, TypeVar

import click

from hvae.errors import refused_option
from hvae.runs.config import TrainConfig, options, parse_widths
from hvae.studies import break_ups, grid
from hvae.studies.cost import estimate
from hvae.studies.engines import ENGINES, EngineOptions, open_engine
from hvae.studies.folder import StudyFolder
from hvae.studies.plan import Plan, plan
from hvae.studies.sweep import sweep

from . import _show as show
from . import _study
from ._settings import GroupedCommand, GroupedOption, run_settings

STUDY, ENGINE = "The study", "Where it runs"
_OWN = ("shells", "seed")
_SETTINGS = tuple(name for name in options() if name not in _OWN)
_WITH_RESUME = {"study", *("engine", "jobs", "dry_run", "as_json", "quiet")}
_FAILED = 4


Decorated = TypeVar("Decorated", bound=Callable[..., Any])


def _option(*names: str, group: str, **more: Any) -> Callable[[Decorated], Decorated]:
    return click.option(*names, cls=GroupedOption, group=group, **more)


@click.command("sweep", cls=GroupedCommand)
@_option(
    "--table",
    metavar="NAME",
    help=f"The paper's compositions: {', '.join(break_ups.TABLES)}.",
    group=STUDY,
)
@_option(
    "--size",
    default=break_ups.PAPER_SIZE,
    show_default=True,
    help="Of --table: the ambient size of the one shell that is broken up.",
    group=STUDY,
)
@_option(
    "--shells",
    multiple=True,
    metavar="LIST",
    help="A composition, as in train; may be repeated.",
    group=STUDY,
)
@_option(
    "--seeds", default="1,2,3", show_default=True, metavar="LIST", help="Each a run.", group=STUDY
)
@_option(
    "--grid",
    "varied",
    multiple=True,
    metavar="'KEY=V1;V2'",
    help="Every value of an option of train, each with rows of its own; may be repeated.",
    group=STUDY,
)
@_option(
    "--select",
    multiple=True,
    metavar="'KEY=V1;V2'",
    help="As --grid, but validation chooses one value for every composition, before any test "
    "figure is computed, and the chosen one alone is evaluated.",
    group=STUDY,
)
@_option(
    "--iw-samples",
    default=500,
    show_default=True,
    help="Importance samples of an evaluation.",
    group=STUDY,
)
@run_settings(*_SETTINGS)
@_option(
    "--engine",
    default="local",
    show_default=True,
    metavar="NAME",
    help="; ".join(f"{name}, {engine.title}" for name, engine in ENGINES.items()) + ".",
    group=ENGINE,
)
@_option(
    "--jobs",
    type=int,
    metavar="N",
    help="Runs at a time; a core for every thread of each if not given.",
    group=ENGINE,
)
@click.option("--out", metavar="FOLDER", help="The folder of the study.")
@click.option(
    "--resume",
    "study",
    metavar="FOLDER",
    help="Go on with a study; what it consists of is in its folder.",
)
@click.option("--dry-run", is_flag=True, help="Print the plan and what it will cost, and end.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document, the outcome.")
@click.option("--quiet", is_flag=True, help="Show no progress.")
@click.pass_context
def command(
    ctx: click.Context,
    /,
    out: str | None,
    study: str | None,
    engine: str,
    jobs: int | None,
    dry_run: bool,
    as_json: bool,
    quiet: bool,
    **given: Any,
) -> int:
    """Train and evaluate many compositions with many seeds: a study.

    It may be stopped and started at any time. The same command, or --resume FOLDER, goes on: runs
    that have ended are skipped, and those that were cut short continue, bit for bit. Every run is
    an ordinary run folder in FOLDER/runs. A run that diverges is a result; the table says so.

    \b
    hvae sweep --table fixed-ambient --dataset caltech --out study
    hvae sweep --table fixed-ambient --dataset caltech --out study --dry-run
    hvae sweep --resume study
    hvae table study
    hvae sweep --shells 10,10,10,11 --shells e41 --seeds 1,2 --dataset caltech --out mine
    hvae sweep --shells 5,5,5,5 --shells 20 --grid 'lr=0.001;0.0003' --out rates
    hvae sweep --table fixed-ambient --dataset caltech --select 'kl-weights=auto;1.5' --out fair

    Options of a run, below, are those of `hvae train` and hold for all runs. Compositions go
    through the seeds: first all of them with the first seed.

    The exit status is 0 when every run has ended, completed or diverged, and 4 when some failed in
    another way (a worker was lost again and again, or the disk was full); they are named, and the
    next command tries them anew.
    """
    if study is not None:
        _refuse_given(ctx)
        out, planned = study, StudyFolder(study).plan()
    else:
        planned = _plan(ctx, given)
    first = planned.runs[0].config
    chosen = EngineOptions(engine, jobs, first.device, first.threads)
    if dry_run:
        with show.Reporter(quiet) as reporter:
            costs = estimate(planned, reporter)
        _study.planned(planned, costs, chosen.slots, as_json)
        return 0
    if out is None:
        raise click.UsageError("Missing option '--out': the folder of the study.", ctx)
    working = open_engine(chosen)
    with _study.StudyReporter(quiet) as reporter:
        outcome = sweep(planned, out, working, slots=chosen.slots, observer=reporter)
    (show.document if as_json else _study.ended)(outcome)
    return _FAILED if outcome["failed"] else 0


def _plan(ctx: click.Context, given: dict[str, Any]) -> Plan:
    """What the options ask for."""
    settings = {name: given[name] for name in _SETTINGS if name in _typed(ctx)}
    if {"data", "dataset"} <= set(settings):
        raise click.UsageError("--dataset is not allowed beside --data.", ctx)
    if "hidden" in settings:
        settings["hidden"] = parse_widths(settings["hidden"])
    shells = list(given["shells"])
    if given["table"] is not None:
        shells += [one.shells for one in break_ups.table(given["table"], given["size"])]
    elif "size" in _typed(ctx):
        raise click.UsageError("--size is not allowed without --table.", ctx)
    return plan(
        settings,
        shells or [TrainConfig.shells],
        _seeds(given["seeds"]),
        varied=grid.parse("grid", given["varied"]),
        select=grid.parse("select", given["select"]),
        samples=given["iw_samples"],
    )


def _seeds(text: str) -> list[int]:
    items = [item.strip() for item in text.split(",")]
    if not all(item.isascii() and item.isdigit() and len(item) < 20 for item in items):
        raise refused_option("seeds", text, "integers from 0 separated by commas, as in 1,2,3")
    return list(dict.fromkeys(map(int, items)))


def _typed(ctx: click.Context) -> set[str]:
    """The parameters that the user gave."""
    default = click.core.ParameterSource.DEFAULT
    return {name for name in ctx.params if ctx.get_parameter_source(name) is not default}


def _refuse_given(ctx: click.Context) -> None:
    """--resume takes the plan of the folder, and nothing that would change it."""
    for name in sorted(_typed(ctx) - _WITH_RESUME):
        shown = "grid" if name == "varied" else name.replace("_", "-")
        raise click.UsageError(
            f"--{shown} is not allowed with --resume: the study has its own plan.", ctx
        )
