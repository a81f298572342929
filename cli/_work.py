"""The options that the commands on a run and a file share."""

from collections.abc import Callable
from typing import Any, TypeVar

import click

from hvae.evaluation.of_file import Work

from . import _show as show

Decorated = TypeVar("Decorated", bound=Callable[..., Any])

_OPTIONS = (
    click.option("--force", is_flag=True, help="Replace the file --out if it is there."),
    click.option("--device", default="cpu", show_default=True, help="cpu, cuda or cuda:N."),
    click.option("--threads", type=int, help="CPU threads; torch's own choice if not given."),
    click.option("--data-dir", metavar="FOLDER", help="As in train; the run's own if not given."),
    click.option("--json", "as_json", is_flag=True, help="Print one JSON document, a summary."),
    click.option("--quiet", is_flag=True, help="Show no progress."),
)


def options(command: Decorated) -> Decorated:
    """The options of `work`, `--json` and `--quiet`."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def work(reporter: show.Reporter, given: dict[str, Any]) -> Work:
    """How to work, from the options that were given; they are taken out of `given`."""
    own = {name: given.pop(name) for name in ("force", "device", "threads", "data_dir")}
    return Work(observer=reporter, **own)
