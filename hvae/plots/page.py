"""One page with all pictures in it, and globes that turn: it asks no network for anything."""

import base64
import html
import json
from collections.abc import Sequence
from importlib import resources
from string import Template
from typing import Any, NamedTuple

from hvae.plots import style
from hvae.plots.view import Part, RunView

_GLOBES = 6
_UNIT = 1000  # coordinates are integers, to a thousandth of the radius


class Shown(NamedTuple):
    """A picture of the page: its name, title and caption, and the SVG."""

    name: str
    title: str
    caption: str
    svg: bytes


def page(view: RunView, pictures: Sequence[Shown]) -> str:
    """HTML. Texts of the run and of its data are escaped wherever they stand."""
    parts = resources.files("hvae.plots")
    template = Template(parts.joinpath("page.html").read_text("utf-8"))
    globes = view.most_used(view.spheres, _GLOBES)
    return template.substitute(
        title=html.escape(view.name),
        facts="".join(_fact(name, text) for name, text in view.facts.items()),
        globes=_globes(view, globes),
        pictures="".join(_figure(picture) for picture in pictures),
        points=_embedded(_points(view, globes)),
        script=parts.joinpath("globe.js").read_text("utf-8") if globes else "",
    )


def _fact(name: str, text: str) -> str:
    return f"<dt>{html.escape(name)}</dt><dd>{html.escape(text)}</dd>\n"


def _figure(picture: Shown) -> str:
    source = base64.b64encode(picture.svg).decode()
    text = html.escape(f"{picture.title}. {picture.caption}", quote=True)
    return (
        f'<figure id="{html.escape(picture.name, quote=True)}">'
        f'<img src="data:image/svg+xml;base64,{source}" alt="{text}"></figure>\n'
    )


def _globes(view: RunView, globes: Sequence[Part]) -> str:
    if not globes:
        return ""
    canvases = "".join(
        f'<div><h3>{html.escape(style.heading(view, part))}</h3><canvas tabindex="0" '
        f'data-globe="{place}" width="400" height="400" role="img" '
        f'aria-label="Globe of {html.escape(part.name, quote=True)}"></canvas></div>\n'
        for place, part in enumerate(globes)
    )
    note = (
        f"Mean directions of {view.source}; pale: on the far side. To turn: drag, or arrow keys."
        + style.capped(globes, view.spheres, "spheres")
    )
    return (
        f'<section id="globes"><h2>Spheres S², to be turned</h2><p>{html.escape(note)}</p>'
        f'<ul id="legend"></ul><div class="globes">{canvases}</div></section>\n'
    )


def _points(view: RunView, globes: Sequence[Part]) -> dict[str, Any]:
    """What globe.js draws: classes, the class of every row, and the points of every sphere."""
    groups = style.groups(view)
    owner = [0] * len(view.rows)
    for place, group in enumerate(groups):
        for row in group.rows.nonzero()[0].tolist():
            owner[row] = place
    return {
        "classes": [{"name": group.name, "colour": group.colour} for group in groups],
        "owner": owner,
        "spheres": [
            (view.points(part) * _UNIT).round().long().flatten().tolist() for part in globes
        ],
    }


def _embedded(document: dict[str, Any]) -> str:
    """JSON that cannot end the script element it stands in."""
    text = json.dumps(document, separators=(",", ":"))
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")
