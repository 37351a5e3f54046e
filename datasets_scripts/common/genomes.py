"""A store of genomes on disk: letters in one memory map, what is known of each record in small arrays.

A builder streams its input into the store once and then draws windows from it at random, so memory does not grow with
the input: 10 GB of FASTA need 10 GB of scratch disk and some megabytes of memory.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from seqformers.datasets_scripts.common.windows import letters_of

__all__ = ["GenomeRecord", "GenomeStore", "write_store"]

_NOT_ACGT = np.ones(256, dtype=bool)
_NOT_ACGT[list(b"ACGT")] = False


class GenomeRecord(NamedTuple):
    """One sequence of the input: a contig or segment of `genome_id`, which belongs to `group` and class `label`."""

    id: str
    genome_id: str
    group: str
    label: int
    sequence: str | bytes


@dataclass
class GenomeStore:
    """Genomes ready to be cut.

    Attributes:
        letters (`uint8` array of shape `(nt,)`): All records after each other, upper-case DNA letters.
        offset (`int64` array of shape `(records,)`): Where each record starts in `letters`.
        length (`int64` array of shape `(records,)`): Letters of each record.
        ambiguous (`int64` array of shape `(records,)`): Letters other than A, C, G, T.
        genome (`int32` array of shape `(records,)`): Index of the record's genome.
        genome_ids, groups (`list[str]`): Name and group of each genome.
        label (`int16` array of shape `(genomes,)`): Class of each genome, -1 for unknown.
    """

    letters: NDArray[np.uint8]
    offset: NDArray[np.int64]
    length: NDArray[np.int64]
    ambiguous: NDArray[np.int64]
    genome: NDArray[np.int32]
    genome_ids: list[str]
    groups: list[str]
    label: NDArray[np.int16]

    @property
    def genome_length(self) -> NDArray[np.int64]:
        """Letters of each genome, shape `(genomes,)`."""
        return np.bincount(self.genome, weights=self.length, minlength=len(self.genome_ids)).astype(np.int64)

    def records_of(self, genomes: NDArray[np.int64]) -> NDArray[np.int64]:
        """Indices of all records of some genomes, in store order."""
        return np.flatnonzero(np.isin(self.genome, genomes))

    def sequence(self, record: int) -> NDArray[np.uint8]:
        """The letters of one record."""
        return self.letters[self.offset[record] : self.offset[record] + self.length[record]]

    def clean(self, starts: NDArray[np.int64], lengths: NDArray[np.int64], max_ambiguous: float) -> NDArray[np.bool_]:
        """Which spans (absolute `starts` in `letters`) hold at most a share of `max_ambiguous` letters not in ACGT."""
        good = np.ones(len(starts), dtype=bool)
        record = np.searchsorted(self.offset, starts, side="right") - 1
        for which in np.unique(record[self.ambiguous[record] > 0]):
            rows = np.flatnonzero(record == which)
            bad = np.concatenate([[0], np.cumsum(_NOT_ACGT[self.sequence(which)])])
            first = starts[rows] - self.offset[which]
            good[rows] = bad[first + lengths[rows]] - bad[first] <= max_ambiguous * lengths[rows]
        return good


def write_store(records: Iterable[GenomeRecord], path: str | Path) -> GenomeStore:
    """Stream `records` into a letters file at `path` and return the open store.

    Args:
        records (`Iterable[GenomeRecord]`): Records of one genome may lie apart.
        path (`str` or `Path`): Scratch file for the letters, one byte a letter.

    Raises:
        ValueError: no records at all, a record given twice, or a genome with two classes.
    """
    index: dict[str, int] = {}
    groups: list[str] = []
    labels: list[int] = []
    columns: tuple[list[int], list[int], list[int]] = ([], [], [])
    seen: set[tuple[str, str]] = set()
    merged = _Union()
    with Path(path).open("wb") as file:
        for record in records:
            if (record.genome_id, record.id) in seen:
                raise ValueError(
                    f"record {record.id!r} of genome {record.genome_id!r} is there twice; give every record its own id"
                )
            seen.add((record.genome_id, record.id))
            genome = index.setdefault(record.genome_id, len(index))
            if genome == len(groups):
                groups.append(record.group)
                labels.append(record.label)
            elif labels[genome] != record.label:
                raise ValueError(f"genome {record.genome_id!r} has records of two classes; give it one")
            merged.join(groups[genome], record.group)
            letters = letters_of(record.sequence)
            file.write(letters.data)
            for column, value in zip(columns, (genome, len(letters), _count_ambiguous(letters)), strict=True):
                column.append(value)
    if not groups:
        raise ValueError("the input holds no sequences")
    length = np.array(columns[1], dtype=np.int64)
    if merged.count:
        warnings.warn(f"{merged.count} groups share a genome with another group and were joined with it", stacklevel=2)
    return GenomeStore(
        letters=np.memmap(path, dtype=np.uint8, mode="r") if length.sum() else np.zeros(0, np.uint8),
        offset=np.concatenate([[0], np.cumsum(length)[:-1]]).astype(np.int64),
        length=length,
        ambiguous=np.array(columns[2], dtype=np.int64),
        genome=np.array(columns[0], dtype=np.int32),
        genome_ids=list(index),
        groups=[merged.root(group) for group in groups],
        label=np.array(labels, dtype=np.int16),
    )


def _count_ambiguous(letters: NDArray[np.uint8]) -> int:
    return len(letters.tobytes().translate(None, b"ACGT"))


class _Union:
    """Groups that share a genome become one."""

    def __init__(self) -> None:
        self.parent: dict[str, str] = {}
        self.count = 0

    def root(self, name: str) -> str:
        while (up := self.parent.get(name, name)) != name:
            name = up
        return name

    def join(self, one: str, other: str) -> None:
        one, other = self.root(one), self.root(other)
        if one != other:
            self.parent[other] = one
            self.count += 1
