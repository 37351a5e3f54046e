"""The drawing of scored target sites. It needs matplotlib alone, so that a Space can take this file along."""

from __future__ import annotations

from typing import Any

from matplotlib.figure import Figure

__all__ = ["draw_target_sites"]

_LONGEST_TITLE = 90
# Canonical types in order of strength; colours of Okabe and Ito, told apart by the colour-blind.
_COLOURS = {
    "8mer": "#D55E00",
    "7mer-m8": "#E69F00",
    "7mer-A1": "#009E73",
    "6mer": "#0072B2",
    "non-canonical": "#999999",
}


def draw_target_sites(
    scored: Any, mirna: str, mrna: str, *, title: str = "", threshold: float | None = None, duplex: Any = None
) -> Figure:
    """Draw the score of every site at its place on the mRNA, and the best one's pairing.

    Args:
        scored: Has `score`, `num_sites`, `best` and `sites` (a list), a site being its start, end, score, pairings,
            canonical type, alignment and the start of its window; a `ScoredPair`, for example.
        mirna (`str`): Mature miRNA, 5'->3'.
        mrna (`str`): mRNA, 5'->3'.
        title (`str`): Above the picture.
        threshold (`float`, *optional*): Where a dashed line stands.
        duplex (*optional*): Of a model that reads the pairing matrix: has `lines`, the best site's duplex in text,
            `letters`, the stretch of mRNA, `first`, its first nucleotide counted from 1, and `added`, what each pair
            of the miRNA with it adds to the site's logit, `(m, len(letters))`.

    Returns:
        `matplotlib.figure.Figure`.
    """
    figure = Figure(figsize=(9, 4.2 if duplex is None else 8.2), layout="constrained")
    if duplex is None:
        sites, text = figure.subplots(2, 1, height_ratios=(3, 1))
    else:
        sites, matrix, text = figure.subplots(3, 1, height_ratios=(3, 4, 1))
        _draw_matrix(figure, matrix, mirna, duplex)
    for kind in reversed(_COLOURS):  # canonical sites on top
        mine = [((start + end) / 2, score) for start, end, score, _, found, *_ in scored.sites if found == kind]
        if mine:
            middles, scores = zip(*mine, strict=True)
            if kind != "non-canonical":  # hundreds of stems would hide the few that matter
                sites.vlines(middles, 0, scores, color=_COLOURS[kind], linewidth=0.8, alpha=0.5)
            sites.scatter(
                middles, scores, s=14 if kind != "non-canonical" else 5, color=_COLOURS[kind], label=kind, zorder=3
            )
    if threshold is not None:
        sites.axhline(threshold, color="black", linestyle="--", linewidth=0.8)
    sites.set(xlim=(0, max(len(mrna), 40)), ylim=(0, 1.18), yticks=(0, 0.25, 0.5, 0.75, 1))
    sites.set(ylabel="site score", xlabel="position on the mRNA (nt, 5'→3')")
    title = title if len(title) <= _LONGEST_TITLE else title[: _LONGEST_TITLE - 3] + "..."
    title = f"{title + ': ' if title else ''}score {scored.score:.3f}, {scored.num_sites} sites"
    sites.set_title(title, parse_math=False)
    if scored.num_sites:
        sites.legend(loc="upper right", fontsize=7, ncols=len(_COLOURS))
    text.axis("off")
    pairing = _pairing(scored, mirna, mrna) if duplex is None else "\n".join(duplex.lines)
    text.text(0.5, 0.5, pairing, family="monospace", ha="center", va="center", ma="left")
    return figure


def _draw_matrix(figure: Figure, axes: Any, mirna: str, duplex: Any) -> None:
    """What each pair adds: the miRNA from below, 5' to 3', the mRNA from the left; a duplex is a falling diagonal."""
    added = duplex.added
    most = max(float(abs(added).max()), 1e-6)
    image = axes.imshow(added, cmap="RdBu_r", vmin=-most, vmax=most, origin="lower", aspect="auto")
    axes.set_xticks(range(added.shape[1]), list(duplex.letters), fontsize=7)
    axes.set_yticks(range(added.shape[0]), list(mirna[: added.shape[0]]), fontsize=7)
    axes.set(xlabel=f"best site, nt {duplex.first} on of the mRNA (5'→3')", ylabel="miRNA (5'→3')")
    figure.colorbar(image, ax=axes, label="adds to the site's logit")


def _pairing(scored: Any, mirna: str, mrna: str) -> str:
    """The best site in the usual three lines: mRNA 5'->3' above, miRNA 3'->5' below."""
    if not scored.num_sites:
        return "no candidate site"
    top, marks, bottom = (track[::-1] for track in scored.best[5].split("/"))
    start = scored.best[6]

    def letters(begin: int, end: int) -> str:
        return "".join(mrna[i] if 0 <= i < len(mrna) else " " for i in range(begin, end))

    tail = mirna[10:][::-1].rjust(25)
    first, last = max(start, 0) + 1, min(start + 40, len(mrna))
    return "\n".join(
        [
            f"{first:>6} 5' {letters(start, start + 25)}{bottom}{letters(start + 35, start + 40)} 3' {last}",
            f"          {' ' * 25}{marks.replace('.', ' ')}{' ' * 5}   ",
            f"miRNA  3' {tail}{top}{' ' * 5} 5'",
        ]
    )
