"""The settings of a run as options of a command, under headings in its help text."""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import click

from hvae.runs.config import TrainConfig, options

Decorated = TypeVar("Decorated", bound=Callable[..., Any])


def run_settings(*names: str) -> Callable[[Decorated], Decorated]:
    """An option for every field of `TrainConfig` that is named, in their order; none: for all."""

    def decorate(command: Decorated) -> Decorated:
        for name, declared in reversed(options().items()):
            if not names or name in names:
                default = getattr(TrainConfig, name)
                default = None if default == () else default
                command = click.option(
                    f"--{name.replace('_', '-')}",
                    default=default,
                    show_default=default is not None,
                    help=declared.help(),
                    metavar=declared.metavar,
                    cls=GroupedOption,
                    group=declared.group,
                    multiple=declared.repeatable,
                )(command)
        return command

    return decorate


class GroupedOption(click.Option):
    """An option that knows its heading.

    Args:
        group: the heading; empty for what stands under "Options".
    """

    def __init__(self, *arguments: Any, group: str = "", **more: Any) -> None:
        super().__init__(*arguments, **more)
        self.group = group


class GroupedCommand(click.Command):
    """A command whose help text has a heading for every group, in the order of its options."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        rows: dict[str, list[tuple[str, str]]] = {}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if record is not None:
                rows.setdefault(getattr(parameter, "group", ""), []).append(record)
        for group in _plain_last(list(rows)):
            with formatter.section(group or "Options"):
                formatter.write_dl(rows[group])


def _plain_last(groups: Sequence[str]) -> list[str]:
    return sorted(groups, key=lambda group: group == "")
