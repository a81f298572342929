"""LL against the number of shells, for balanced, leveled and unbalanced break-ups."""

from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedFormatter, FixedLocator, NullLocator

from hvae.plots import style

KINDS = ("balanced", "leveled", "unbalanced")
_APART = 0.03  # by what share of its place each kind stands beside the one before
_PANEL = 3.2  # inches


@dataclass(frozen=True)
class Point:
    """A composition.

    Attributes:
        kind: one of `KINDS`.
        count: of shells.
        apart: whether it keeps not what the others of its kind do, and is joined to none.
        mean, deviation: of LL over seeds, nats; no deviation of one seed.
        paper: the paper's LL, None where it has none.
    """

    kind: str
    count: int
    apart: bool
    mean: float
    deviation: float | None
    paper: float | None


@dataclass(frozen=True)
class Panel:
    """The compositions of one data set with one setting.

    Attributes:
        title: says which.
        points: at least one.
    """

    title: str
    points: tuple[Point, ...]


def draw(panels: Sequence[Panel], samples: str, guess: str) -> Figure:
    """A panel for every data set and setting.

    Args:
        panels: at least one.
        samples: how many importance samples LL is by, in words.
        guess: what must be said of the paper's points; "" where there are none.
    """
    caption = (
        f"Test split, {samples}; mean over seeds, bars of one standard deviation. One shell is the "
        f"beginning of every line. A point that stands alone has another ambient size. {guess}"
    ).strip()
    title = "Log-likelihood by the number of shells"
    figure = style.new_figure(1.0 + _PANEL * len(panels), title, caption)
    for axes, panel in zip(figure.subplots(len(panels), squeeze=False)[:, 0], panels, strict=True):
        _panel(axes, panel)
    return figure


def _panel(axes: Axes, panel: Panel) -> None:
    ends = [point for point in panel.points if point.count == 1]
    for place, kind in enumerate(KINDS):
        own = [point for point in panel.points if point.kind == kind and point.count > 1]
        if own:
            _kind(axes, kind, place, sorted([*ends, *own], key=lambda point: point.count))
    if not axes.get_lines():  # one shell alone
        _kind(axes, KINDS[0], 0, ends)
    counts = sorted({point.count for point in panel.points})
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(FixedLocator(counts))
    axes.xaxis.set_major_formatter(FixedFormatter(list(map(str, counts))))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xlabel("shells")
    axes.set_ylabel("LL, nats")
    axes.set_title(panel.title)
    axes.grid(True, axis="y", linewidth=0.5)
    axes.legend(loc="best")


def _kind(axes: Axes, kind: str, place: int, points: Sequence[Point]) -> None:
    colour, marker = style.COLOURS[place], style.MARKERS[place]
    for apart, line in ((False, "-"), (True, "none")):
        own = [point for point in points if point.apart is apart]
        if own:
            axes.errorbar(
                [point.count * (1 + _APART * place) for point in own],
                [point.mean for point in own],
                [point.deviation or 0.0 for point in own],
                color=colour,
                marker=marker,
                linestyle=line,
                linewidth=1.4,
                markersize=5,
                capsize=3,
                label=None if apart else kind,
            )
    paper = [point for point in points if point.paper is not None]
    if paper:
        axes.plot(
            [point.count * (1 + _APART * place) for point in paper],
            [point.paper for point in paper if point.paper is not None],
            color=colour,
            marker=marker,
            markerfacecolor="white",
            linestyle=":",
            linewidth=1.0,
            markersize=5,
            label=f"{kind}, paper",
        )
