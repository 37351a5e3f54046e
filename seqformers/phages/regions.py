"""Where in a contig: stretches of high phage scores, and repeats at its ends."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

__all__ = ["Region", "phage_regions", "terminal_repeat"]

_SHORTEST_REGION = 2  # windows
_SHORTEST_REPEAT, _LONGEST_REPEAT = 20, 20_000  # nt
_COMPLEMENT = str.maketrans("ACGTUacgtu", "TGCAAtgcaa")


@dataclass(frozen=True)
class Region:
    """A stretch of a contig.

    Args:
        start (`int`), end (`int`): 0-based, half-open.
        score (`float`): Mean phage score of its windows.
        kind (`str`): `provirus` inside a chromosome or plasmid, `phage` elsewhere.
    """

    start: int
    end: int
    score: float
    kind: str


def phage_regions(contig: Any, least: float = 0.5) -> list[Region]:
    """Runs of windows whose phage score is at least `least`; one weaker window inside a run is passed over.

    Args:
        contig (`ContigScore`): As scored.
        least (`float`): 0 to 1. A run has two windows or more, unless it is the whole contig.
    """
    if contig.scores is None:
        return []
    phage = contig.phage
    high = np.flatnonzero(phage >= least)
    kind = "phage" if contig.called in ("phage", "virus") else "provirus"
    found = []
    for run in np.split(high, np.flatnonzero(np.diff(high) > 2) + 1):
        if len(run) >= min(_SHORTEST_REGION, len(phage)) and len(run):
            first, last = int(run[0]), int(run[-1])
            score = float(phage[first : last + 1].mean())
            found.append(Region(int(contig.bounds[first, 0]), int(contig.bounds[last, 1]), score, kind))
    return found


def terminal_repeat(sequence: str) -> tuple[str, int]:
    """What both ends of a contig share: `("direct", n)`, `("inverted", n)` or `("", 0)`; n nt, 20 at least.

    A direct repeat says that the contig closes to a circle, or that a phage genome is whole.

    Examples:
        >>> terminal_repeat("ACGTTGCAACCGTATGCCAGATT" + "C" * 60 + "ACGTTGCAACCGTATGCCAGATT")
        ('direct', 23)
    """
    longest = min(len(sequence) // 2, _LONGEST_REPEAT)
    text, tail = (end.upper().replace("U", "T") for end in (sequence[:longest], sequence[len(sequence) - longest :]))
    seed = text[:_SHORTEST_REPEAT]
    if longest < _SHORTEST_REPEAT or len(set(seed)) < 3 or "N" in seed:  # a run of one letter is no repeat
        return "", 0
    place = tail.find(seed)
    while place >= 0:
        if text.startswith(tail[place:]):
            return "direct", len(tail) - place
        place = tail.find(seed, place + 1)
    ends = np.frombuffer(text.encode("ascii", "replace"), np.uint8)
    back = np.frombuffer(tail[::-1].translate(_COMPLEMENT).encode("ascii", "replace"), np.uint8)
    unlike = np.flatnonzero(ends != back)
    same = int(unlike[0]) if len(unlike) else longest
    return ("inverted", same) if same >= _SHORTEST_REPEAT else ("", 0)
