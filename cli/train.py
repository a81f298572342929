"""`hvae train`."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import click

from hvae.observer import Observer, Observers
from hvae.ranks import Ranks, joined
from hvae.runs.config import TrainConfig, options, parse_widths
from hvae.runs.settings_file import read_settings
from hvae.training.begin import train
from hvae.training.resumption import resume

from . import _show as show
from ._settings import GroupedCommand, run_settings

_WITH_RESUME = {"run", "data_dir", "checkpoint_every", "tensorboard", "as_json", "quiet"}


def _take_settings(ctx: click.Context, parameter: click.Parameter, path: str | None) -> str | None:
    """What the file of --config says is the default of what was not given."""
    if path is not None:
        found = read_settings(path, tuple(options()))
        if "data" in found:
            found.pop("dataset", None)  # which a run has named after the file
        ctx.default_map = {name: _typed(name, value) for name, value in found.items()}
    return path


def _typed(name: str, value: object) -> str | list[str]:
    """As one would type it: a list has commas between its items, or is an option an item."""
    if not isinstance(value, list):
        return [str(value)] if options()[name].repeatable else str(value)
    items = [str(item) for item in value]
    return items if options()[name].repeatable else ",".join(items)


@contextmanager
def _observer(quiet: bool, tensorboard: bool, ranks: Ranks) -> Iterator[Observer]:
    """Who is told of the training; of several ranks the first one tells."""
    if ranks.rank > 0:
        yield Observer()
        return
    with show.Reporter(quiet) as reporter:
        if not tensorboard:
            yield reporter
            return
        from hvae.tensorboard import TensorBoard

        board = TensorBoard()
        try:
            yield Observers([reporter, board])
        finally:
            board.close()


@click.command("train", cls=GroupedCommand)
@run_settings()
@click.option(
    "--config",
    metavar="FILE",
    is_eager=True,
    callback=_take_settings,
    help="YAML with any of the settings above, or a run's config.json; what is typed wins.",
)
@click.option("--out", metavar="FOLDER", help="The run's folder; a new one in ./runs if not given.")
@click.option(
    "--resume",
    "run",
    metavar="RUN",
    help="Go on with a run that was cut short; its settings are its own.",
)
@click.option("--tensorboard", is_flag=True, help="Also write event files into RUN/tensorboard.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document, the result.")
@click.option("--quiet", is_flag=True, help="Show no progress.")
@click.pass_context
def command(
    ctx: click.Context,
    /,
    out: str | None,
    run: str | None,
    config: str | None,
    tensorboard: bool,
    as_json: bool,
    quiet: bool,
    hidden: str | None,
    **settings: Any,
) -> None:
    """Train a model and leave a run folder.

    With no option it trains on the 8x8 digits that come with scikit-learn, by the protocol of the
    paper: Adam, KL warm-up, the best epoch by validation ELBO, early stopping.

    \b
    hvae train
    hvae train --dataset caltech --shells 10,10,10,11 --seed 1
    hvae train --dataset caltech --shells e41 --out runs/gaussian
    hvae train --shells 3,3,e4 --epochs 20 --warmup 5 --json > result.json
    hvae train --config settings.yaml --seed 2
    hvae train --config runs/gaussian/config.json --shells 10,10,10,11
    hvae train --data cells.h5ad --labels type --shells 3,e5
    hvae train --resume runs/gaussian

    The folder holds config.json, metrics.jsonl, best.safetensors, last/ and result.json.
    SIGINT (Ctrl-C) and SIGTERM stop at the next step and keep the last epoch; a second one stops at
    once. A run that was cut short in any way ends with --resume where it would have ended, bit for
    bit; one that is complete says so (exit status 0), and one that diverged says what to change
    (exit status 3).

    Several processes share the rows of every batch under torchrun, on CPUs or on the GPUs of a
    machine (--device cuda); random numbers are those of one process, and so are the figures but for
    the order of sums:

    \b
    torchrun --nproc-per-node 4 -m hvae train --dataset caltech --device cuda
    """
    with joined() as ranks:
        result = _trained(ctx, out, run, tensorboard, quiet, hidden, settings, ranks)
    if ranks.rank == 0:
        (show.document if as_json else show.trained)(result)


def _trained(
    ctx: click.Context,
    out: str | None,
    run: str | None,
    tensorboard: bool,
    quiet: bool,
    hidden: str | None,
    settings: dict[str, Any],
    ranks: Ranks,
) -> dict[str, Any]:
    """What `hvae.train` or `hvae.resume` returns."""
    if run is None:
        if {"data", "dataset"} <= _given(ctx):
            raise click.UsageError("--dataset is not allowed beside --data.", ctx)
        widths = () if hidden is None else parse_widths(hidden)
        chosen = TrainConfig(hidden=widths, **settings)
        with _observer(quiet, tensorboard, ranks) as observer:
            return train(chosen, out, observer=observer, ranks=ranks)
    _refuse_settings(ctx)
    own = {name: settings[name] for name in _given(ctx) & {"data_dir", "checkpoint_every"}}
    with _observer(quiet, tensorboard, ranks) as observer:
        return resume(run, observer=observer, ranks=ranks, **own)


def _given(ctx: click.Context) -> set[str]:
    """The parameters that the user gave."""
    default = click.core.ParameterSource.DEFAULT
    return {name for name in ctx.params if ctx.get_parameter_source(name) is not default}


def _refuse_settings(ctx: click.Context) -> None:
    """--resume takes the settings of the run, and none beside them."""
    given = _given(ctx)
    for name in sorted({"config"} & given or given - _WITH_RESUME):
        option = f"--{name.replace('_', '-')}"
        raise click.UsageError(f"{option} is not allowed with --resume: the run has its own.", ctx)
