"""A table of figures in the formats that people paste elsewhere: text, Markdown, CSV, LaTeX."""

import csv
import io
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass

MISSING = "-"
_LATEX = {c: f"\\{c}" for c in "&%$#_{}"} | {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "±": r"$\pm$",
}


@dataclass(frozen=True)
class Spread:
    """A figure over seeds, nats.

    Attributes:
        values: one a seed, at least one.
    """

    values: tuple[float, ...]

    @property
    def mean(self) -> float:
        return statistics.mean(self.values)

    @property
    def deviation(self) -> float | None:
        """The standard deviation (n - 1); None of one seed."""
        return statistics.stdev(self.values) if len(self.values) > 1 else None

    def __str__(self) -> str:
        deviation = "" if self.deviation is None else f" ± {self.deviation:.2f}"
        return f"{self.mean:.2f}{deviation}"


Cell = str | int | float | Spread | None


@dataclass(frozen=True)
class Sheet:
    """A table.

    Attributes:
        title: one line, "" for none.
        columns: their heads.
        rows: a cell a column; None is what is not there.
    """

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]


def text_of(cell: Cell) -> str:
    """A cell for people: numbers with two decimals."""
    if cell is None:
        return MISSING
    return f"{cell:.2f}" if isinstance(cell, float) else str(cell)


def text(sheet: Sheet) -> list[str]:
    """Columns that are aligned, numbers to the right."""
    cells = [sheet.columns, *(tuple(map(text_of, row)) for row in sheet.rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    right = [_is_numeric(sheet, place) for place in range(len(sheet.columns))]
    lines = [
        "  ".join(
            cell.rjust(width) if to_right else cell.ljust(width)
            for cell, width, to_right in zip(row, widths, right, strict=True)
        ).rstrip()
        for row in cells
    ]
    rule = "  ".join("-" * width for width in widths)
    return [*_titled(sheet), lines[0], rule, *lines[1:]]


def markdown(sheet: Sheet) -> list[str]:
    """As GitHub reads it."""
    rows = [sheet.columns, *(tuple(map(text_of, row)) for row in sheet.rows)]
    lines = ["| " + " | ".join(c.replace("|", "\\|") for c in cells) + " |" for cells in rows]
    return [*_titled(sheet), lines[0], "|" + "---|" * len(sheet.columns), *lines[1:]]


def comma_separated(sheet: Sheet) -> list[str]:
    """CSV with all digits; the standard deviation over seeds has a column of its own."""
    spread = [any(isinstance(row[i], Spread) for row in sheet.rows) for i in range(_width(sheet))]
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    heads = zip(sheet.columns, spread, strict=True)
    writer.writerow([h for head, both in heads for h in ([head, f"{head} sd"] if both else [head])])
    for row in sheet.rows:
        cells = zip(row, spread, strict=True)
        writer.writerow([value for cell, both in cells for value in _values(cell, both)])
    return out.getvalue().splitlines()


def latex(sheet: Sheet) -> list[str]:
    """A tabular with the rules of booktabs."""
    ends = "".join("r" if _is_numeric(sheet, i) else "l" for i in range(_width(sheet)))
    rows = [" & ".join(map(_escaped, map(text_of, row))) + r" \\" for row in sheet.rows]
    head = " & ".join(map(_escaped, sheet.columns)) + r" \\"
    return [
        *_titled(sheet, "% "),
        rf"\begin{{tabular}}{{{ends}}}",
        r"\toprule",
        head,
        r"\midrule",
        *rows,
        r"\bottomrule",
        r"\end{tabular}",
    ]


FORMATS: dict[str, Callable[[Sheet], list[str]]] = {
    "text": text,
    "markdown": markdown,
    "csv": comma_separated,
    "latex": latex,
}


def _width(sheet: Sheet) -> int:
    return len(sheet.columns)


def _titled(sheet: Sheet, before: str = "") -> Sequence[str]:
    return [f"{before}{sheet.title}", ""] if sheet.title else []


def _is_numeric(sheet: Sheet, place: int) -> bool:
    """Whether a column has figures, be there words among them or not."""
    return any(isinstance(row[place], int | float | Spread) for row in sheet.rows)


def _values(cell: Cell, both: bool) -> list[object]:
    if not isinstance(cell, Spread):
        value: object = "" if cell is None else cell
        return [value, ""] if both else [value]
    return [repr(cell.mean), "" if cell.deviation is None else repr(cell.deviation)]


def _escaped(value: str) -> str:
    negative = value.startswith("-") and value != MISSING and value[1:2].isdigit()
    shown = "".join(_LATEX.get(character, character) for character in value)
    return f"$-${shown[1:]}" if negative else shown
