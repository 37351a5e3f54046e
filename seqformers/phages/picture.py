"""A contig drawn: the scores of its windows, and the regions that look like phage."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from seqformers.phages.detector import CLASSES, ContigScore
from seqformers.phages.regions import Region

__all__ = ["draw_contig"]

_COLOURS = {"host": "#b8bcc4", "plasmid": "#8fb996", "virus": "#e0a458", "phage": "#3b6fb6"}


def draw_contig(contig: ContigScore, called: str, regions: Sequence[Region] = ()) -> Figure:
    """Stacked class scores along a contig, with its phage regions as bars above.

    Args:
        contig (`ContigScore`): As scored.
        called (`str`): Its class, for the title.
        regions (sequence of `Region`): What the bars show.
    """
    scores = contig.windows
    shares = {
        "phage": scores[:, CLASSES.index("phage")], "virus": scores[:, CLASSES.index("virus")],
        "plasmid": scores[:, CLASSES.index("plasmid")], "host": scores[:, :2].sum(axis=1),
    }  # fmt: skip
    edges = np.append(contig.bounds[:, 0], contig.bounds[-1, 1]) / 1000
    figure = Figure(figsize=(9, 2.8), layout="constrained")
    axes = figure.add_subplot()
    below = np.zeros(len(scores))
    for name, share in shares.items():
        axes.stairs(below + share, edges, baseline=below, fill=True, color=_COLOURS[name], label=name)
        below = below + share
    for region in regions:
        axes.plot([region.start / 1000, region.end / 1000], [1.05, 1.05], color="black", linewidth=3, clip_on=False)
    axes.set(xlim=(0, edges[-1]), ylim=(0, 1.1), yticks=[0, 0.5, 1], xlabel="kb", ylabel="score of window")
    axes.set_title(f"{contig.id}: {called}, {len(contig.sequence):,} nt", fontsize=10)
    axes.legend(loc="center left", bbox_to_anchor=(1.01, 0.5), frameon=False)
    return figure
