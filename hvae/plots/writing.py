"""Figures as bytes, the same bytes from the same figure, and their files."""

import io
from pathlib import Path

from matplotlib.figure import Figure

from hvae import files

DPI = 150


def png(figure: Figure) -> bytes:
    """Without the name of the program that wrote it."""
    buffer = io.BytesIO()
    options = {"optimize": True}
    figure.savefig(
        buffer, format="png", dpi=DPI, metadata={"Software": None}, pil_kwargs=options
    )
    return buffer.getvalue()


def svg(figure: Figure) -> bytes:
    """Without a date; what has names of its own in the file has them by `svg.hashsalt`."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="svg", dpi=DPI, metadata={"Date": None, "Creator": None})
    return buffer.getvalue()


def write(figure: Figure, folder: Path, name: str) -> list[Path]:
    """NAME.png and NAME.svg in a folder that is there; earlier ones of that name are replaced."""
    written = []
    for suffix, content in ((".png", png(figure)), (".svg", svg(figure))):
        files.write_bytes(folder / f"{name}{suffix}", content)
        written.append(folder / f"{name}{suffix}")
    return written
