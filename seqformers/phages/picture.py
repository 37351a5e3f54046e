"""Contigs drawn: the scores of their windows, and the regions that look like phage."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

__all__ = ["draw_contig", "draw_contigs"]

# Light to dark in this order, so that the classes differ in print and to the colour-blind, too.
_COLOURS = {"host": "#d9d9d9", "plasmid": "#56b4e9", "virus": "#e69f00", "phage": "#0072b2"}
_LONGEST_NAME = 60


def draw_contig(contig: Any, called: str, regions: Sequence[Any] = ()) -> Figure:
    """Stacked class scores along a contig, with its phage regions as bars above.

    Args:
        contig (`ContigScore`): As scored.
        called (`str`): Its class, for the title.
        regions (sequence of `Region`): What the bars show.
    """
    return draw_contigs([(contig, called, regions)])


def draw_contigs(contigs: Sequence[tuple[Any, str, Sequence[Any]]]) -> Figure:
    """`draw_contig` of several, below each other.

    Args:
        contigs (sequence of tuples): Contig, its class and its regions; at least one.
    """
    figure = Figure(figsize=(9, 0.4 + 2.4 * len(contigs)), layout="constrained")
    panels = figure.subplots(len(contigs), 1, squeeze=False)[:, 0]
    for axes, (contig, called, regions) in zip(panels, contigs, strict=True):
        _draw(axes, contig, called, regions)
    panels[0].legend(loc="center left", bbox_to_anchor=(1.01, 0.5), frameon=False)
    panels[-1].set_xlabel("kb")
    return figure


def _draw(axes: Axes, contig: Any, called: str, regions: Sequence[Any]) -> None:
    edges = np.append(contig.bounds[:, 0], contig.bounds[-1, 1]) / 1000
    below = np.zeros(len(contig.windows))
    for name, share in contig.shares.items():
        axes.stairs(below + share, edges, baseline=below, fill=True, color=_COLOURS[name], label=name)
        below = below + share
    for region in regions:
        axes.plot([region.start / 1000, region.end / 1000], [1.05, 1.05], color="black", linewidth=3, clip_on=False)
    axes.set(xlim=(0, max(edges[-1], 1e-3)), ylim=(0, 1.1), yticks=[0, 0.5, 1], ylabel="score of window")
    name = contig.id if len(contig.id) <= _LONGEST_NAME else f"{contig.id[:_LONGEST_NAME]}\u2026"
    title = axes.set_title(f"{name}: {called}, {contig.bounds[-1, 1]:,} nt", fontsize=10)
    title.set_parse_math(False)  # a $ in a name begins no formula
