"""Where else guides cut: every site of the genomes within a few mismatches, counted, scored and listed.

All guides of the input are gathered first, then each genome is gone through once. A record's own place is known by
sequence: its guides match perfectly, at places that agree with each other about where the record lies.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from seqformers.datasets_scripts.common.remarks import Remarks
from seqformers.guides.genome_index import GenomeIndex, open_index
from seqformers.guides.neighbours import MOST_MISMATCHES, Hits, find_neighbours
from seqformers.guides.packing import codes_of, letters_of, mismatch_table, pack_codes
from seqformers.guides.rows import spell
from seqformers.guides.sites import PAM_LENGTH, PROTOSPACER, UPSTREAM, Pam, Sites
from seqformers.guides.specificity import WEIGHTINGS, hit_scores, specificity
from seqformers.modeling.guides.processing_deepcpf1 import DeepCpf1Processor

__all__ = ["HIT_COLUMNS", "Guides", "OffTargetOptions", "OffTargets", "off_target_columns"]

HIT_COLUMNS: dict[str, Any] = {
    "protospacer": str, "contig": str, "start": int, "end": int, "strand": str, "pam": str, "site": str,
    "mismatches": int, "score": float, "target_of": str,
}  # fmt: skip
_SLICE = 1 << 16
_GUIDE = slice(UPSTREAM + PAM_LENGTH, UPSTREAM + PAM_LENGTH + PROTOSPACER)
_MOST_NAMED = 3


@dataclass(frozen=True)
class OffTargetOptions:
    """What is searched, and how.

    Args:
        genomes (`tuple[Path, ...]`): FASTA files, plain or compressed.
        pam (`Pam`): Whose sites count as off-targets.
        mismatches (`int`, defaults to 4): 0 to 5 letters of the 23.
        weighting (`str`, defaults to `"weighted"`): See [`seqformers.guides.specificity`].
        index (`Path`, *optional*): Folder of indexes; default: beside each genome.
    """

    genomes: tuple[Path, ...]
    pam: Pam
    mismatches: int = 4
    weighting: str = "weighted"
    index: Path | None = None

    def __post_init__(self) -> None:
        """Refuse what cannot be searched."""
        if not 0 <= self.mismatches <= MOST_MISMATCHES:
            raise ValueError(f"mismatches must be from 0 to {MOST_MISMATCHES}, got {self.mismatches}")
        if self.weighting not in WEIGHTINGS:
            raise ValueError(f"weighting must be one of {', '.join(WEIGHTINGS)}, got {self.weighting!r}")
        names = [str(genome) for genome in self.genomes]
        twice = [name for name in names if names.count(name) > 1]
        if twice:
            raise ValueError(f"the genome {twice[0]} is named twice")

    def settings(self, fingerprint: Callable[[Path], Any]) -> dict[str, Any]:
        """What decides the columns."""
        return {
            "genomes": [fingerprint(genome) for genome in self.genomes], "pam": self.pam.pattern,
            "mismatches": self.mismatches, "weighting": self.weighting,
        }  # fmt: skip


def off_target_columns(mismatches: int) -> dict[str, Any]:
    """Columns of the guide table, and their types."""
    counts: dict[str, Any] = {f"off_targets_{number}": int for number in range(mismatches + 1)}
    return counts | {
        "specificity": float, "best_off_target": str, "best_off_target_mismatches": int, "on_target": str,
    }  # fmt: skip


@dataclass
class Guides:
    """The guides of all records, each row a guide of a record.

    Attributes:
        names (`list[str]`): Records.
        packed, unknown (`np.ndarray` of `uint64`): See [`pack_codes`]; in the order in which they were added.
        record, at (`np.ndarray`): Which record, and the lowest letter of the PAM in it.
        reverse (`np.ndarray` of `bool`): On the record's reverse strand.
    """

    names: list[str] = field(default_factory=list)
    _parts: list[tuple[np.ndarray, ...]] = field(default_factory=list)

    def add(self, names: Sequence[str], sites: Sites) -> None:
        """Gather the usable sites of some records."""
        sites = sites[sites.protospacer_cut == 0]
        codes = DeepCpf1Processor.encode_letters(sites.contexts())[:, _GUIDE]
        self._gather(names, codes, sites.record.astype(np.int64), sites.pam_start, sites.reverse)

    def add_targets(self, names: Sequence[str], codes: np.ndarray) -> None:
        """Gather targets of a table, each a record of its own, by their `(n, 34)` codes."""
        rows = np.arange(len(names))
        self._gather(names, codes[:, _GUIDE], rows, np.full(len(rows), UPSTREAM), np.zeros(len(rows), bool))

    def _gather(
        self, names: Sequence[str], codes: np.ndarray, record: np.ndarray, at: np.ndarray, reverse: np.ndarray
    ) -> None:
        self._parts.append((*pack_codes(codes), record + len(self.names), at, reverse))
        self.names.extend(names)

    def columns(self) -> tuple[np.ndarray, ...]:
        """Packed, unknown, record, at, reverse."""
        empty = (np.empty(0, np.uint64), np.empty(0, np.uint64), np.empty(0, int), np.empty(0, int), np.empty(0, bool))
        return tuple(np.concatenate(column) for column in zip(empty, *self._parts, strict=True))


class OffTargets:
    """What was found, asked by guide.

    Args:
        options (`OffTargetOptions`): What is searched.
        guides (`Guides`): Everything that will be asked for.
        write (callable): Takes rows of [`HIT_COLUMNS`], in the order of genome, contig and place.
        remarks (`Remarks`): Told of records that lie in no genome, and of genomes without sites.
        progress (`bool`): Show progress on stderr.
    """

    def __init__(
        self,
        options: OffTargetOptions,
        guides: Guides,
        *,
        write: Callable[[list[dict[str, Any]]], object] | None = None,
        remarks: Remarks | None = None,
        progress: bool = False,
    ):
        self.options, self.remarks = options, remarks or Remarks("raise")
        packed, unknown, self._record, self._at, self._reverse = guides.columns()
        self._names = guides.names
        distinct, self._which = np.unique(np.stack([packed, unknown], 1), axis=0, return_inverse=True)
        self._which = self._which.reshape(-1)
        self._packed, self._unknown = np.ascontiguousarray(distinct.T)
        self._indexes = self._open(progress)
        with self._bar("sites that match", progress, 2) as bar:
            self._perfect = [self._search(number, 0, bar) for number in range(len(self._indexes))]
            self._own = self._own_places()
            self._count(write, bar)

    def _open(self, progress: bool) -> list[GenomeIndex]:
        found = []
        for genome in self.options.genomes:
            bar = tqdm(desc=f"indexing {genome.name}", unit="nt", unit_scale=True, leave=False, disable=not progress)
            with bar:
                index = open_index(
                    genome, self.options.pam, folder=self.options.index, remarks=self.remarks, advance=bar.update
                )
            if not len(index):
                pattern = self.options.pam.pattern
                self.remarks.note(f"genomes without a {pattern} site", f"{genome}: {index.letters:,} letters")
            found.append(index)
        return found

    def _bar(self, what: str, progress: bool, times: int) -> Any:
        total = times * sum(map(len, self._indexes))
        return tqdm(desc=what, total=total, unit="site", unit_scale=True, leave=False, disable=not progress)

    def _search(self, number: int, mismatches: int, bar: Any) -> Hits:
        """All hits in one genome, in memory: for few mismatches."""
        found = []
        for looked_at, hits in find_neighbours(self._indexes[number], self._packed, self._unknown, mismatches):
            bar.update(looked_at)
            found.append(hits)
        columns = ("guide", "site", "value", "bits", "unknown")
        empty = Hits(np.empty(0, int), np.empty(0, int), *(np.empty(0, np.uint64) for _ in range(3)))
        return Hits(*(np.concatenate([getattr(hits, name) for hits in [empty, *found]]) for name in columns))

    # The place of a record ------------------------------------------------------------------------------------------

    def _own_places(self) -> np.ndarray:
        """Of every row the number of its own perfect hit, counted through all genomes; -1 where it has none."""
        self._hits = np.concatenate([hits.guide for hits in self._perfect])  # guide of every perfect hit
        by_guide = np.argsort(self._hits, kind="stable")
        starts = np.searchsorted(self._hits[by_guide], np.arange(len(self._packed) + 1))
        self._place = self._perfect_places()
        own = np.full(len(self._which), -1)
        missing = []
        edges = np.searchsorted(self._record, np.arange(len(self._names) + 1))
        for record, name in enumerate(self._names):
            rows = np.arange(edges[record], edges[record + 1])
            if len(rows) and not self._locate(rows, by_guide, starts, own):
                missing.append(name)
        if missing:
            self.remarks.note(
                "records are not in the genome, so that every hit of their guides counts as an off-target",
                ", ".join(map(repr, missing[:_MOST_NAMED])), len(missing),
            )  # fmt: skip
        return own

    def _perfect_places(self) -> np.ndarray:
        """`(hits, 4)`: genome, contig, lowest letter of the PAM, reverse."""
        rows = [np.empty((0, 4), np.int64)]
        for number, (index, hits) in enumerate(zip(self._indexes, self._perfect, strict=True)):
            contig, at = index.places(hits.site)
            rows.append(np.stack([np.full(len(hits), number), contig, at, index.reverse(hits.value)], 1))
        return np.concatenate(rows)

    def _locate(self, rows: np.ndarray, by_guide: np.ndarray, starts: np.ndarray, own: np.ndarray) -> bool:
        """Fill `own` for the rows of one record; False, with nothing filled, if the record is in no genome.

        Each perfect hit says where the record would begin. A guide's own hit is the one whose place most guides of the
        record agree on (of a spliced record each exon has its place). The record is there if half of its guides match.
        """
        guide = self._which[rows]
        counts = starts[guide + 1] - starts[guide]
        if not counts.any() or 2 * (counts > 0).sum() < len(rows):
            return False
        row = np.repeat(rows, counts)
        hit = by_guide[
            np.repeat(starts[guide], counts) + np.arange(len(row)) - np.repeat(np.cumsum(counts) - counts, counts)
        ]
        genome, contig, at, reverse = self._place[hit].T
        turned = reverse.astype(bool) != self._reverse[row]
        begins = np.where(turned, at + self._at[row] + PAM_LENGTH - 1, at - self._at[row])
        _, vote, votes = np.unique(
            np.stack([genome, contig, turned, begins], 1), axis=0, return_inverse=True, return_counts=True
        )
        order = np.lexsort((hit, -votes[vote.reshape(-1)], row))
        first = np.r_[True, row[order][1:] != row[order][:-1]]
        own[row[order][first]] = hit[order][first]
        return True

    # Counting -------------------------------------------------------------------------------------------------------

    def _count(self, write: Callable[[list[dict[str, Any]]], object] | None, bar: Any) -> None:
        """Counts, summed scores and the best mismatched hit of every distinct guide."""
        many = len(self._packed)
        self._counts = np.zeros((many, self.options.mismatches + 1), np.int64)
        self._sum = np.zeros(many)
        self._best_score = np.zeros(many)
        self._best = np.zeros((many, 5), np.int64)  # genome, contig, lowest letter of the PAM, reverse, mismatches
        for number, index in enumerate(self._indexes):
            targets = self._targets_of(number) if write else {}
            for looked_at, hits in find_neighbours(index, self._packed, self._unknown, self.options.mismatches):
                bar.update(looked_at)
                for start in range(0, len(hits), _SLICE):
                    rows = slice(start, start + _SLICE)
                    some = Hits(*(getattr(hits, name)[rows] for name in Hits.__dataclass_fields__))
                    self._add(number, index, some, write, targets)

    def _add(
        self, number: int, index: GenomeIndex, hits: Hits, write: Callable[..., object] | None, targets: dict[int, str]
    ) -> None:
        scores, apart = self._scores(hits), hits.mismatches.astype(np.int64)
        np.add.at(self._counts, (hits.guide, apart), 1)
        np.add.at(self._sum, hits.guide, scores)
        contig, at = index.places(hits.site)
        reverse = index.reverse(hits.value)
        off = np.flatnonzero(apart)
        order = off[np.lexsort((hits.site[off], -scores[off], hits.guide[off]))]
        first = order[np.r_[True, hits.guide[order][1:] != hits.guide[order][:-1]]] if len(order) else order
        better = first[scores[first] > self._best_score[hits.guide[first]]]
        self._best_score[hits.guide[better]] = scores[better]
        where = np.stack([np.full(len(better), number), contig[better], at[better], reverse[better], apart[better]], 1)
        self._best[hits.guide[better]] = where
        if write:
            write(self._rows(number, index, hits, scores, contig, at, reverse, targets))

    def _scores(self, hits: Hits) -> np.ndarray:
        """How likely each hit is cut; letters that are unknown on either side are taken for equal there."""
        guide, site = codes_of(self._packed[hits.guide], PROTOSPACER), codes_of(hits.value, PROTOSPACER)
        site = np.where(mismatch_table(hits.unknown | self._unknown[hits.guide]), guide, site)
        return hit_scores(guide, site, mismatch_table(hits.bits), self.options.weighting)

    def _rows(
        self,
        number: int,
        index: GenomeIndex,
        hits: Hits,
        scores: np.ndarray,
        contig: np.ndarray,
        at: np.ndarray,
        reverse: np.ndarray,
        targets: dict[int, str],
    ) -> list[dict[str, Any]]:
        apart, unknown = mismatch_table(hits.bits), mismatch_table(hits.unknown)
        site = letters_of(hits.value, PROTOSPACER, apart)
        site[unknown] = ord("n")
        guide = letters_of(self._packed[hits.guide], PROTOSPACER)
        guide[mismatch_table(self._unknown[hits.guide])] = ord("N")
        start = np.where(reverse, at - PROTOSPACER, at)
        columns = [
            spell(guide), [self._contig(number, name) for name in contig.tolist()], start.tolist(),
            (start + PROTOSPACER + PAM_LENGTH).tolist(), np.where(reverse, "-", "+").tolist(),
            spell(letters_of(index.pams(hits.value), PAM_LENGTH)), spell(site), apart.sum(1).tolist(),
            scores.round(6).tolist(), [targets.get(value, "") for value in hits.site.tolist()],
        ]  # fmt: skip
        return [dict(zip(HIT_COLUMNS, row, strict=True)) for row in zip(*columns, strict=True)]

    def _targets_of(self, number: int) -> dict[int, str]:
        """Site of a genome -> the records whose own target it is."""
        found: dict[int, dict[str, None]] = {}
        sites = np.concatenate([hits.site for hits in self._perfect])
        for row in np.flatnonzero(self._own >= 0).tolist():
            hit = self._own[row]
            if self._place[hit, 0] == number:
                found.setdefault(int(sites[hit]), {})[self._names[self._record[row]]] = None
        return {site: ";".join(names) for site, names in found.items()}

    # Answers --------------------------------------------------------------------------------------------------------

    def columns(self, rows: np.ndarray) -> dict[str, list[Any]]:
        """[`off_target_columns`] of some rows of `guides`."""
        guide, own = self._which[rows], self._own[rows]
        counts = self._counts[guide].copy()
        counts[:, 0] -= own >= 0
        found: dict[str, list[Any]] = {
            f"off_targets_{number}": column.tolist() for number, column in enumerate(counts.T)
        }
        found["specificity"] = self.specificity(rows).round(4).tolist()
        best = [self._best_of(int(g), int(o), int(c)) for g, o, c in zip(guide, own, counts[:, 0], strict=True)]
        found["best_off_target"] = [self._spell(place) for place in best]
        found["best_off_target_mismatches"] = [None if place is None else int(place[4]) for place in best]
        found["on_target"] = [self._spell(None if hit < 0 else self._place[hit]) for hit in own.tolist()]
        return found

    def specificity(self, rows: np.ndarray) -> np.ndarray:
        """From 0 to 100, of some rows of `guides`: `(n,)`."""
        return specificity(self._sum[self._which[rows]] - (self._own[rows] >= 0))

    def totals(self, rows: np.ndarray) -> np.ndarray:
        """Off-targets of any number of mismatches, of some rows of `guides`: `(n,)`."""
        return self._counts[self._which[rows]].sum(1) - (self._own[rows] >= 0)

    def _best_of(self, guide: int, own: int, perfect: int) -> np.ndarray | None:
        """Genome, contig, lowest letter of the PAM, reverse, mismatches; another perfect site before any other."""
        if perfect:
            other = next(hit for hit in np.flatnonzero(self._hits == guide).tolist() if hit != own)
            return np.append(self._place[other], 0)
        return self._best[guide] if self._best_score[guide] > 0 else None

    def _spell(self, place: np.ndarray | None) -> str:
        """`contig:start-end(strand)` of PAM and protospacer."""
        if place is None:
            return ""
        genome, contig, at, reverse = (int(value) for value in place[:4])
        start = at - PROTOSPACER if reverse else at
        return f"{self._contig(genome, contig)}:{start}-{start + PAM_LENGTH + PROTOSPACER}({'-' if reverse else '+'})"

    def _contig(self, genome: int, contig: int) -> str:
        name = self._indexes[genome].contigs[contig]
        return name if len(self._indexes) == 1 else f"{self._indexes[genome].genome.name}/{name}"
