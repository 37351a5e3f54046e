"""Regions of sequences (accessible chromatin, exons, what to leave out): does a site overlap one?"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from seqformers.datasets_scripts.common.bed import read_bed
from seqformers.guides.sites import Sites

__all__ = ["Regions"]


@dataclass
class Regions:
    """Merged regions a chromosome, asked with many sites at once.

    Args:
        regions (`dict[str, np.ndarray]`): Chromosome -> `(n, 2)` of start and end, sorted, merged; 0-based, half-open.
        source (`str`): Where they come from, for messages.
    """

    regions: dict[str, np.ndarray]
    source: str = "regions"

    @classmethod
    def from_bed(cls, path: str | Path) -> Regions:
        """Read the first three columns of a BED or narrowPeak file, plain or gzip.

        Raises:
            FileNotFoundError: there is no such file.
            ValueError: a line is no region (the message names it), or the file holds none.
        """
        found: dict[str, list[tuple[int, int]]] = defaultdict(list)
        for _, name, start, end in read_bed(path):
            found[name].append((start, end))
        if not found:
            raise ValueError(f"{path} holds no regions; expected lines of chromosome, start, end")
        return cls.of({name: np.array(pairs, dtype=np.int64) for name, pairs in found.items()}, str(path))

    @classmethod
    def of(cls, found: Mapping[str, np.ndarray], source: str = "regions") -> Regions:
        """Regions of any order that may overlap: name -> `(n, 2)` of start and end."""
        return cls({name: _merge(pairs) for name, pairs in found.items()}, source)

    def overlaps(self, name: str, start: np.ndarray, end: np.ndarray) -> np.ndarray:
        """Whether each interval `[start, end)` of the sequence `name` shares a letter with a region.

        Args:
            name (`str`): Chromosome; one the file does not know has no accessible site.
            start (`np.ndarray`): First letters.
            end (`np.ndarray`): Ends.

        Returns:
            `np.ndarray` of `bool`.
        """
        if name not in self.regions:
            return np.zeros(len(start), dtype=bool)
        regions = self.regions[name]
        following = np.searchsorted(regions[:, 1], start, side="right")  # first region that ends after the start
        inside = following < len(regions)
        return inside & (regions[np.minimum(following, len(regions) - 1), 0] < end)

    def overlap_sites(
        self, names: Sequence[str], sites: Sites, start: np.ndarray | None = None, end: np.ndarray | None = None
    ) -> np.ndarray:
        """Whether PAM and protospacer of each site (or other intervals, one a site) share a letter with a region.

        `names` are the sites' records.
        """
        found = np.zeros(len(sites), dtype=bool)
        if start is None or end is None:
            start, end = sites.target
        for record in np.unique(sites.record).tolist():
            rows = slice(*np.searchsorted(sites.record, [record, record + 1]))
            found[rows] = self.overlaps(names[record], start[rows], end[rows])
        return found

    def check_names(self, names: Iterable[str]) -> str | None:
        """A warning when some of these sequence names are unknown, `ValueError` when all are."""
        every = list(names)
        unknown = [name for name in every if name not in self.regions]
        if not unknown:
            return None
        here, there = ", ".join(unknown[:3]), ", ".join(list(self.regions)[:3])
        if len(unknown) == len(every):
            raise ValueError(
                f"{self.source} names chromosomes {there}, ..., but the sequences are called {here}; "
                f"{self._renaming(every)}"
            )
        return f"{len(unknown)} of {len(every)} sequences have no region in {self.source} (first: {here})"

    def _renaming(self, names: Sequence[str]) -> str:
        """What to do so that names agree."""
        if any(f"chr{name}" in self.regions for name in names):
            return f"take 'chr' off the names in {self.source}, or put it before those of the sequences"
        if any(name.removeprefix("chr") in self.regions for name in names):
            return f"put 'chr' before the names in {self.source}, or take it off those of the sequences"
        return "rename one side (often a 'chr' prefix) so that they agree"


def _merge(pairs: np.ndarray) -> np.ndarray:
    pairs = pairs[np.lexsort((pairs[:, 1], pairs[:, 0]))]
    reach = np.maximum.accumulate(pairs[:, 1])
    first = np.r_[True, pairs[1:, 0] > reach[:-1]]
    return np.column_stack([pairs[first, 0], np.r_[reach[np.flatnonzero(first)[1:] - 1], reach[-1]]])
