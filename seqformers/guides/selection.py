"""Which guides to order: filters, the order they are ranked by, and a few of a record that lie apart."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from seqformers.guides.regions import Regions
from seqformers.guides.restriction import contains_site
from seqformers.guides.sites import PAM_LENGTH, PROTOSPACER, UPSTREAM, Sites

__all__ = ["RANKINGS", "Selection", "ranking_value", "spread"]

RANKINGS = ("efficiency", "specificity", "both")
_CHUNK = 1 << 15
_OVERHANG = 5  # letters between the two nicks
_POLY_T = 4


@dataclass(frozen=True)
class Selection:
    """Filters; a guide that fails one is left out and counted under its name.

    Args:
        gc (`tuple[float, float]`, *optional*): Least and highest share of G and C in the protospacer.
        no_poly_t (`bool`): Without TTTT in the protospacer.
        avoid (`dict[str, str]`): Enzyme -> recognition site that must not be in the oligo.
        before (`str`): What stands before the protospacer in the oligo, for those sites.
        exclude (`Regions`, *optional*): PAM and protospacer must not overlap these.
        only (`Regions`, *optional*): The cut must lie in these.
        exons (`Regions`, *optional*): The cut must lie in these, too.
        top (`int`, *optional*): At most so many guides a record, spread over it.
    """

    gc: tuple[float, float] | None = None
    no_poly_t: bool = False
    avoid: dict[str, str] = field(default_factory=dict)
    before: str = ""
    exclude: Regions | None = None
    only: Regions | None = None
    exons: Regions | None = None
    top: int | None = None

    def __post_init__(self) -> None:
        """Refuse limits that nothing can keep."""
        if self.gc is not None and not 0 <= self.gc[0] <= self.gc[1] <= 1:
            raise ValueError(f"gc takes the least and the highest share from 0 to 1, as in 0.3,0.7; got {self.gc}")
        if self.top is not None and self.top < 1:
            raise ValueError(f"top must be 1 or more, got {self.top}")

    @property
    def active(self) -> bool:
        """Whether anything is left out."""
        regions = (self.exclude, self.only, self.exons)
        return bool(self.gc or self.no_poly_t or self.avoid or self.top or any(found is not None for found in regions))

    def keep(self, names: Sequence[str], sites: Sites, left_out: Counter[str]) -> np.ndarray:
        """Which sites pass every filter; `(n,)` of `bool`. A site without a whole protospacer fails."""
        kept = np.ones(len(sites), bool)
        if not self.active:
            return kept
        kept &= sites.protospacer_cut == 0
        for start in range(0, len(sites), _CHUNK):
            rows = slice(start, start + _CHUNK)
            for reason, failed in self._failed(names, sites[rows]).items():
                left_out[reason] += int((failed & kept[rows]).sum())
                kept[rows] &= ~failed
        return kept

    def _failed(self, names: Sequence[str], sites: Sites) -> dict[str, np.ndarray]:
        """Filter -> the sites that fail it."""
        guide = sites.contexts()[:, UPSTREAM + PAM_LENGTH :][:, :PROTOSPACER]
        found: dict[str, np.ndarray] = {}
        if self.gc is not None:
            share = ((guide == ord("G")) | (guide == ord("C"))).mean(1)
            found["gc"] = (share < self.gc[0]) | (share > self.gc[1])
        if self.no_poly_t:
            t = guide == ord("T")
            found["poly_t"] = np.logical_and.reduce([t[:, i : PROTOSPACER - 3 + i] for i in range(_POLY_T)]).any(1)
        before = np.broadcast_to(np.frombuffer(self.before.encode(), np.uint8), (len(guide), len(self.before)))
        for enzyme, site in self.avoid.items():
            found[enzyme] = contains_site(np.hstack([before, guide]), site)
        if self.exclude is not None:
            found["exclude"] = self.exclude.overlap_sites(names, sites)
        for label, regions in (("only", self.only), ("exons", self.exons)):
            if regions is not None:
                cut = (sites.cut_start, sites.cut_start + _OVERHANG)
                found[label] = ~regions.overlap_sites(names, sites, *cut)
        return found


def ranking_value(rank: str, scores: np.ndarray, specificity: np.ndarray | None) -> np.ndarray:
    """What guides are ranked by, the higher the better: `(n,)`.

    `efficiency` is the predicted score; `specificity` the share of cuts on the target, equal ones by score; `both`
    their product (a score below 0 counts as 0): the indels to expect, less what is spent elsewhere.
    """
    if rank == "efficiency":
        return scores
    assert specificity is not None, "a genome says how specific"
    if rank == "both":
        return np.maximum(scores, 0) * specificity / 100
    return specificity + 1e-6 * np.clip(scores, -100, 200)


def spread(cuts: np.ndarray, count: int, length: int) -> np.ndarray:
    """Up to `count` of the cuts of a record, taken from the best on, that lie apart: their rows, in that order.

    A guide is passed over while it lies nearer than `length / (2 count)` to one that was taken; that distance halves
    until enough are found, so that a record always gets as many guides as it has.

    Args:
        cuts (`np.ndarray`): Places on the record, the best first.
        count (`int`): How many.
        length (`int`): Letters of the record.

    Examples:
        >>> spread(np.array([500, 510, 100, 900, 505]), 3, 1000).tolist()
        [0, 2, 3]
    """
    taken: list[int] = []
    left = list(range(len(cuts)))
    apart = length / (2 * count)
    while left and len(taken) < count:
        passed = []
        for row in left:
            near = any(abs(int(cuts[row]) - int(cuts[other])) < apart for other in taken)
            if len(taken) < count and not near:
                taken.append(row)
            else:
                passed.append(row)
        left, apart = passed, apart / 2 if apart >= 1 else 0.0
    return np.sort(np.array(taken, dtype=np.int64))
