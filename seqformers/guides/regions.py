"""Accessible chromatin from BED or narrowPeak: does a site overlap a region?"""

from __future__ import annotations

import gzip
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

__all__ = ["AccessibleRegions"]

_NOT_DATA = ("#", "track", "browser")


@dataclass
class AccessibleRegions:
    """Merged regions a chromosome, asked with many sites at once.

    Args:
        regions (`dict[str, np.ndarray]`): Chromosome -> `(n, 2)` of start and end, sorted, merged; 0-based, half-open.
        source (`str`): Where they come from, for messages.
    """

    regions: dict[str, np.ndarray]
    source: str = "regions"

    @classmethod
    def from_bed(cls, path: str | Path) -> AccessibleRegions:
        """Read the first three columns of a BED or narrowPeak file, plain or gzip.

        Raises:
            FileNotFoundError: there is no such file.
            ValueError: a line is no region (the message names it), or the file holds none.
        """
        path = Path(path)
        if not path.is_file():
            raise FileNotFoundError(f"no such BED file: {path}")
        found: dict[str, list[tuple[int, int]]] = defaultdict(list)
        for number, line in _lines(path):
            found[line[0]].append(_interval(line, path, number))
        if not found:
            raise ValueError(f"{path} holds no regions; expected lines of chromosome, start, end")
        return cls({name: _merge(np.array(pairs, dtype=np.int64)) for name, pairs in found.items()}, str(path))

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
                "rename one side (often a 'chr' prefix) so that they agree"
            )
        return f"{len(unknown)} of {len(every)} sequences have no region in {self.source} (first: {here})"


def _lines(path: Path) -> Iterator[tuple[int, list[str]]]:
    with path.open("rb") as raw:
        packed = raw.read(2) == b"\x1f\x8b"
    with gzip.open(path, "rt") if packed else path.open() as file:
        for number, line in enumerate(file, 1):
            if line.strip() and not line.startswith(_NOT_DATA):
                yield number, line.split()


def _interval(fields: list[str], path: Path, number: int) -> tuple[int, int]:
    try:
        start, end = int(fields[1]), int(fields[2])
    except (IndexError, ValueError):
        start, end = 0, 0
    if not 0 <= start < end:
        raise ValueError(
            f"{path} line {number}: {' '.join(fields[:4])!r} is no region; expected chromosome, start, end with "
            "0 <= start < end, separated by tabs"
        )
    return start, end


def _merge(pairs: np.ndarray) -> np.ndarray:
    pairs = pairs[np.lexsort((pairs[:, 1], pairs[:, 0]))]
    reach = np.maximum.accumulate(pairs[:, 1])
    first = np.r_[True, pairs[1:, 0] > reach[:-1]]
    return np.column_stack([pairs[first, 0], np.r_[reach[np.flatnonzero(first)[1:] - 1], reach[-1]]])
