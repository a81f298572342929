"""What the commands print: progress and warnings on stderr, results on stdout."""

import json
import shlex
from collections.abc import Sequence
from typing import Any, TypeVar

import click
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.table import Table

from hvae.observer import Observer
from hvae.runs.listing import Listed
from hvae.studies import layout

Entered = TypeVar("Entered", bound="Reporter")

_UNKNOWN = "not recorded before there is a best epoch"
_WIDTH = 140  # of a wide table where there is no terminal to ask


class Reporter(Observer):
    """A live bar on a terminal, else plain lines, on stderr; warnings even when quiet."""

    def __init__(self, quiet: bool) -> None:
        self.quiet = quiet
        console = Console(stderr=True)
        self.live = console.is_terminal and not quiet
        self.bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.completed:.0f}/{task.total:.0f}"),
            TextColumn("{task.fields[figures]}"),
            TimeRemainingColumn(),
            console=console,
            disable=not self.live,
        )
        self.tasks: dict[str, TaskID] = {}

    def __enter__(self: Entered) -> Entered:
        self.bar.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self.bar.stop()

    def warning(self, text: str) -> None:
        self._line(f"hvae: warning: {text}", always=True)

    def data(self, summary: str) -> None:
        if summary:
            self._line(summary)

    def download(self, name: str, done: int, total: int | None) -> None:
        if name not in self.tasks:
            self._line(f"downloading {name}")
        self._move(name, f"downloading {name}", done, total or done)

    def resumed(self, epoch: int, epochs: int) -> None:
        self._line(f"continuing after epoch {epoch} of {epochs}")

    def complete(self, run: str) -> None:
        self._line(f"{run} is complete: there is nothing left to train", always=True)

    def epoch(self, line: dict[str, Any], epochs: int) -> None:
        figures = _figures(line["validation"])
        self._move("epoch", "epoch", line["epoch"], epochs, figures)
        if not self.live:
            train = _figures(line["train"])
            seconds = f"{line['seconds']:.2f} s"
            self._line(
                f"epoch {line['epoch']}/{epochs}  train {train}  validation {figures}  {seconds}"
            )

    def images(self, done: int, total: int) -> None:
        self._move("images", "images", done, total)
        if not self.live and done == total:
            self._line(f"images {done}/{total}")

    def _move(self, name: str, title: str, done: int, total: int, figures: str = "") -> None:
        if name not in self.tasks:
            self.tasks[name] = self.bar.add_task(title, total=total, figures=figures)
        self.bar.update(self.tasks[name], completed=done, total=total, figures=figures)

    def _line(self, text: str, always: bool = False) -> None:
        if self.live:
            self.bar.console.print(text, markup=False, highlight=False)
        elif always or not self.quiet:
            click.echo(text, err=True)


def document(result: dict[str, Any]) -> None:
    """The one JSON document of `--json`, on stdout."""
    click.echo(json.dumps(result, indent=2, allow_nan=False))


def trained(result: dict[str, Any]) -> None:
    """How a run ended, where it is, and what to type next."""
    best = _figures(result["validation"])
    click.echo(f"best epoch {result['best_epoch']} of {result['epochs']}: validation {best}")
    click.echo(f"run   {result['run']}  ({result['seconds']:.1f} s)")
    click.echo(f"next  hvae eval {shlex.quote(result['run'])}")


def evaluated(result: dict[str, Any]) -> None:
    """The figures of an evaluation."""
    click.echo(f"{result['run']}: {result['split']} split, {result['images']} images")
    refined = result.get("refined")
    parts = [result] if refined is None else [result, refined]
    heads = ["", "encoder", f"refined, {refined['steps']} steps"] if refined else []
    table = Table(*heads, show_header=refined is not None)
    columns = [_means(part, result["shells"]) for part in parts]
    for name in columns[0]:
        table.add_row(name, *(column[name] for column in columns))
    table.add_row("seconds", f"{result['seconds']:.1f}")
    Console().print(table, highlight=False)


def _means(figures: dict[str, Any], shells: str) -> dict[str, str]:
    """The rows of the table of an evaluation."""
    stderr = figures["ll_stderr"]
    spread = "" if stderr is None else f" +- {stderr:.2f}"
    by_shell = zip(shells.split(","), figures["kl_per_shell"], strict=True)
    ratio = {"r of the learned prior": f"{figures['r']:.2f}"} if "r" in figures else {}
    return {
        "ELBO": f"{figures['elbo']:.2f}",
        "RE": f"{figures['re']:.2f}",
        "KL": f"{figures['kl']:.2f}",
        "KL by shell": "  ".join(f"{shell}: {kl:.2f}" for shell, kl in by_shell),
        **ratio,
        "LL": f"{figures['ll']:.2f}{spread}  ({figures['iw_samples']} samples)",
    }


def encoded(result: dict[str, Any]) -> None:
    """What the encoder says of rows, in means."""
    click.echo(f"{result['run']}: {result['rows']} rows of {result['file']}")
    table = Table("shell", "KL (nats)", "concentration")
    shells = result["shells"].split(",")
    for shell, kl, kappa in zip(shells, result["kl_per_shell"], result["kappa"], strict=True):
        table.add_row(shell, f"{kl:.2f}", f"{kappa:.4g}")
    Console().print(table, highlight=False)
    _out(result)


def scored(result: dict[str, Any]) -> None:
    """Scores of rows: means, and the lowest."""
    click.echo(f"{result['run']}: {result['rows']} rows of {result['file']}")
    click.echo(f"mean ELBO {_nats(result['elbo'])}")
    click.echo(f"mean LL   {_nats(result['ll'])}  ({result['iw_samples']} samples)")
    table = Table("row", "name", "LL (nats)", title="the lowest", title_justify="left")
    for row in result["lowest"]:
        table.add_row(str(row["row"]), escape(row["name"]), _nats(row["ll"]))
    Console().print(table, highlight=False)
    _out(result)


def written(result: dict[str, Any]) -> None:
    """What was written where."""
    click.echo(f"{result['run']}: {result['rows']} rows")
    _out(result)


def _out(result: dict[str, Any]) -> None:
    if result["out"] is not None:
        click.echo(f"wrote {result['out']}")


def _nats(value: float | None) -> str:
    """None is what JSON has in place of minus infinity."""
    return "-inf" if value is None else f"{value:.2f}"


def built(result: dict[str, Any]) -> None:
    """The build and the devices."""
    others = ", ".join(result["instruction_sets"])
    rows = {
        **result["versions"],
        "instruction set": f"{result['instruction_set']} of {others}",
        "CUDA kernels": "built" if result["cuda_kernels"] else "not built",
        "torch's CUDA": result["cuda"] or "none",
        "threads": result["threads"],
        **result["devices"],
    }
    for name, value in rows.items():
        click.echo(f"{name:16} {value}")


def runs(folder: str, listed: Sequence[Listed]) -> None:
    """A table of runs, a row each."""
    if not listed:
        click.echo(f"no run in {folder}")
        return
    table = Table("run", "data", "shells", "epochs", "best", "validation ELBO", "LL", "state")
    for run in listed:
        epochs = "" if run.epochs is None else f"{run.epochs}/{run.most_epochs}"
        best = "" if run.best_epoch is None else str(run.best_epoch)
        elbo, ll = ("" if x is None else f"{x:.2f}" for x in (run.validation_elbo, run.ll))
        state = run.state if run.damage is None else f"{run.state}: {run.damage}"
        cells = (run.name, run.data or "", run.shells or "", epochs, best, elbo, ll, state)
        table.add_row(*map(escape, cells))
    console = Console()
    if not console.is_terminal:
        console = Console(width=_WIDTH)
    console.print(table, highlight=False)


def run(result: dict[str, Any]) -> None:
    """What a run is."""
    best = result["best_epoch"]
    elbo = result["validation_elbo"]
    lines = {
        "run": result["run"],
        "state": result["state"],
        "trained": f"{result['epochs']} epochs of at most {result['config']['epochs']}",
        "best epoch": "none yet" if best is None else f"{best}: validation ELBO {_nats(elbo)}",
        "rows": _row_of_data(result["data"]),
        "parameters": _counted(result["parameters"]),
    }
    for name, value in lines.items():
        click.echo(f"{name:18} {value}")
    for name, value in result["config"].items():
        shown = ",".join(map(str, value)) if isinstance(value, list) else value
        click.echo(f"{name:18} {'not given' if shown is None else shown}")
    for document in result["evaluations"]:
        click.echo(_evaluation(document))


def _row_of_data(data: dict[str, Any] | None) -> str:
    if data is None:
        return _UNKNOWN
    told = f", told of {', '.join(data['covariates'])}" if "covariates" in data else ""
    return f"{' x '.join(map(str, data['shape']))}, {data['kind']}{told}"


def _counted(parameters: dict[str, int] | None) -> str:
    if parameters is None:
        return _UNKNOWN
    return ", ".join(f"{name} {count}" for name, count in parameters.items())


def _evaluation(document: dict[str, Any]) -> str:
    if "damage" in document:
        return f"{'evaluation':18} {document['damage']}"
    return (
        f"{'evaluation':18} {document['split']}: LL {document['ll']:.2f} "
        f"({document['iw_samples']} samples, seed {document['seed']})"
    )


def _figures(means: dict[str, Any]) -> str:
    return f"ELBO {means['elbo']:.2f} RE {means['re']:.2f} KL {means['kl']:.2f}"


def sheets(sheets: Sequence[layout.Sheet], notes: Sequence[str], form: str) -> None:
    """Tables in one of `layout.FORMATS`, and what they must not be read without."""
    parts = ["\n".join(layout.FORMATS[form](sheet)) for sheet in sheets]
    click.echo("\n\n".join(parts))
    if notes and form == "csv":
        click.echo("\n".join(notes), err=True)
    elif notes:
        before = "% " if form == "latex" else ""
        click.echo("\n" + "\n".join(f"{before}{note}" for note in notes))
