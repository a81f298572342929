"""The picture of a study: LL against the number of shells."""

import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from hvae import files
from hvae.errors import Refused
from hvae.extras import require
from hvae.studies import paper
from hvae.studies.table import Row, gather, settings_that_differ

if TYPE_CHECKING:
    from hvae.plots.ll_by_shells import Panel, Point

NAME = "ll-by-shells"
FOLDER = "plots"
_MOST = 6  # panels


def plot_study(
    folder: str | os.PathLike[str], out: str | os.PathLike[str] | None = None
) -> list[Path]:
    """Draw ll-by-shells.png and .svg of a study; earlier ones are replaced.

    Args:
        folder: of the study, or one that holds runs.
        out: where the files go; None is `plots` in the folder.

    Returns:
        the files.

    Raises:
        Refused: nothing of it is evaluated, or it has too many settings for one picture.
        EnvironmentProblem: matplotlib is not installed, or the disk failed.
    """
    require("matplotlib", extra="plots")
    from hvae.plots.ll_by_shells import draw
    from hvae.plots.style import style
    from hvae.plots.writing import drawing, write

    found = gather([Path(folder)])
    rows = [row for row in found.rows if row.kind and row.spread("ll")]
    if not rows:
        raise Refused(
            f"{folder}: no balanced, leveled or unbalanced break-up in it is evaluated; allowed: a "
            "study that has come further"
        )
    chosen = [key for document in found.choices for key in document["select"]]
    panels = _panels(rows, chosen)
    if len(panels) > _MOST:
        raise Refused(f"{folder} has {len(panels)} settings; allowed: {_MOST} in one picture")
    guess = paper.GUESS if any(row.paper for row in rows) else ""
    path = Path(out) if out is not None else Path(folder) / FOLDER
    with files.writing(path):
        path.mkdir(parents=True, exist_ok=True)
    with style():
        return write(drawing(draw(panels, _samples(rows), guess)), path, NAME)


def _panels(rows: Sequence[Row], chosen: Sequence[str]) -> list["Panel"]:
    """One for every setting; what validation has chosen for each composition makes no other."""
    from hvae.plots.ll_by_shells import Panel

    found: dict[str, list[Row]] = {}
    differing = settings_that_differ(rows, chosen)
    for row, settings in zip(rows, differing, strict=True):
        found.setdefault(", ".join([row.settings["dataset"], *settings]), []).append(row)
    return [Panel(title, tuple(_points(own))) for title, own in found.items()]


def _points(rows: Sequence[Row]) -> list["Point"]:
    from hvae.plots.ll_by_shells import Point

    points = []
    for row in rows:
        spread = row.spread("ll")
        assert spread is not None and row.kind is not None
        printed = None if row.paper is None else row.paper.ll
        apart = not _keeps(row, rows)
        count = len(row.sizes)
        points.append(Point(row.kind, count, apart, spread.mean, spread.deviation, printed))
    return points


def _keeps(row: Row, rows: Sequence[Row]) -> bool:
    """Whether it has the ambient size, or the degrees of freedom, that most of the rows have."""
    sizes = Counter(sum(one.sizes) for one in rows)
    freedom = Counter(sum(one.sizes) - len(one.sizes) for one in rows)
    (size, of_size), (free, of_free) = sizes.most_common(1)[0], freedom.most_common(1)[0]
    if of_size >= of_free:
        return sum(row.sizes) == size
    return sum(row.sizes) - len(row.sizes) == free


def _samples(rows: Sequence[Row]) -> str:
    counts = sorted({row.group.samples for row in rows if row.group and row.group.samples})
    return f"{' or '.join(map(str, counts))} importance samples"
