"""The one way pictures reach the disk: names of the user's are text, never formulas, and never too long."""

from __future__ import annotations

import warnings
from pathlib import Path

import matplotlib.pyplot as plt
from matplotlib.figure import Figure
from matplotlib.text import Text

__all__ = ["COLOURS", "check_picture", "save_picture"]

# Colours that the colour-blind tell apart (Okabe & Ito 2008), in the order in which pictures here take them.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
_LONGEST = 80
_KINDS = (".png", ".svg", ".pdf")


def check_picture(path: str | Path) -> Path:
    """`path`, if it names a picture that can be drawn, else `ValueError`."""
    path = Path(path)
    if path.suffix.lower() not in _KINDS:
        raise ValueError(f"cannot draw {path.name}: use a name that ends in {', '.join(_KINDS)}")
    return path


def save_picture(figure: Figure, path: str | Path, *, dpi: int = 120, kind: str | None = None) -> Path:
    """Save a figure; its titles, labels and legends are drawn letter by letter, and shortened in the middle.

    A `$` in an id would be read as the start of a formula, and an id of 300 letters leaves no room for the picture.

    Args:
        figure (`matplotlib.figure.Figure`): What to save.
        path (`str` or `Path`): `.png`, `.svg` or `.pdf`.
        dpi (`int`, defaults to 120): Dots an inch.
        kind (`str`, *optional*): `png`, `svg` or `pdf`; by default what the name says.

    Returns:
        `Path`: `path`.
    """
    for text in figure.findobj(Text):
        assert isinstance(text, Text)
        if "\\mathdefault{" in text.get_text():  # a number that matplotlib wrote itself
            continue
        text.set_parse_math(False)
        lines = text.get_text().split("\n")
        text.set_text("\n".join(_shortened(line) for line in lines))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph", category=UserWarning)  # drawn as an empty box
        figure.savefig(path, dpi=dpi, format=kind)
    plt.close(figure)
    return Path(path)


def _shortened(line: str) -> str:
    half = _LONGEST // 2
    return line if len(line) <= _LONGEST else f"{line[: half - 1]}\u2026{line[-half:]}"
