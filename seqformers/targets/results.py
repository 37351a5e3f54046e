"""What a target scan says of a pair, and the columns of its tables. A Space takes this file along."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

__all__ = ["PAIR_COLUMNS", "RANKED_PAIR_COLUMNS", "RANKED_SITE_COLUMNS", "SITE_COLUMNS", "RankedPair", "ScoredPair"]

PAIR_COLUMNS = {
    "mirna_id": str, "mrna_id": str, "score": float, "num_sites": int, "best_start": int, "best_end": int,
    "site_type": str, "alignment": str,
}  # fmt: skip
SITE_COLUMNS = {
    "mirna_id": str, "mrna_id": str, "start": int, "end": int, "score": float, "pairings": int, "site_type": str,
    "alignment": str,
}  # fmt: skip
RANKED_PAIR_COLUMNS = PAIR_COLUMNS | {"best_score": float, "energy": float}
RANKED_SITE_COLUMNS = SITE_COLUMNS | {"to_end": int, "window_start": int, "window_end": int, "energy": float}
_Site = tuple[int, int, float, int, str, str, int]  # start, end, score, pairings, type, alignment, its window


@dataclass
class ScoredPair:
    """Result of one pair.

    Attributes:
        score (`float`): Of the best site, 0 to 1; 0 without one.
        num_sites (`int`): Its sites.
        best (`tuple`): Start, end, score, pairings, type, alignment and start of the window of the best site.
        sites (`list[tuple]`): The same of all, if they were asked for.
    """

    mirna_id: str
    mrna_id: str
    score: float = 0.0
    num_sites: int = 0
    best: _Site = (-1, -1, 0.0, 0, "none", "", -1)
    sites: list[_Site] | None = None

    def rows(self, min_score: float = 0.0) -> list[dict[str, Any]]:
        """Rows of the table that score so much: the pair's, or its sites' from the mRNA's 5' end on."""
        if self.sites is None:
            start, end, _, _, kind, alignment, _ = self.best
            place = (start, end) if self.num_sites else (None, None)
            pair = (self.mirna_id, self.mrna_id, round(self.score, 6), self.num_sites, *place, kind, alignment)
            return [dict(zip(PAIR_COLUMNS, pair, strict=True))] if self.score >= min_score else []
        found = (
            (self.mirna_id, self.mrna_id, start, end, round(score, 6), *rest)
            for start, end, score, *rest, _ in self.sites
            if score >= min_score
        )
        return [dict(zip(SITE_COLUMNS, site, strict=True)) for site in found]


@dataclass
class RankedPair(ScoredPair):
    """Result of one pair: its score is of all its sites together. A site has its energy, too, as its last value.

    Attributes:
        length (`int`): Nucleotides of the mRNA.
        window (`int`): Nucleotides that are scored around a site.
    """

    length: int = 0
    window: int = 0
    best: Any = (-1, -1, 0.0, 0, "none", "", -1, None)
    sites: Any = None

    def rows(self, min_score: float = 0.0) -> list[dict[str, Any]]:
        """Rows of the table that score so much: the pair's, or its sites' from the mRNA's 5' end on."""
        names = self.mirna_id, self.mrna_id
        if self.sites is None:
            start, end, best, _, kind, alignment, _, energy = self.best
            place = (start, end) if self.num_sites else (None, None)
            row = (*names, round(self.score, 6), self.num_sites, *place, kind, alignment, round(best, 6), energy)
            return [dict(zip(RANKED_PAIR_COLUMNS, row, strict=True))] if self.score >= min_score else []
        rows = (
            (*names, start, end, round(score, 6), pairings, kind, alignment, self.length - end,
             max(window, 0), min(window + self.window, self.length), energy)
            for start, end, score, pairings, kind, alignment, window, energy in self.sites
            if score >= min_score
        )  # fmt: skip
        return [dict(zip(RANKED_SITE_COLUMNS, row, strict=True)) for row in rows]
