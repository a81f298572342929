"""`hvae sweep`."""

from collections.abc import Callable
from typing import Any, TypeVar

import click

from hvae.errors import refused_option
from hvae.runs.config import TrainConfig, options, parse_widths
from hvae.studies import break_ups, grid, together
from hvae.studies.cost import estimate
from hvae.studies.engines import ENGINES, LOCAL, EngineOptions, open_engine
from hvae.studies.folder import StudyFolder
from hvae.studies.plan import Plan, plan
from hvae.studies.search import Search, begun, search
from hvae.studies.sweep import sweep

from . import _show as show
from . import _study
from ._settings import GroupedCommand, GroupedOption, run_settings

STUDY, ENGINE = "The study", "Where it runs"
_OWN = ("shells", "seed")
_SETTINGS = tuple(name for name in options() if name not in _OWN)
_WITH_RESUME = {"study", *("engine", "jobs", "replicas", "slurm", "dry_run", "as_json", "quiet")}
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
    "--search",
    "searches",
    is_flag=True,
    help="Find a break-up of --size by validation, within --budget; or the best of the "
    "compositions that are given. Test figures are those of what is found alone.",
    group=STUDY,
)
@_option(
    "--budget",
    default=8.0,
    show_default=True,
    metavar="N",
    help="Of --search: what it may cost, in runs of --epochs.",
    group=STUDY,
)
@_option(
    "--search-seed",
    default=0,
    show_default=True,
    help="Of --search: of the candidates and of their training.",
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
@_option(
    "--replicas",
    metavar="N",
    help="Runs trained in one stack at most, where they differ in seed and latent space alone; "
    "auto: as many as are quickest here, by a measurement. The default is auto on a GPU, and 1 on "
    "a CPU.",
    group=ENGINE,
)
@_option(
    "--slurm",
    multiple=True,
    metavar="KEY=VALUE",
    help="Of --engine slurm: an option of sbatch, as in partition=long or time=600 (minutes); may "
    "be repeated.",
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
    replicas: str | None,
    slurm: tuple[str, ...],
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
    hvae sweep --search --budget 8 --dataset caltech --out found

    Options of a run, below, are those of `hvae train` and hold for all runs. Compositions go
    through the seeds: first all of them with the first seed.

    The exit status is 0 when every run has ended, completed or diverged, and 4 when some failed in
    another way (a worker was lost again and again, or the disk was full); they are named, and the
    next command tries them anew.
    """
    wanted: Plan | Search
    if study is not None:
        _refuse_given(ctx)
        out, wanted = study, begun(StudyFolder(study)) or StudyFolder(study).plan()
    else:
        wanted = _search(ctx, given) if given["searches"] else _plan(ctx, given)
    first = wanted.config if isinstance(wanted, Search) else wanted.runs[0].config
    chosen = EngineOptions(engine, jobs, first.device, first.threads, _of_sbatch(slurm))
    if dry_run:
        with show.Reporter(quiet) as reporter:
            planned = wanted.example if isinstance(wanted, Search) else wanted
            costs = estimate(planned, reporter)
        _study.planned(wanted, costs, chosen.slots, as_json)
        return 0
    if isinstance(wanted, Search) and replicas is not None:
        raise click.UsageError("--replicas is not allowed with --search.", ctx)
    runs = () if isinstance(wanted, Search) else wanted.runs
    count = together.replicas(replicas, runs, engine == LOCAL) if runs else 1
    if out is None:
        raise click.UsageError("Missing option '--out': the folder of the study.", ctx)
    working = open_engine(chosen)
    with _study.StudyReporter(quiet) as reporter:
        more: Any = {"slots": chosen.slots, "observer": reporter}
        if isinstance(wanted, Search):
            outcome = search(wanted, out, working, **more)
        else:
            outcome = sweep(wanted, out, working, replicas=count, **more)
    (show.document if as_json else _study.ended)(outcome)
    return _FAILED if outcome["failed"] else 0


def _plan(ctx: click.Context, given: dict[str, Any]) -> Plan:
    """What the options ask for."""
    if named := sorted({"budget", "search_seed"} & _typed(ctx)):
        option = named[0].replace("_", "-")
        raise click.UsageError(f"--{option} is not allowed without --search.", ctx)
    if given["table"] is None and "size" in _typed(ctx):
        raise click.UsageError("--size is not allowed without --table or --search.", ctx)
    return plan(
        _run_settings(ctx, given),
        _shells(given) or [TrainConfig.shells],
        _seeds(given["seeds"]),
        varied=grid.parse("grid", given["varied"]),
        select=grid.parse("select", given["select"]),
        samples=given["iw_samples"],
    )


def _search(ctx: click.Context, given: dict[str, Any]) -> Search:
    """What the options of --search ask for."""
    for name, option in (("varied", "grid"), ("select", "select")):
        if given[name]:
            raise click.UsageError(f"--{option} is not allowed with --search.", ctx)
    return Search(
        settings=_run_settings(ctx, given),
        seeds=tuple(_seeds(given["seeds"])),
        seed=given["search_seed"],
        budget=given["budget"],
        size=given["size"],
        shells=tuple(_shells(given)),
        samples=given["iw_samples"],
    )


def _run_settings(ctx: click.Context, given: dict[str, Any]) -> dict[str, Any]:
    """Those of `TrainConfig` that were given."""
    settings = {name: given[name] for name in _SETTINGS if name in _typed(ctx)}
    if {"data", "dataset"} <= set(settings):
        raise click.UsageError("--dataset is not allowed beside --data.", ctx)
    if "hidden" in settings:
        settings["hidden"] = parse_widths(settings["hidden"])
    return settings


def _shells(given: dict[str, Any]) -> list[str]:
    """The compositions that are named."""
    shells = list(given["shells"])
    if given["table"] is not None:
        shells += [one.shells for one in break_ups.table(given["table"], given["size"])]
    return shells


def _seeds(text: str) -> list[int]:
    items = [item.strip() for item in text.split(",")]
    if not all(item.isascii() and item.isdigit() and len(item) < 20 for item in items):
        raise refused_option("seeds", text, "integers from 0 separated by commas, as in 1,2,3")
    return list(dict.fromkeys(map(int, items)))


def _of_sbatch(texts: tuple[str, ...]) -> dict[str, str]:
    """Options of sbatch by name."""
    found = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not (equals and key.strip() and value.strip()):
            raise refused_option("slurm", text, "KEY=VALUE, an option of sbatch")
        found[key.strip()] = value.strip()
    return found


def _typed(ctx: click.Context) -> set[str]:
    """The parameters that the user gave."""
    default = click.core.ParameterSource.DEFAULT
    return {name for name in ctx.params if ctx.get_parameter_source(name) is not default}


def _refuse_given(ctx: click.Context) -> None:
    """--resume takes the plan of the folder, and nothing that would change it."""
    for name in sorted(_typed(ctx) - _WITH_RESUME):
        named = {"varied": "grid", "searches": "search"}
        shown = named.get(name, name.replace("_", "-"))
        raise click.UsageError(
            f"--{shown} is not allowed with --resume: the study has its own plan.", ctx
        )
