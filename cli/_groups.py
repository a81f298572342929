"""Options under headings in a command's help text."""

from collections.abc import Sequence
from typing import Any

import click


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
