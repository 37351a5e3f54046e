"""Reads drawn from genomes as they are needed: read `i` of epoch `e` is a function of the seed, `e` and `i` alone.

So a stream of fresh reads is the same whatever the number of workers and processes, in whatever order its batches are
made, and a resumed run goes on where it stopped without drawing what came before.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from seqformers.datasets_scripts.common.counter_draws import keys_of, uniform
from seqformers.datasets_scripts.genomes.arrays import GenomeArrays
from seqformers.datasets_scripts.phage.draws import LengthLaw

__all__ = ["ReadOptions", "ReadSampler", "Reads"]

_CLASS, _LENGTH, _FULL, _RECORD, _START, _STRAND, _KEEP = range(7)  # uses of chance
_ATTEMPTS = 256
_GC_BINS = 50
_GC_SAMPLE = 20_000  # reads of each class that its GC distribution is measured on
_LEAST_OVERLAP = 0.05


@dataclass(frozen=True, kw_only=True)
class ReadOptions:
    """What reads are drawn.

    Args:
        length (`int` or `dict`): Letters of a read; or the law `{lower, upper, bias}`: `upper` with the probability
            `bias`, else uniform between the two ([`LengthLaw`]). Records shorter than that (than `lower`) are left
            out; a record shorter than `upper` gives reads of at most its own length.
        weight (`str`): How often a group is drawn: by the square `root` of its possible reads, by their number
            (`letters`), or all `groups` alike. Within a group every possible read is as likely as any other.
        balance (`bool`): All classes equally often.
        gc_match (`bool`): Reads of all classes have the same distribution of GC content.
        reverse_complement (`bool`): Half of the reads come from the other strand.
        max_unknown (`float`): Share of letters other than A, C, G, T that a read may have; 0: none.
        classes (`dict`): New class -> classes of the genomes; those not named are left out. Empty: as they are.
    """

    length: int | dict[str, Any] = 150
    weight: Literal["root", "letters", "groups"] = "root"
    balance: bool = True
    gc_match: bool = False
    reverse_complement: bool = True
    max_unknown: float = 0.0
    classes: dict[str, list[str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.weight not in ("root", "letters", "groups"):
            raise ValueError(f"weight must be root, letters or groups, not {self.weight!r}")
        if not 0 <= self.max_unknown <= 1:
            raise ValueError(f"max_unknown must lie between 0 and 1, not {self.max_unknown}")
        if isinstance(self.length, Mapping) and (unknown := set(self.length) - {"lower", "upper", "bias"}):
            raise ValueError(f"length has no key {sorted(unknown)[0]!r}; a law is {{lower, upper, bias}}")
        if not isinstance(self.length, Mapping) and self.length < 1:
            raise ValueError(f"length must be at least 1, not {self.length}")
        assert self.law is None or self.law

    @property
    def law(self) -> LengthLaw | None:
        """The law of lengths; None for reads of one length."""
        return LengthLaw(**self.length) if isinstance(self.length, Mapping) else None

    @property
    def shortest(self) -> int:
        """Letters of the shortest read."""
        return self.law.lower if self.law is not None else int(self.length)  # type: ignore[arg-type]

    @property
    def longest(self) -> int:
        """Letters of the longest read."""
        return self.law.upper if self.law is not None else int(self.length)  # type: ignore[arg-type]


@dataclass
class Reads:
    """A batch of reads.

    Attributes:
        letters (`uint8` array of shape `(n, longest)`): ASCII letters; N where unknown, and behind the end of a read.
        lengths (`int64` array of shape `(n,)`): Letters of each read.
        labels (`int64` array of shape `(n,)`): Class of each read.
        record (`int64` array of shape `(n,)`): Index of its record in the genomes.
        start (`int64` array of shape `(n,)`): First letter in the record, 0-based, on the stored strand.
        reverse (`bool` array of shape `(n,)`): Whether it is the reverse complement of the stored letters.
        unknown (`int64` array of shape `(n,)`): Letters other than A, C, G, T.
        keys (`uint64` array of shape `(n,)`): What further chance about each read is drawn from.
    """

    letters: NDArray[np.uint8]
    lengths: NDArray[np.int64]
    labels: NDArray[np.int64]
    record: NDArray[np.int64]
    start: NDArray[np.int64]
    reverse: NDArray[np.bool_]
    unknown: NDArray[np.int64]
    keys: NDArray[np.uint64]

    def __len__(self) -> int:
        return len(self.lengths)

    def strings(self) -> list[str]:
        """The reads as text."""
        width = self.letters.shape[1]
        if not width:
            return [""] * len(self)
        # NumPy ends fixed-width text at its trailing zeros.
        ended = np.where(np.arange(width) < self.lengths[:, None], self.letters, 0).astype(np.uint8)
        return ended.view(f"S{width}")[:, 0].astype(f"U{width}").tolist()

    def gc(self) -> NDArray[np.float64]:
        """Share of G and C of each read, shape `(n,)`."""
        strong = (self.letters == ord("G")) | (self.letters == ord("C"))
        return strong.sum(axis=1) / self.lengths


class ReadSampler:
    """Draws reads from genomes.

    Args:
        genomes (`GenomeArrays`): Of one split.
        options (`ReadOptions`, *optional*): What is drawn.
        seed (`int`, *optional*, defaults to 0): Another seed gives other reads.

    Raises:
        ValueError: no record is long enough, a class has none, or the GC contents of the classes hardly overlap.

    Examples:
        ```python
        genomes = GenomeArrays.open("data/genomes", "train")
        sampler = ReadSampler(genomes, ReadOptions(length=150, gc_match=True))
        reads = sampler.draw(range(64), epoch=0)
        reads.letters.shape, reads.labels.shape  # (64, 150), (64,)
        ```
    """

    def __init__(self, genomes: GenomeArrays, options: ReadOptions | None = None, seed: int = 0):
        self.options = options or ReadOptions()
        self.genomes = genomes.with_classes(self.options.classes) if self.options.classes else genomes
        self.seed = seed
        long_enough = self.genomes.length >= self.options.shortest
        self.left_out = int((~long_enough).sum())
        self._index_records(np.flatnonzero(long_enough))
        self._acceptance = self._match_gc() if self.options.gc_match and len(self.names) > 1 else None

    @property
    def names(self) -> list[str]:
        """The classes."""
        return self.genomes.names

    def _index_records(self, which: NDArray[np.int64]) -> None:
        """Records in the order of their classes, with the weights that they are drawn by, summed up."""
        genomes, options = self.genomes, self.options
        missing = sorted(set(range(len(self.names))) - set(genomes.label[which].tolist()))
        if missing:
            raise ValueError(
                f"no genome of the class {self.names[missing[0]]!r} is {options.shortest} letters long; lower the "
                "length, or leave the class out (classes)"
            )
        order = which[np.argsort(genomes.label[which], kind="stable")]
        reads = (genomes.length[order] - options.shortest + 1).astype(np.float64)
        # A group may hold records of several classes, so its weight is one in each of them.
        _, group = np.unique(
            genomes.label[order] * (len(genomes.groups) + 1) + genomes.group[order], return_inverse=True
        )
        total = np.bincount(group, weights=reads)
        power = {"root": -0.5, "letters": 0.0, "groups": -1.0}[options.weight]
        weight = reads * total[group] ** power
        self._order = order
        self._cumulative = np.concatenate([[0.0], np.cumsum(weight)])
        edges = np.searchsorted(genomes.label[order], np.arange(len(self.names) + 1))
        self._edges = self._cumulative[edges]
        sizes = np.ones(len(self.names)) if options.balance else np.diff(self._edges)
        self._class_cumulative = np.cumsum(sizes / sizes.sum())[:-1]

    # -- drawing -----------------------------------------------------------------------------------------------------

    def lengths(self, indices: Sequence[int] | NDArray[np.int64], epoch: int = 0) -> NDArray[np.int64]:
        """Lengths that reads are wanted of, shape of `indices`; a record that is shorter gives a shorter one."""
        return self._lengths(keys_of(self.seed, epoch, np.asarray(indices)))

    def _lengths(self, keys: NDArray[np.uint64]) -> NDArray[np.int64]:
        law = self.options.law
        if law is None:
            return np.full(keys.shape, self.options.longest, np.int64)
        between = law.lower + (uniform(keys, _LENGTH) * (law.upper - law.lower + 1)).astype(np.int64)
        return np.where(uniform(keys, _FULL) < law.bias, law.upper, between)

    def labels(self, indices: Sequence[int] | NDArray[np.int64], epoch: int = 0) -> NDArray[np.int64]:
        """Classes of reads, without drawing them; shape of `indices`."""
        return self._labels(keys_of(self.seed, epoch, np.asarray(indices)))

    def _labels(self, keys: NDArray[np.uint64]) -> NDArray[np.int64]:
        return np.searchsorted(self._class_cumulative, uniform(keys, _CLASS), side="right")

    def draw(self, indices: Sequence[int] | NDArray[np.int64], epoch: int = 0) -> Reads:
        """Draw reads by their numbers.

        Args:
            indices (`Sequence[int]`): Which reads of the epoch; any whole numbers from 0 on, in any order.
            epoch (`int`): Another epoch has other reads.

        Raises:
            ValueError: a class has hardly any reads with few enough unknown letters.
        """
        keys = keys_of(self.seed, epoch, np.asarray(indices, dtype=np.int64))
        label, wanted = self._labels(keys), self._lengths(keys)
        record, start, length = (np.empty(len(keys), np.int64) for _ in range(3))
        waiting = np.arange(len(keys))
        for attempt in range(_ATTEMPTS):
            chance = keys_of(keys[waiting], attempt)
            found = self._place(chance, label[waiting], wanted[waiting])
            record[waiting], start[waiting], length[waiting] = found
            waiting = waiting[~self._accepted(chance, label[waiting], *found)]
            if not len(waiting):
                break
        if len(waiting) and self._acceptance is None:
            raise ValueError(
                f"the class {self.names[label[waiting[0]]]!r} has hardly any reads with at most "
                f"{self.options.max_unknown:.0%} unknown letters; raise max_unknown, or leave such records out"
            )
        reverse = (uniform(keys, _STRAND) < 0.5) & self.options.reverse_complement
        places = self.genomes.start[record] + start
        return Reads(
            letters=self.genomes.letters.take(places, length, reverse),
            lengths=length,
            labels=label,
            record=record,
            start=start,
            reverse=reverse,
            unknown=self.genomes.letters.count_unknown(places, length),
            keys=keys,
        )

    def _place(
        self, chance: NDArray[np.uint64], label: NDArray[np.int64], wanted: NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
        """Record, start within it and length of one attempt."""
        low, high = self._edges[label], self._edges[label + 1]
        point = low + uniform(chance, _RECORD) * (high - low)
        row = np.searchsorted(self._cumulative, point, side="right") - 1
        record = self._order[np.minimum(row, len(self._order) - 1)]
        length = np.minimum(wanted, self.genomes.length[record])
        start = (uniform(chance, _START) * (self.genomes.length[record] - length + 1)).astype(np.int64)
        return record, start, length

    def _accepted(
        self,
        chance: NDArray[np.uint64],
        label: NDArray[np.int64],
        record: NDArray[np.int64],
        start: NDArray[np.int64],
        length: NDArray[np.int64],
    ) -> NDArray[np.bool_]:
        genomes, places = self.genomes, self.genomes.start[record] + start
        good = genomes.letters.count_unknown(places, length) <= self.options.max_unknown * length
        if self._acceptance is not None:
            good &= uniform(chance, _KEEP) < self._acceptance[label, self._gc_bin(places, length)]
        return good

    # -- GC ----------------------------------------------------------------------------------------------------------

    def _gc_bin(self, places: NDArray[np.int64], length: NDArray[np.int64]) -> NDArray[np.int64]:
        letters = self.genomes.letters.take(places, length)
        strong = ((letters == ord("G")) | (letters == ord("C"))).sum(axis=1)
        return np.minimum(strong * _GC_BINS // length, _GC_BINS - 1)

    def _match_gc(self) -> NDArray[np.float64]:
        """Chance that a read of a class and GC bin is kept, `(classes, bins)`: what all classes have in common."""
        share = np.zeros((len(self.names), _GC_BINS))
        for label in range(len(self.names)):
            keys = keys_of(self.seed, -1, label, np.arange(_GC_SAMPLE))
            which = np.full(_GC_SAMPLE, label)
            record, start, length = self._place(keys, which, self._lengths(keys))
            places = self.genomes.start[record] + start
            clean = self.genomes.letters.count_unknown(places, length) <= self.options.max_unknown * length
            bins = self._gc_bin(places[clean], length[clean])
            share[label] = np.bincount(bins, minlength=_GC_BINS) / max(1, len(bins))
        common = share.min(axis=0)
        if common.sum() < _LEAST_OVERLAP:
            raise ValueError(
                f"the classes have only {common.sum():.1%} of their GC distributions in common, too little to match; "
                "set gc_match=false, or leave a class out (classes)"
            )
        return np.divide(common, share, out=np.zeros_like(share), where=share > 0)

    @cached_property
    def facts(self) -> dict[str, Any]:
        """Records, groups and letters of each class, and the records that are too short: for reports."""
        used = self._order
        return {
            "records shorter than a read": self.left_out,
            "classes": {
                name: {
                    "records": int((own := self.genomes.label[used] == label).sum()),
                    "groups": len(np.unique(self.genomes.group[used][own])),
                    "letters": int(self.genomes.length[used][own].sum()),
                }
                for label, name in enumerate(self.names)
            },
        }
