"""The sequences and pairs that a target scan reads: checked, counted, and held outside memory where they are large."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from seqformers.datasets_scripts.common.fasta import read_fasta
from seqformers.datasets_scripts.common.remarks import Remarks
from seqformers.datasets_scripts.common.tables import open_table
from seqformers.modeling.targets.targetnet_sites import UNKNOWN, WINDOW, encode_rna

__all__ = ["ScanReport", "TargetRecords", "find_pairs", "pair_all", "read_pairs"]

_MANY = 20  # pairs of which a share can be told


class ScanReport(Remarks):
    """Counts what a scan did, and what it left out or found odd, with a few examples each.

    Attributes:
        pairs (`int`): Pairs scored, those of an interrupted run included.
        high (`int`): Those of them that score above 0.5.
        resumed (`int`): Pairs that an interrupted run had scored.
        finished (`bool`): The output was there already, whole.
    """

    pairs = high = resumed = 0
    finished = False

    def count(self, scored: Iterable[Any]) -> None:
        """Add scored pairs."""
        for pair in scored:
            self.pairs += 1
            self.high += pair.score > 0.5

    def join_shards(self, others: Sequence[ScanReport]) -> None:  # type: ignore[override]
        """Count what the other shards of the same job did, too."""
        super().join_shards(others)
        for other in others:
            self.pairs += other.pairs
            self.high += other.high
            self.resumed += other.resumed

    def problem(self, what: str, message: str) -> None:
        """A record or pair that cannot be used: raise, or count it under `what`."""
        skip = "" if self.on_error == "skip" else " (--on-error skip leaves it out and goes on)"
        super().problem(what, message + skip)

    def lines(self) -> list[str]:
        """One line a kind of remark, and one if the scores say little."""
        lines = super().lines()
        if self.pairs >= _MANY and 2 * self.high > self.pairs:
            lines.append(
                "most pairs score above 0.5: the best of many sites is high by chance, so long mRNAs nearly always "
                "do; compare mRNAs by rank, miRNA by miRNA, or keep high scores only with --min-score"
            )
        return lines


class _CodeFile(Sequence):
    """Arrays laid end to end in a temporary file, so that a transcriptome takes no memory."""

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile()  # noqa: SIM115, it lives as long as this object
        self._ends = [0]
        self._map: np.ndarray | None = None

    def append(self, codes: np.ndarray) -> None:
        self._file.write(codes.tobytes())
        self._ends.append(self._ends[-1] + len(codes))

    def __len__(self) -> int:
        return len(self._ends) - 1

    def __getitem__(self, index: Any) -> Any:
        begin, end = self._ends[index], self._ends[index + 1]
        if self._map is None and self._ends[-1]:
            self._file.flush()
            self._map = np.memmap(self._file, dtype=np.uint8, mode="r", shape=(self._ends[-1],))
        return np.zeros(0, np.uint8) if begin == end or self._map is None else np.asarray(self._map[begin:end])


class TargetRecords:
    """Named miRNAs or mRNAs as codes, in the order given.

    Args:
        kind (`str`): `"miRNA"` or `"mRNA"`.
        processor: Of the model; says which miRNAs fit.
        report (`ScanReport`): Told of what cannot be used or is odd.
        padding (`tuple[int, int]`): Unknown letters to put before and after each, so that sites at ends are seen.
        on_disk (`bool`): Keep the codes in a temporary file.

    Attributes:
        ids (`list[str]`): Ids.
        codes (`Sequence[np.ndarray]`): Codes of each sequence, padding included.
        before (`int`): Unknown letters put before each.
        index (`dict[str, int]`): Id -> position.
        refused (`set[str]`): Ids of records left out.
    """

    def __init__(
        self,
        kind: str,
        processor: Any,
        report: ScanReport,
        *,
        padding: tuple[int, int] = (0, 0),
        on_disk: bool = False,
    ):
        self.kind, self.processor, self.report, self.padding = kind, processor, report, padding
        self.ids: list[str] = []
        self.codes: Any = _CodeFile() if on_disk else []
        self.before = padding[0]
        self.index: dict[str, int] = {}
        self.refused: set[str] = set()

    def __len__(self) -> int:
        return len(self.ids)

    @classmethod
    def from_mapping(
        cls,
        sequences: Mapping[str, str],
        kind: str,
        processor: Any,
        report: ScanReport,
        *,
        padding: tuple[int, int] = (0, 0),
    ) -> TargetRecords:
        """Records from a dict id -> sequence."""
        if not isinstance(sequences, Mapping):
            raise ValueError(f"give the {kind}s as a dict from id to sequence, not as {type(sequences).__name__}")
        records = cls(kind, processor, report, padding=padding)
        for name, sequence in sequences.items():
            records._add(name, sequence, f"{kind} {name!r}")
        return records._complete(f"the dict of {kind}s")

    @classmethod
    def from_fasta(
        cls, path: str | Path, kind: str, processor: Any, report: ScanReport, *, padding: tuple[int, int] = (0, 0)
    ) -> TargetRecords:
        """Records of a FASTA file; mRNAs go to a temporary file, so memory does not grow with them."""
        records = cls(kind, processor, report, padding=padding, on_disk=kind == "mRNA")
        for number, record in enumerate(read_fasta(path, remarks=report), 1):
            records._add(record.id, record.sequence, f"{path}: record {number} ({record.id})")
        return records._complete(str(path))

    def _add(self, key: str, sequence: str, name: str) -> None:
        kind, report = self.kind, self.report
        if key in self.index:
            report.problem(
                f"{kind} records repeated an id (the first is used)",
                f"{name}: id {key!r} is used by record {self.index[key] + 1} already; ids must be unique",
            )
            return
        try:
            codes = self.processor.encode_mirna(sequence, name) if kind == "miRNA" else encode_rna(sequence, name)
        except ValueError as error:
            self.refused.add(key)
            report.problem(f"{kind} records left out", str(error))
            return
        if (codes == UNKNOWN).any():
            report.note(f"{kind}s hold letters other than A, C, G, U, T, which pair with nothing", key)
        upper = sequence.upper()
        if "T" in upper and "U" in upper:
            report.note(f"{kind}s mix T and U, read as the same letter", key)
        if kind == "miRNA" and len(codes) > self.processor.max_mirna_length:
            report.note(f"miRNAs are longer than the {self.processor.max_mirna_length} nt that the model reads", key)
        if kind == "mRNA" and not len(codes):
            report.note("mRNAs are empty, so they have no site and score 0", key)
        elif kind == "mRNA" and not any(self.padding) and len(codes) < WINDOW:
            report.note(f"mRNAs are shorter than {WINDOW} nt, so they have no window and score 0", key)
        self.index[key] = len(self.ids)
        self.ids.append(key)
        self.codes.append(np.pad(codes, self.padding, constant_values=UNKNOWN) if any(self.padding) else codes)

    def _complete(self, where: str) -> TargetRecords:
        if not self.ids:
            raise ValueError(f"{where} holds no usable {self.kind}")
        return self

    def length(self, index: int) -> int:
        """Letters of a record, without the padding."""
        return len(self.codes[index]) - sum(self.padding)

    def sequence(self, key: str) -> str:
        """The letters of a record, as RNA."""
        index = self.index[key]
        codes = self.codes[index][self.before : self.before + self.length(index)]
        return np.frombuffer(b"ACGUN", np.uint8)[codes].tobytes().decode()


def pair_all(mirnas: TargetRecords, mrnas: TargetRecords) -> Iterator[tuple[int, int]]:
    """Every miRNA with every mRNA, miRNA by miRNA."""
    return iter(product(range(len(mirnas)), range(len(mrnas))))


def find_pairs(
    named: Iterable[tuple[str, tuple[str, str]]], mirnas: TargetRecords, mrnas: TargetRecords, report: ScanReport
) -> Iterator[tuple[int, int]]:
    """Pairs of ids as pairs of positions, one at a time.

    Args:
        named: Pairs of ids, each with the place where it stands in the source, for messages.
        mirnas (`TargetRecords`): miRNAs.
        mrnas (`TargetRecords`): mRNAs.
        report (`ScanReport`): Told of pairs that name unknown ids.

    Yields:
        `tuple[int, int]`: positions of miRNA and mRNA.
    """
    for where, names in named:
        positions = []
        for kind, records, name in zip(("mirna_id", "mrna_id"), (mirnas, mrnas), names, strict=True):
            if name in records.index:
                positions.append(records.index[name])
                continue
            why = "its record could not be used" if name in records.refused else f"no record of this {kind}"
            report.problem("pairs left out", f"{where}: {kind} {name!r}: {why}")
            break
        if len(positions) == 2:
            yield positions[0], positions[1]


def read_pairs(path: str | Path, report: ScanReport) -> Iterator[tuple[str, tuple[str, str]]]:
    """Place and ids of each pair in a table with columns `mirna_id` and `mrna_id`."""
    names = ("mirna_id", "mrna_id")
    table = open_table(path, required=names, text=names, remarks=report)
    for number, row in table.rows():
        yield table.where(number), (row["mirna_id"], row["mrna_id"])
