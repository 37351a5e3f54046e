"""Pairs of reads from one genome or from two: a pretext task whose labels cost nothing.

Whether two reads stem from one genome can be told from composition alone in part: genomes differ in GC content and in
their k-mers. With `like_gc` the read of another genome is one of like GC content, so that what GC says is taken away.
Idea: Hurmer, LMU 2022, section 5.2.2.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seqformers.datasets_scripts.common.counter_draws import keys_of, uniform
from seqformers.datasets_scripts.genomes.reads import Reads, ReadSampler

__all__ = ["PairSampler", "Pairs"]

_SAME, _RECORD, _START, _STRAND, _OTHER = range(20, 25)  # uses of chance, none of a read's own
_ATTEMPTS = 64
_CANDIDATES = 12  # reads of other genomes, of which the one of nearest GC content is taken


@dataclass
class Pairs:
    """A batch of pairs.

    Attributes:
        first, second (`Reads`): The reads, row by row of one length where the genome of the second allows.
        same (`bool` array of shape `(n,)`): Whether both stem from one genome; else from genomes of two groups.
        group (`int64` array of shape `(n,)`): Number of the group of the first read's genome.
    """

    first: Reads
    second: Reads
    same: NDArray[np.bool_]
    group: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.same)

    @property
    def keys(self) -> NDArray[np.uint64]:
        """What further chance about each pair is drawn from."""
        return self.first.keys


class PairSampler:
    """Draws pairs of reads; pair `i` of epoch `e` is a function of the seed, `e` and `i` alone.

    Two reads of one genome do not overlap. A genome too short for that gives the first read of unequal pairs only.

    Args:
        sampler (`ReadSampler`): Draws the first reads, and those of other genomes.
        like_gc (`bool`): Reads of other genomes are of like GC content as one of the same genome would be.
        only_same (`bool`): All pairs are of one genome; the reads of one too short for two apart overlap.

    Raises:
        ValueError: the genomes are all of one group.
    """

    def __init__(self, sampler: ReadSampler, *, like_gc: bool = False, only_same: bool = False):
        self.sampler, self.like_gc, self.only_same = sampler, like_gc, only_same
        genomes = sampler.genomes
        if len(np.unique(genomes.group[genomes.length >= sampler.options.shortest])) < 2:
            raise ValueError("pairs need genomes of at least two groups; build them with groups=none or from more")
        self._genome = np.unique(np.asarray(genomes.genome_ids).astype(str), return_inverse=True)[1]
        self._order = np.argsort(self._genome, kind="stable")
        self._cumulative = np.concatenate([[0], np.cumsum(genomes.length[self._order])])
        self._edges = np.searchsorted(self._genome[self._order], np.arange(self._genome.max() + 2))

    @property
    def names(self) -> list[str]:
        """The classes."""
        return self.sampler.names

    @property
    def seed(self) -> int:
        """Of the reads."""
        return self.sampler.seed

    def lengths(self, indices: Sequence[int] | NDArray[np.int64], epoch: int = 0) -> NDArray[np.int64]:
        """Lengths that the first reads are wanted of."""
        return self.sampler.lengths(indices, epoch)

    def draw(self, indices: Sequence[int] | NDArray[np.int64], epoch: int = 0) -> Pairs:
        """Draw pairs by their numbers; arguments and errors of [`ReadSampler.draw`]."""
        first = self.sampler.draw(indices, epoch)
        mate, found = self._mates(first)
        group = np.asarray(self.sampler.genomes.group[first.record], np.int64)
        if self.only_same:
            return Pairs(first, mate, np.ones(len(first), bool), group)
        same = found & (uniform(first.keys, _SAME) < 0.5)
        other = np.flatnonzero(~same)
        wanted = mate.gc()[other] if self.like_gc else None
        second = _replaced(mate, other, self._others(first, other, wanted))
        return Pairs(first, second, same, group)

    def _mates(self, first: Reads) -> tuple[Reads, NDArray[np.bool_]]:
        """A read of the genome of each, apart from it, and whether one was found (else it is any read of it)."""
        genomes = self.sampler.genomes
        low = self._cumulative[self._edges[self._genome[first.record]]]
        high = self._cumulative[self._edges[self._genome[first.record] + 1]]
        record, start, length = first.record.copy(), first.start.copy(), first.lengths.copy()
        waiting = np.arange(len(first))
        for attempt in range(_ATTEMPTS):
            chance = keys_of(first.keys[waiting], attempt)
            point = low[waiting] + uniform(chance, _RECORD) * (high - low)[waiting]
            row = np.searchsorted(self._cumulative, point, side="right") - 1
            here = self._order[np.minimum(row, len(self._order) - 1)]
            size = np.minimum(first.lengths[waiting], genomes.length[here])
            place = (uniform(chance, _START) * (genomes.length[here] - size + 1)).astype(np.int64)
            unknown = genomes.letters.count_unknown(genomes.start[here] + place, size)
            apart = (here != first.record[waiting]) | (np.abs(place - first.start[waiting]) >= size)
            good = apart & (size >= self.sampler.options.shortest)
            good &= unknown <= self.sampler.options.max_unknown * size
            chosen = waiting[good]
            record[chosen], start[chosen], length[chosen] = here[good], place[good], size[good]
            waiting = waiting[~good]
            if not len(waiting):
                break
        found = np.ones(len(first), bool)
        found[waiting] = False
        reverse = (uniform(first.keys, _STRAND) < 0.5) & self.sampler.options.reverse_complement
        return self._taken(first, record, start, length, reverse), found

    def _others(self, first: Reads, which: NDArray[np.int64], wanted: NDArray[np.float64] | None) -> Reads:
        """A read of another group for each of `which`, of the GC content that is nearest to `wanted`."""
        group = self.sampler.genomes.group
        keys = first.keys[which]
        found: Reads | None = None
        missing = np.full(len(which), np.inf)
        for attempt in range(_ATTEMPTS):
            numbers = (keys_of(keys, _OTHER, attempt) >> np.uint64(1)).astype(np.int64)
            reads = self.sampler.draw(numbers, epoch=-2)
            off = np.zeros(len(which)) if wanted is None else np.abs(reads.gc() - wanted)
            off = np.where(group[reads.record] == group[first.record[which]], np.inf, off)
            better = np.flatnonzero(off < missing)
            missing[better] = off[better]
            found = reads if found is None else _replaced(found, better, _chosen(reads, better))
            if attempt + 1 >= (1 if wanted is None else _CANDIDATES) and np.isfinite(missing).all():
                break
        if found is None or not np.isfinite(missing).all():
            raise ValueError("hardly any read lies outside the group of another; pairs need more groups")
        return found

    def _taken(self, first: Reads, record: Any, start: Any, length: Any, reverse: Any) -> Reads:
        genomes = self.sampler.genomes
        places = genomes.start[record] + start
        return Reads(
            letters=genomes.letters.take(places, length, reverse),
            lengths=length,
            labels=genomes.label[record],
            record=record,
            start=start,
            reverse=reverse,
            unknown=genomes.letters.count_unknown(places, length),
            keys=first.keys,
        )


def _chosen(reads: Reads, which: NDArray[np.int64]) -> Reads:
    return Reads(**{name: value[which] for name, value in vars(reads).items()})


def _replaced(reads: Reads, which: NDArray[np.int64], others: Reads) -> Reads:
    """The reads with some of them replaced, in order."""
    width = max(reads.letters.shape[1], others.letters.shape[1])
    out = {}
    for name, value in vars(reads).items():
        new = getattr(others, name)
        if name == "letters":
            value, new = (np.pad(x, ((0, 0), (0, width - x.shape[1])), constant_values=ord("N")) for x in (value, new))
        value = value.copy()
        value[which] = new
        out[name] = value
    return Reads(**out)
