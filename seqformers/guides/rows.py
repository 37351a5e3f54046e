"""Rows of the guide table: the sites of one record, scored, ranked and checked."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from seqformers.guides.scorer import GuideScorer
from seqformers.guides.sites import PAM_LENGTH, PROTOSPACER, UPSTREAM, Sites
from seqformers.modeling.guides.processing_deepcpf1 import DeepCpf1Processor

__all__ = ["GUIDE_COLUMNS", "ScoredSites", "round_scores", "score_sites", "spell"]

GUIDE_COLUMNS = (
    "record_id", "strand", "pam_start", "cut_start", "pam", "protospacer", "context", "seq_score", "score", "rank",
    "gc", "warnings",
)  # fmt: skip
_CHUNK = 1 << 15
_UNKNOWN = 4


class ScoredSites:
    """The sites of one record with their scores and ranks.

    Args:
        name (`str`): Record.
        sites (`Sites`): Its sites.
        scores (`np.ndarray` of shape `(2, n)`): Scores from the sequence alone, final scores.
        accessible (`np.ndarray` of shape `(n,)`, *optional*): 0 or 1.
    """

    def __init__(self, name: str, sites: Sites, scores: np.ndarray, accessible: np.ndarray | None = None):
        self.name, self.sites, self.scores, self.accessible = name, sites, scores, accessible
        self.usable = sites.protospacer_cut == 0
        self.by_rank = np.lexsort((np.arange(len(sites)), -scores[1], ~self.usable))
        self.rank = np.empty(len(sites), np.int64)
        self.rank[self.by_rank] = np.arange(1, len(sites) + 1)

    def rows(self, counts: Counter[str], *, order: str = "rank", skip: int = 0) -> Iterator[list[dict[str, Any]]]:
        """Chunks of rows with [`GUIDE_COLUMNS`], without the first `skip`; warnings are added to `counts`."""
        chosen = (self.by_rank if order == "rank" else np.arange(len(self.sites)))[skip:]
        for start in range(0, len(chosen), _CHUNK):
            columns = self._columns(chosen[start : start + _CHUNK], counts)
            yield [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]

    def _columns(self, rows: np.ndarray, counts: Counter[str]) -> dict[str, list[Any]]:
        sites, usable = self.sites[rows], self.usable[rows]
        letters = sites.contexts()
        guide = letters[:, UPSTREAM + PAM_LENGTH :][:, :PROTOSPACER]
        columns = {
            "record_id": [self.name] * len(sites),
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
            "warnings": _warnings(sites, letters, guide, counts),
        }
        if self.accessible is not None:
            columns["accessible"] = self.accessible[rows].astype(int).tolist()
        return columns


def score_sites(
    scorer: GuideScorer, sites: Sites, accessible: np.ndarray | None, advance: Callable[[float], None]
) -> np.ndarray:
    """Scores of shape `(2, n)`, cut and scored in chunks; `advance` hears the share of sites done with each."""
    scores = np.empty((2, len(sites)), np.float32)
    for start in range(0, len(sites), _CHUNK):
        rows = slice(start, start + _CHUNK)
        codes = DeepCpf1Processor.encode_letters(sites[rows].contexts())
        scores[:, rows] = scorer.score(codes, None if accessible is None else accessible[rows])
        advance(len(codes) / len(sites))
    return scores


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


def _warnings(sites: Sites, letters: np.ndarray, guide: np.ndarray, counts: Counter[str]) -> list[str]:
    cut = sites.context_cut
    unknown = (DeepCpf1Processor.encode_letters(letters) == _UNKNOWN).sum(1) - cut
    t = guide == ord("T")
    poly_t = (t[:, :-3] & t[:, 1:-2] & t[:, 2:-1] & t[:, 3:]).any(1)
    texts = [""] * len(sites)
    for label, found, with_number in (
        ("protospacer_cut", sites.protospacer_cut, False),
        ("context_cut", cut, True),
        ("unknown_letters", unknown, True),
        ("poly_t", poly_t, False),
    ):
        hits = np.flatnonzero(found)
        if len(hits):
            counts[label] += len(hits)
        for row in hits.tolist():
            said = f"{label}:{found[row]}" if with_number else label
            texts[row] = f"{texts[row]};{said}" if texts[row] else said
    return texts
