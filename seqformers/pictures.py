"""The one way pictures reach the disk: names of the user's are text, never formulas, and never too long."""

from __future__ import annotations

import warnings
from pathlib import Path

from matplotlib.figure import Figure
from matplotlib.text import Text

__all__ = ["save_picture"]

_LONGEST = 80


def save_picture(figure: Figure, path: str | Path, *, dpi: int = 120) -> Path:
    """Save a figure; its titles, labels and legends are drawn letter by letter, and shortened in the middle.

    A `$` in an id would be read as the start of a formula, and an id of 300 letters leaves no room for the picture.

    Args:
        figure (`matplotlib.figure.Figure`): What to save.
        path (`str` or `Path`): `.png`, `.svg` or `.pdf`.
        dpi (`int`, defaults to 120): Dots an inch.

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
        figure.savefig(path, dpi=dpi)
    return Path(path)


def _shortened(line: str) -> str:
    half = _LONGEST // 2
    return line if len(line) <= _LONGEST else f"{line[: half - 1]}\u2026{line[-half:]}"
