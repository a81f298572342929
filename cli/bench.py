"""`hvae bench`."""

import json
from collections.abc import Sequence
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from hvae.benchmarks import Figure, Settings, Spread, run, sections_on

_WIDTH = 140  # of the table where there is no terminal to ask


@click.command("bench")
@click.option("--quick", is_flag=True, help="Fewer rounds: under half a minute.")
@click.option("--device", default="cpu", show_default=True, help="cpu, cuda or cuda:N.")
@click.option("--threads", type=int, help="CPU threads; torch's own choice if not given.")
@click.option("--json", "as_json", is_flag=True, help="Print the JSON line only.")
def command(quick: bool, device: str, threads: int | None, as_json: bool) -> None:
    """Measure the kernels, a training step and an evaluation against what they replace.

    Everything that is compared takes turns in the same rounds; a ratio is the median over rounds,
    with its quartiles. The last line of the output is one JSON document.

    \b
    hvae bench --quick
    hvae bench --threads 2 --json > bench.json
    hvae bench --device cuda
    """
    settings = Settings.of(quick, device, threads)
    names = [section.NAME for section in sections_on(settings.device)]
    figures, document = run(settings, lambda name: _progress(names, name))
    if not as_json:
        _print(figures, document)
    click.echo(json.dumps(document, allow_nan=False))


def _progress(names: Sequence[str], name: str) -> None:
    click.echo(f"{names.index(name) + 1}/{len(names)} {name}", err=True)


def _print(figures: Sequence[Figure], document: dict[str, Any]) -> None:
    console = Console()
    if not console.is_terminal:
        console = Console(width=_WIDTH)
    machine, versions = document["machine"], document["versions"]
    console.print(
        f"{machine['gpu'] or machine['cpu']}, {machine['cores']} cores, load {machine['load']}, "
        f"{document['threads']} threads, {document['tier']}; "
        + ", ".join(f"{name} {version}" for name, version in versions.items()),
        highlight=False,
    )
    for name, sizes in document["sizes"].items():
        listed = "; ".join(f"{key} {value}" for key, value in sizes.items())
        table = Table(title=f"{name}: {listed}", title_justify="left", title_style="bold")
        for column in ("case", "subject", "time", "against", "its time", "ratio", "target"):
            table.add_column(column)
        for figure in figures:
            if figure.section == name:
                table.add_row(*_row(figure))
        console.print(table, highlight=False)
    targets = document["targets"]
    console.print(f"{len(targets['met'])} of {targets['count']} targets met", highlight=False)


def _row(figure: Figure) -> tuple[str, ...]:
    return (
        figure.case,
        figure.subject,
        f"{figure.time.median:.3g} {figure.unit}",
        figure.baseline,
        f"{figure.baseline_time.median:.3g} {figure.unit}",
        _ratio(figure.measure, figure.ratio),
        _target(figure),
    )


def _ratio(measure: str, ratio: Spread) -> str:
    if measure == "share":
        return f"{ratio.median:.0%} of its bytes/s [{ratio.q1:.0%}, {ratio.q3:.0%}]"
    unit = "x faster" if measure == "speedup" else "x its time"
    return f"{ratio.median:.3g} {unit} [{ratio.q1:.3g}, {ratio.q3:.3g}]"


def _target(figure: Figure) -> str:
    if figure.target is None:
        return ""
    sign = ">=" if figure.target.bound == "at_least" else "<="
    color, word = ("green", "met") if figure.met else ("red", "missed")
    return f"{sign} {figure.target.value:g} [{color}]{word}[/{color}]"
