"""Figures as bytes, the same bytes from the same figure, and their files."""

import io
import re
from pathlib import Path
from typing import NamedTuple

from matplotlib.figure import Figure

from hvae import files

DPI = 120
_METADATA = ("Date", "Creator", "Format", "Type")  # all that there is
_DOCTYPE = re.compile(rb"<!DOCTYPE[^>]*>\n")  # an address, and nothing that a viewer needs
_FONT = b"'DejaVu Sans'"
_FONTS = b"'DejaVu Sans', Verdana, sans-serif"  # Verdana is as wide, and there on more machines


class Drawing(NamedTuple):
    """A figure as PNG and as SVG."""

    png: bytes
    svg: bytes


def drawing(figure: Figure) -> Drawing:
    """Both, without dates and names of programs; names within the SVG are by `svg.hashsalt`."""
    png, svg = io.BytesIO(), io.BytesIO()
    figure.savefig(
        png, format="png", dpi=DPI, metadata={"Software": None}, pil_kwargs={"optimize": True}
    )
    figure.set_layout_engine("none")  # it has placed everything
    figure.savefig(svg, format="svg", dpi=DPI, metadata=dict.fromkeys(_METADATA))
    return Drawing(png.getvalue(), _DOCTYPE.sub(b"", svg.getvalue().replace(_FONT, _FONTS)))


def write(drawn: Drawing, folder: Path, name: str) -> list[Path]:
    """NAME.png and NAME.svg in a folder that is there; earlier ones of that name are replaced."""
    written = []
    for suffix, content in ((".png", drawn.png), (".svg", drawn.svg)):
        files.write_bytes(folder / f"{name}{suffix}", content)
        written.append(folder / f"{name}{suffix}")
    return written
