"""Which sites of a genome differ from a guide in a few letters at most: exact, by XOR and population count.

With many guides the letters are cut into one block more than mismatches are allowed, so that a site within reach of a
guide is equal to it in at least one block: sites are sorted by a block, and a guide is compared only with those of
its own letters there. Few guides are compared with every site.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from seqformers.guides.genome_index import GenomeIndex, SitesPart
from seqformers.guides.packing import LOW_BITS, mismatch_bits
from seqformers.guides.sites import PROTOSPACER

__all__ = ["MOST_MISMATCHES", "Hits", "find_neighbours"]

MOST_MISMATCHES = 5
_PART = 1 << 22  # sites sorted at once
_TILE = 1 << 16  # comparisons whose intermediate arrays stay in the processor's cache
_FEW = 64  # guides up to which every site is looked at
_LONGEST_KEY = 8  # letters, 16 bits


@dataclass
class Hits:
    """Pairs of a guide and a site, in the order of sites, then guides.

    Args:
        guide (`np.ndarray` of `int64`): Number of the guide.
        site (`np.ndarray` of `int64`): Number of the site in the index.
        value (`np.ndarray` of `uint64`): The site as in `sites.u64`.
        bits (`np.ndarray` of `uint64`): The lower bit of every letter that differs; unknown letters differ.
        unknown (`np.ndarray` of `uint64`): The lower bit of every unknown letter of the site.
    """

    guide: np.ndarray
    site: np.ndarray
    value: np.ndarray
    bits: np.ndarray
    unknown: np.ndarray

    def __len__(self) -> int:
        return len(self.guide)

    @property
    def mismatches(self) -> np.ndarray:
        """How many letters differ."""
        return np.bitwise_count(self.bits)


def find_neighbours(
    index: GenomeIndex, guides: np.ndarray, unknown: np.ndarray, mismatches: int, *, few: int = _FEW
) -> Iterator[tuple[int, Hits]]:
    """Every pair of guide and site that differ in `mismatches` letters at most.

    Args:
        index (`GenomeIndex`): The sites.
        guides (`np.ndarray` of `uint64`, shape `(n,)`): Packed protospacers.
        unknown (`np.ndarray` of `uint64`, shape `(n,)`): The lower bit of every unknown letter of each.
        mismatches (`int`): 0 to 5.
        few (`int`): So many guides are compared with every site.

    Yields:
        `tuple[int, Hits]`: How many sites were looked at, and the hits among them.
    """
    assert 0 <= mismatches <= MOST_MISMATCHES, mismatches
    for part in index.parts(_PART):
        plain = part.guides
        pairs = _every(plain, guides, mismatches) if len(guides) <= few else _blocked(plain, guides, mismatches)
        yield len(plain), _hits(part, plain, guides, unknown, mismatches, *pairs)


def _every(sites: np.ndarray, guides: np.ndarray, most: int) -> tuple[np.ndarray, np.ndarray]:
    """Numbers of guides and of sites that may be within reach, every pair looked at."""
    found = []
    for start in range(0, len(sites), _TILE):
        tile = sites[start : start + _TILE]
        for guide, letters in enumerate(guides):
            near = np.flatnonzero(np.bitwise_count(mismatch_bits(tile, letters)) <= most)
            if len(near):
                found.append((np.full(len(near), guide), near + start))
    return _joined(found)


def _blocked(sites: np.ndarray, guides: np.ndarray, most: int) -> tuple[np.ndarray, np.ndarray]:
    """As `_every`, by blocks; a pair is found in the first block in which it is equal."""
    found = []
    blocks = _blocks(most + 1)
    for number, (start, size) in enumerate(blocks):
        shift, mask = np.uint64(2 * start), np.uint64((1 << 2 * min(size, _LONGEST_KEY)) - 1)
        keys = (sites >> shift & mask).astype(np.uint16)
        order = np.argsort(keys, kind="stable")
        letters = sites[order]
        ends = np.cumsum(np.bincount(keys, minlength=int(mask) + 1))
        earlier = [_block_bits(*block) for block in blocks[:number]]
        wanted = (guides >> shift & mask).astype(np.int64)
        ranked = np.argsort(wanted, kind="stable")
        for first, last in _runs(wanted[ranked]):
            key = wanted[ranked[first]]
            low, high = (0 if key == 0 else int(ends[key - 1])), int(ends[key])
            rows = ranked[first:last]
            for guide, near in _compare(letters[low:high], guides[rows], most, earlier):
                found.append((rows[guide], order[low + near]))
    return _joined(found)


def _compare(
    sites: np.ndarray, guides: np.ndarray, most: int, earlier: list[np.uint64]
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Pairs of some guides with all `sites` of a key, in tiles, without those equal in an earlier block."""
    wide = min(max(len(sites), 1), _TILE)
    tall = max(1, _TILE // wide)
    for top in range(0, len(guides), tall):
        for left in range(0, len(sites), wide):
            bits = mismatch_bits(guides[top : top + tall, None], sites[None, left : left + wide])
            guide, near = np.nonzero(np.bitwise_count(bits) <= most)
            if len(guide):
                apart = bits[guide, near]
                new = np.ones(len(apart), bool)
                for block in earlier:
                    new &= (apart & block) != 0
                yield guide[new] + top, near[new] + left


def _hits(
    part: SitesPart,
    plain: np.ndarray,
    guides: np.ndarray,
    unknown: np.ndarray,
    most: int,
    guide: np.ndarray,
    site: np.ndarray,
) -> Hits:
    """The pairs that are within reach when unknown letters differ, too, in order."""
    order = np.lexsort((guide, site))
    guide, site = guide[order], site[order]
    of_site = np.zeros(len(site), np.uint64)
    if len(part.odd):
        place = np.minimum(np.searchsorted(part.odd, site), len(part.odd) - 1)
        of_site = np.where(part.odd[place] == site, part.unknown[place], of_site)
    bits = mismatch_bits(plain[site], guides[guide]) | unknown[guide] | of_site
    kept = np.bitwise_count(bits) <= most
    guide, site = guide[kept], site[kept]
    return Hits(guide, site + part.first, part.sites[site], bits[kept], of_site[kept])


def _blocks(count: int) -> list[tuple[int, int]]:
    """First letter and letters of so many blocks, as even as can be."""
    edges = [PROTOSPACER * number // count for number in range(count + 1)]
    return [(start, stop - start) for start, stop in pairwise(edges)]


def _block_bits(start: int, size: int) -> np.uint64:
    """The lower bits of the letters by which a block is looked up."""
    return LOW_BITS & np.uint64(((1 << 2 * min(size, _LONGEST_KEY)) - 1) << 2 * start)


def _runs(values: np.ndarray) -> Iterator[tuple[int, int]]:
    """Where runs of equal values begin and end."""
    if len(values):
        edges = np.flatnonzero(np.r_[True, values[1:] != values[:-1], True])
        yield from zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True)


def _joined(found: list[tuple[np.ndarray, np.ndarray]]) -> tuple[np.ndarray, np.ndarray]:
    if not found:
        return np.empty(0, np.int64), np.empty(0, np.int64)
    guide, site = (np.concatenate(column) for column in zip(*found, strict=True))
    return guide, site
