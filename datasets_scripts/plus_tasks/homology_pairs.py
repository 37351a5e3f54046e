"""Homology levels of protein pairs from SCOP codes, and draws of pairs that never list all N² of them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = ["LEVELS", "HomologyPairs", "homology_levels"]

LEVELS = ("none", "class", "fold", "superfamily", "family")
"""Names of levels 0-4: how many leading parts of two codes a.b.c.d agree."""


def homology_levels(codes_a: Sequence[str], codes_b: Sequence[str]) -> NDArray[np.int64]:
    """Level of each pair of codes, `(n,)`.

    Examples:
        >>> homology_levels(["a.1.1.1", "a.1.1.1"], ["a.1.2.1", "b.1.1.1"]).tolist()
        [2, 0]
    """
    prefixes = _prefix_ids([*codes_a, *codes_b])
    half = len(codes_a)
    return (prefixes[:half] == prefixes[half:]).sum(axis=1)


def _prefix_ids(codes: Sequence[str]) -> NDArray[np.int64]:
    """`(n, 4)`: id of the first 1, 2, 3, 4 parts of each code; equal ids mean equal prefixes."""
    depth = len(LEVELS) - 1
    parts = [code.split(".") for code in codes]
    for code, part in zip(codes, parts, strict=True):
        if len(part) != depth or not all(part):
            raise ValueError(f"{code!r} is no SCOP code; expected class.fold.superfamily.family, e.g. a.1.1.2")
    columns = [[".".join(part[: level + 1]) for part in parts] for level in range(depth)]
    return np.stack([np.unique(column, return_inverse=True)[1] for column in columns], axis=1)


class HomologyPairs:
    """Draw ordered pairs of proteins (a protein with itself included) so that rare levels are not drowned.

    Proteins are sorted by code, so the pairs of a level are found from group sizes alone: memory is O(N), where the
    original holds an N x N x 4 tensor.

    Args:
        codes (`Sequence[str]`): SCOP code of each protein.

    Attributes:
        counts (`(5,)` array): Number of ordered pairs of each level among all N².

    Examples:
        >>> pairs = HomologyPairs(["a.1.1.1", "a.1.1.1", "a.1.1.2", "b.1.1.1"])
        >>> pairs.counts.tolist()
        [6, 0, 0, 4, 6]
    """

    def __init__(self, codes: Sequence[str]):
        if not len(codes):
            raise ValueError("no proteins to draw pairs from")
        prefixes = _prefix_ids(codes)
        self._order = np.lexsort(prefixes.T[::-1])
        prefixes = prefixes[self._order]
        n = len(prefixes)
        # start and size of the group that each protein shares its first 0..4 parts with
        self._start = np.zeros((n, len(LEVELS)), dtype=np.int64)
        self._size = np.full((n, len(LEVELS)), n, dtype=np.int64)
        for level in range(1, len(LEVELS)):
            first = np.flatnonzero(np.r_[True, prefixes[1:, level - 1] != prefixes[:-1, level - 1]])
            sizes = np.diff(np.r_[first, n])
            self._start[:, level] = np.repeat(first, sizes)
            self._size[:, level] = np.repeat(sizes, sizes)
        # partners of each protein at exactly each level
        self._partners = self._size.copy()
        self._partners[:, :-1] -= self._size[:, 1:]
        self.counts = self._partners.sum(axis=0)

    def draw(
        self, n: int, rng: np.random.Generator, *, tau: float = 0.5, legacy: bool = False
    ) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
        """Draw `n` pairs.

        Args:
            n (`int`): Pairs, with replacement.
            rng (`numpy.random.Generator`): Source of randomness.
            tau (`float`, *optional*, defaults to 0.5): A level's share is proportional to count^tau; 1 draws all
                pairs alike, 0 all levels.
            legacy (`bool`, *optional*, defaults to `False`): PLUS' sampler: it draws the level by count^(tau - 1) and
                then a pair of any LOWER level (for level 0 always the same one), so family pairs hardly occur.

        Returns:
            `tuple`: positions of the first and the second protein in `codes`, and their level; each `(n,)`.
        """
        present = np.flatnonzero(self.counts)
        counts = self.counts.astype(np.float64)
        weights = np.zeros(len(LEVELS))
        weights[present] = counts[present] ** (tau - 1 if legacy else tau)
        levels = rng.choice(len(LEVELS), size=n, p=weights / weights.sum())
        if legacy:
            # a uniform index below the level's first pair, in a list of all pairs sorted by level
            ends = np.cumsum(self.counts)
            index = np.floor(rng.random(n) * np.where(levels > 0, ends[levels - 1], 1)).astype(np.int64)
            index[levels == 0] = 0
            levels = np.searchsorted(ends, index, side="right")
        first = np.empty(n, dtype=np.int64)
        second = np.empty(n, dtype=np.int64)
        for level in np.unique(levels):
            rows = np.flatnonzero(levels == level)
            first[rows], second[rows] = self._draw_level(int(level), len(rows), rng)
        return self._order[first], self._order[second], levels

    def distinct(
        self, most: int, rng: np.random.Generator, *, tau: float = 0.5
    ) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
        """Pairs of two different proteins, each at most once in either order: what a test set consists of.

        Args:
            most (`int`): All pairs are listed where there are no more than this, in the order of the proteins.
            rng (`numpy.random.Generator`): Else draws so many of them.
            tau (`float`, *optional*, defaults to 0.5): As for [`draw`]; a level with fewer pairs than its share gives
                all it has.

        Returns:
            `tuple`: As [`draw`].

        Examples:
            >>> pairs = HomologyPairs(["a.1.1.1", "a.1.1.1", "b.1.1.1"])
            >>> [values.tolist() for values in pairs.distinct(10, np.random.default_rng(0))]
            [[0, 0, 1], [1, 2, 2], [4, 0, 0]]
        """
        n = len(self._order)
        # Ordered pairs without those of a protein with itself, which are all of the highest level.
        there = (self.counts - np.r_[np.zeros(len(LEVELS) - 1, np.int64), n]) // 2
        if there.sum() <= most:
            first, second = np.triu_indices(n, k=1)
            place = np.argsort(self._order)
            start = self._start[place]
            return first, second, (start[first] == start[second]).sum(axis=1) - 1
        wanted = _shares(there, most, tau)
        found: list[NDArray[np.int64]] = []
        for level in np.flatnonzero(wanted):
            keys = np.zeros(0, np.int64)
            while len(keys) < wanted[level]:
                first, second = self._draw_level(int(level), 2 * int(wanted[level]) + 16, rng)
                low, high = np.minimum(first, second), np.maximum(first, second)
                fresh = (low * n + high)[low < high]
                keys = np.concatenate([keys, fresh])
                _, at = np.unique(keys, return_index=True)
                keys = keys[np.sort(at)]
            keys = keys[: wanted[level]]
            found.append(np.stack([self._order[keys // n], self._order[keys % n], np.full(len(keys), level)]))
        chosen = np.concatenate(found, axis=1)
        first, second, levels = chosen[:, rng.permutation(chosen.shape[1])]
        return first, second, levels

    def _draw_level(self, level: int, n: int, rng: np.random.Generator) -> tuple[NDArray, NDArray]:
        """Uniform ordered pairs of exactly `level`, as positions in the sorted list."""
        cumulative = np.cumsum(self._partners[:, level])
        ticket = rng.integers(cumulative[-1], size=n)
        first = np.searchsorted(cumulative, ticket, side="right")
        offset = ticket - (cumulative[first] - self._partners[first, level])
        second = self._start[first, level] + offset
        if level < len(LEVELS) - 1:  # step over the closer relatives, which are of a higher level
            second = np.where(second >= self._start[first, level + 1], second + self._size[first, level + 1], second)
        return first, second


def _shares(there: NDArray[np.int64], most: int, tau: float) -> NDArray[np.int64]:
    """How many of `most` pairs each level gives: in proportion to its count^tau, but no more than it has."""
    wanted = np.zeros(len(there), np.int64)
    while wanted.sum() < most:
        open_ = wanted < there
        weights = np.where(open_, there.astype(np.float64) ** tau, 0.0)
        more = np.maximum((weights / weights.sum() * (most - wanted.sum())).astype(np.int64), 0)
        if not more.any():
            more[np.flatnonzero(open_)[0]] = 1
        wanted = np.minimum(wanted + more, there)
    return wanted
