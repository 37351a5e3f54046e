"""A picture of one annotated protein: probabilities along it, topology and secondary structure as bands."""

from __future__ import annotations

from itertools import groupby
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

__all__ = ["draw_annotation"]

# Colours that stay apart for colour-blind readers (Okabe and Ito).
_TOPOLOGY = {"i": "#56B4E9", "o": "#E69F00", "M": "#000000", "S": "#CC79A7"}
_STRUCTURE = {"H": "#D55E00", "E": "#0072B2", "C": "#BBBBBB"}
_SAID = {
    "i": "inside", "o": "outside", "M": "membrane", "S": "signal peptide", "H": "helix", "E": "strand", "C": "coil",
}  # fmt: skip
_POINTS = 4000


def draw_annotation(annotation: Any, *, title: str = "") -> Figure:
    """Draw membrane and signal probabilities, the topology, and the secondary structure of a protein.

    Args:
        annotation (`ProteinAnnotation`): Of a protein with at least one residue.
        title (`str`): Above the picture, before the probability of a signal peptide.

    Returns:
        `matplotlib.figure.Figure`
    """
    length = len(annotation.topology)
    figure = Figure(figsize=(10, 4.6), layout="constrained")
    upper, middle, lower = figure.subplots(3, 1, sharex=True, height_ratios=[3, 1, 2])
    every = max(1, length // _POINTS)
    place = np.arange(1, length + 1)[::every]
    for column, kind in ((2, "M"), (3, "S")):
        chance = annotation.topology_probabilities[::every, column]
        upper.plot(place, chance, color=_TOPOLOGY[kind], label=_SAID[kind], linewidth=1.2)
    upper.set_ylabel("probability")
    upper.set_ylim(0, 1.02)
    upper.legend(loc="upper right", frameon=False, ncols=2)
    _bands(middle, annotation.topology, _TOPOLOGY)
    middle.set_ylabel("topology", rotation=0, ha="right", va="center")
    lower.stackplot(
        place,
        annotation.structure_probabilities[::every].T,
        colors=[_STRUCTURE[state] for state in _STRUCTURE],
        labels=[_SAID[state] for state in _STRUCTURE],
    )
    lower.set_ylabel("secondary\nstructure")
    lower.set_ylim(0, 1)
    lower.set_xlim(0.5, length + 0.5)
    lower.set_xlabel("residue")
    lower.legend(loc="upper right", ncols=3, framealpha=0.8)
    end = annotation.signal_end
    signal = f"signal peptide {annotation.signal_probability:.2f}" + (f", to residue {end}" if end else "")
    helices = annotation.num_membrane
    figure.suptitle(f"{title}\n{signal}; {helices} membrane {'helix' if helices == 1 else 'helices'}".strip())
    return figure


def _bands(axes: Axes, letters: str, colours: dict[str, str]) -> None:
    start, drawn = 0, set()
    for letter, run in groupby(letters):
        end = start + sum(1 for _ in run)
        label = None if letter in drawn else _SAID[letter]
        axes.axvspan(start + 0.5, end + 0.5, color=colours[letter], linewidth=0, label=label)
        drawn.add(letter)
        start = end
    axes.set_yticks([])
    axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False, fontsize="small")
