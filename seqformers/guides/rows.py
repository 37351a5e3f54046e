"""Rows of the guide table: the sites of some records, scored, ranked within each, and checked."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from seqformers.guides.scorer import Scorer
from seqformers.guides.selection import spread
from seqformers.guides.sites import PAM_LENGTH, PROTOSPACER, UPSTREAM, Sites
from seqformers.modeling.guides.processing_deepcpf1 import DeepCpf1Processor

__all__ = ["GUIDE_COLUMNS", "ScoredSites", "count_warnings", "round_scores", "score_sites", "spell"]

GUIDE_COLUMNS: dict[str, Any] = {
    "record_id": str, "strand": str, "pam_start": int, "cut_start": int, "pam": str, "protospacer": str,
    "context": str, "seq_score": float, "score": float, "rank": int, "gc": float, "warnings": str,
}  # fmt: skip
_CHUNK = 1 << 15
_UNKNOWN = 4


class ScoredSites:
    """The sites of some records with their scores, and their ranks within each record.

    Args:
        names (`Sequence[str]`): Records.
        sites (`Sites`): Their sites.
        scores (`np.ndarray` of shape `(2, n)`): Scores from the sequence alone, final scores.
        accessible (`np.ndarray` of shape `(n,)`, *optional*): 0 or 1.
        value (`np.ndarray` of shape `(n,)`, *optional*): What they are ranked by, the higher the better; default: the
            final score.
        top (`int`, *optional*): At most so many a record, spread over it.
        more (callable, *optional*): Further columns of some sites, by their numbers and protospacers.
    """

    def __init__(
        self,
        names: Sequence[str],
        sites: Sites,
        scores: np.ndarray,
        accessible: np.ndarray | None = None,
        *,
        value: np.ndarray | None = None,
        top: int | None = None,
        more: Callable[[np.ndarray, list[str]], dict[str, list[Any]]] | None = None,
    ):
        self.names, self.sites, self.scores, self.accessible = names, sites, scores, accessible
        self._more = more
        self.usable = sites.protospacer_cut == 0
        value = scores[1] if value is None else value
        self.by_rank = np.lexsort((np.arange(len(sites)), -value, ~self.usable, sites.record))
        first = np.searchsorted(sites.record, sites.record)  # of the same record; by_rank keeps records together
        self.rank = np.empty(len(sites), np.int64)
        self.rank[self.by_rank] = np.arange(len(sites)) - first + 1
        if top is not None:
            self.by_rank = self._spread(top)

    def _spread(self, top: int) -> np.ndarray:
        """The sites of every record that lie apart, by rank."""
        lengths = np.diff(self.sites.bounds)[:, 0]
        edges = np.searchsorted(self.sites.record, np.arange(len(self.names) + 1))
        kept = [
            self.by_rank[first:last][spread(self.sites.cut_start[self.by_rank[first:last]], top, int(lengths[record]))]
            for record, (first, last) in enumerate(pairwise(edges.tolist()))
        ]
        return np.concatenate([np.empty(0, np.int64), *kept])

    def rows(self, *, order: str = "rank", skip: int = 0) -> Iterator[list[dict[str, Any]]]:
        """Chunks of rows with [`GUIDE_COLUMNS`] and what was added to them, without the first `skip`."""
        chosen = (self.by_rank if order == "rank" else np.sort(self.by_rank))[skip:]
        for start in range(0, len(chosen), _CHUNK):
            columns = self._columns(chosen[start : start + _CHUNK])
            yield [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]

    def _columns(self, rows: np.ndarray) -> dict[str, list[Any]]:
        sites, usable = self.sites[rows], self.usable[rows]
        letters = sites.contexts()
        guide = _guides(letters)
        columns = {
            "record_id": [self.names[record] for record in sites.record.tolist()],
            "strand": np.where(sites.reverse, "-", "+").tolist(),
            "pam_start": sites.pam_start.tolist(),
            "cut_start": sites.cut_start.tolist(),
            "pam": spell(letters[:, UPSTREAM : UPSTREAM + PAM_LENGTH]),
            "protospacer": spell(guide),
            "context": spell(letters),
            "seq_score": round_scores(self.scores[0, rows], usable),
            "score": round_scores(self.scores[1, rows], usable),
            "rank": [int(value) if good else None for value, good in zip(self.rank[rows], usable, strict=True)],
            "gc": _gc(guide).tolist(),
            "warnings": _warnings(sites, letters),
        }
        if self.accessible is not None:
            columns["accessible"] = self.accessible[rows].astype(int).tolist()
        if self._more is not None:
            columns |= self._more(rows, columns["protospacer"])
        return columns


def score_sites(
    scorer: Scorer, sites: Sites, accessible: np.ndarray | None, advance: Callable[[float], object]
) -> np.ndarray:
    """Scores of shape `(2, n)`, cut and scored in chunks; `advance` hears the share of sites done with each."""
    scores = np.empty((2, len(sites)), np.float32)
    for start in range(0, len(sites), _CHUNK):
        rows = slice(start, start + _CHUNK)
        codes = DeepCpf1Processor.encode_letters(sites[rows].contexts())
        scores[:, rows] = scorer.score(codes, None if accessible is None else accessible[rows])
        advance(len(codes) / len(sites))
    return scores


def count_warnings(sites: Sites) -> Counter[str]:
    """How many sites carry each warning."""
    counts: Counter[str] = Counter()
    for start in range(0, len(sites), _CHUNK):
        some = sites[start : start + _CHUNK]
        counts.update({label: int((found > 0).sum()) for label, found in _flags(some, some.contexts()).items()})
    return +counts


def spell(letters: np.ndarray) -> list[str]:
    """Rows of `(n, width)` ASCII letters as strings."""
    width = letters.shape[1]
    text = np.ascontiguousarray(letters).tobytes().decode("latin-1")
    return [text[start : start + width] for start in range(0, len(text), width)]


def round_scores(scores: np.ndarray, usable: np.ndarray | None = None) -> list[float | None]:
    """Scores with the six decimals of the original script; None where `usable` is false."""
    values: list[float | None] = np.round(scores.astype(np.float64), 6).tolist()
    if usable is not None:
        for row in np.flatnonzero(~usable).tolist():
            values[row] = None
    return values


def _gc(guide: np.ndarray) -> np.ndarray:
    """Share of G and C among the letters that are A, C, G or T."""
    strong = ((guide == ord("G")) | (guide == ord("C"))).sum(1)
    known = strong + ((guide == ord("A")) | (guide == ord("T"))).sum(1)
    return np.round(strong / np.maximum(known, 1), 3)


def _guides(letters: np.ndarray) -> np.ndarray:
    return letters[:, UPSTREAM + PAM_LENGTH :][:, :PROTOSPACER]


def _flags(sites: Sites, letters: np.ndarray) -> dict[str, np.ndarray]:
    """What a warning is about -> how many letters of each site, or whether."""
    t = _guides(letters) == ord("T")
    cut = sites.context_cut
    return {
        "protospacer_cut": sites.protospacer_cut > 0,
        "context_cut": cut,
        "unknown_letters": (DeepCpf1Processor.encode_letters(letters) == _UNKNOWN).sum(1) - cut,
        "poly_t": (t[:, :-3] & t[:, 1:-2] & t[:, 2:-1] & t[:, 3:]).any(1),
    }


def _warnings(sites: Sites, letters: np.ndarray) -> list[str]:
    texts = [""] * len(sites)
    for label, found in _flags(sites, letters).items():
        for row in np.flatnonzero(found).tolist():
            said = label if found.dtype == bool else f"{label}:{found[row]}"
            texts[row] = f"{texts[row]};{said}" if texts[row] else said
    return texts
