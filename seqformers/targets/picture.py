"""The drawing of scored target sites. It needs matplotlib alone, so that a Space can take this file along."""

from __future__ import annotations

from typing import Any

from matplotlib.figure import Figure

__all__ = ["draw_target_sites"]

# Canonical types in order of strength; colours of Okabe and Ito, told apart by the colour-blind.
_COLOURS = {
    "8mer": "#D55E00",
    "7mer-m8": "#E69F00",
    "7mer-A1": "#009E73",
    "6mer": "#0072B2",
    "non-canonical": "#999999",
}


def draw_target_sites(scored: Any, mirna: str, mrna: str, *, title: str = "", threshold: float = 0.5) -> Figure:
    """Draw the score of every candidate site at its place on the mRNA, and the best one's pairing.

    Args:
        scored: Has `score`, `num_sites`, `start` and `alignment` of the best site, and `sites`: a list of start,
            score, pairings, canonical type and alignment; a `ScoredPair`, for example.
        mirna (`str`): Mature miRNA, 5'->3'.
        mrna (`str`): mRNA, 5'->3'.
        title (`str`): Above the picture.
        threshold (`float`): Where the dashed line stands.

    Returns:
        `matplotlib.figure.Figure`.
    """
    figure = Figure(figsize=(9, 4.2), layout="constrained")
    sites, text = figure.subplots(2, 1, height_ratios=(3, 1))
    for kind in reversed(_COLOURS):  # canonical sites on top
        mine = [(start + 30, score) for start, score, _, found, _ in scored.sites if found == kind]
        if mine:  # at the middle of the ten bases opposite the extended seed
            middles, scores = zip(*mine, strict=True)
            if kind != "non-canonical":  # hundreds of stems would hide the few that matter
                sites.vlines(middles, 0, scores, color=_COLOURS[kind], linewidth=0.8, alpha=0.5)
            sites.scatter(
                middles, scores, s=14 if kind != "non-canonical" else 5, color=_COLOURS[kind], label=kind, zorder=3
            )
    sites.axhline(threshold, color="black", linestyle="--", linewidth=0.8)
    sites.set(xlim=(0, max(len(mrna), 40)), ylim=(0, 1.18), yticks=(0, 0.25, 0.5, 0.75, 1))
    sites.set(ylabel="site score", xlabel="position on the mRNA (nt, 5'→3')")
    sites.set_title(f"{title + ': ' if title else ''}score {scored.score:.3f}, {scored.num_sites} candidate sites")
    if scored.num_sites:
        sites.legend(loc="upper right", fontsize=7, ncols=len(_COLOURS))
    text.axis("off")
    text.text(0.5, 0.5, _pairing(scored, mirna, mrna), family="monospace", ha="center", va="center", ma="left")
    return figure


def _pairing(scored: Any, mirna: str, mrna: str) -> str:
    """The best site in the usual three lines: mRNA 5'->3' above, miRNA 3'->5' below."""
    if not scored.num_sites:
        return "no candidate site"
    top, marks, bottom = (track[::-1] for track in scored.alignment.split("/"))
    start = scored.start
    upstream, downstream = mrna[start : start + 25], mrna[start + 35 : start + 40]
    tail = mirna[10:][::-1].rjust(25)
    return "\n".join(
        [
            f"{start + 1:>6} 5' {upstream}{bottom}{downstream} 3' {start + 40}",
            f"          {' ' * 25}{marks.replace('.', ' ')}{' ' * 5}   ",
            f"miRNA  3' {tail}{top}{' ' * 5} 5'",
        ]
    )
