"""The sequences and pairs that a target scan reads: checked, counted, and held outside memory where they are large."""

from __future__ import annotations

import csv
import tempfile
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from seqformers.datasets_scripts.common.fasta import read_fasta
from seqformers.modeling.targets.targetnet_sites import UNKNOWN, WINDOW, encode_rna

__all__ = ["ScanReport", "TargetRecords", "find_pairs", "pair_all", "read_pairs"]

_SHOWN = 3
_MANY = 20  # pairs of which a share can be told


class ScanReport:
    """Counts what a scan did, and what it left out or found odd, with a few examples each.

    Args:
        on_error (`str`): `"raise"` at the first record that cannot be used, or `"skip"` it.
    """

    def __init__(self, on_error: str = "raise"):
        if on_error not in ("raise", "skip"):
            raise ValueError(f"on_error is 'raise' or 'skip', not {on_error!r}")
        self.on_error = on_error
        self.pairs = 0
        self.functional = 0
        self.resumed = 0
        self.counts: Counter[str] = Counter()
        self.examples: dict[str, list[str]] = {}

    def problem(self, what: str, message: str) -> None:
        """A record or pair that cannot be used: raise, or count it under `what`."""
        if self.on_error == "raise":
            raise ValueError(f"{message} (--on-error skip leaves it out and goes on)")
        self.note(what, message)

    def note(self, what: str, example: str) -> None:
        """Something the user should know of; the scan goes on."""
        self.counts[what] += 1
        shown = self.examples.setdefault(what, [])
        if len(shown) < _SHOWN:
            shown.append(example)

    def count(self, scored: Iterable[Any]) -> None:
        """Add scored pairs."""
        for pair in scored:
            self.pairs += 1
            self.functional += pair.score > 0.5

    def lines(self) -> list[str]:
        """One line a kind of remark, and one if the scores say little."""
        lines = [
            f"{count:,} {what}: {'; '.join(self.examples[what])}{' ...' if count > _SHOWN else ''}"
            for what, count in self.counts.items()
        ]
        if self.pairs >= _MANY and 2 * self.functional > self.pairs:
            lines.append(
                "most pairs score above 0.5: the best of many sites is high by chance, so long mRNAs nearly always "
                "do; compare mRNAs by rank, miRNA by miRNA, or keep high scores only with --min-score"
            )
        return lines

    def warn(self) -> None:
        """Raise every remark as a Python warning."""
        for line in self.lines():
            warnings.warn(line, UserWarning, stacklevel=3)


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
    """Named sequences as codes, in the order given.

    Attributes:
        ids (`list[str]`): Ids.
        codes (`Sequence[np.ndarray]`): Codes of each sequence.
        index (`dict[str, int]`): Id -> position.
        refused (`set[str]`): Ids of records left out.
    """

    def __init__(self, codes: Any):
        self.ids: list[str] = []
        self.codes = codes
        self.index: dict[str, int] = {}
        self.refused: set[str] = set()

    def __len__(self) -> int:
        return len(self.ids)

    @classmethod
    def from_mapping(
        cls, sequences: Mapping[str, str], kind: str, processor: Any, report: ScanReport
    ) -> TargetRecords:
        """Records from a dict id -> sequence."""
        if not isinstance(sequences, Mapping):
            raise ValueError(f"give the {kind}s as a dict from id to sequence, not as {type(sequences).__name__}")
        records = cls([])
        for number, (name, sequence) in enumerate(sequences.items(), 1):
            records._add(name, sequence, f"{kind} {name!r}", number, kind, processor, report)
        return records._complete(kind, f"the dict of {kind}s")

    @classmethod
    def from_fasta(cls, path: str | Path, kind: str, processor: Any, report: ScanReport) -> TargetRecords:
        """Records of a FASTA file; mRNAs go to a temporary file, so memory does not grow with them."""
        records = cls(_CodeFile() if kind == "mRNA" else [])
        for number, record in enumerate(read_fasta(path), 1):
            name = f"{path}: record {number} ({record.id})"
            records._add(record.id, record.sequence, name, number, kind, processor, report)
        return records._complete(kind, str(path))

    def _add(
        self, key: str, sequence: str, name: str, number: int, kind: str, processor: Any, report: ScanReport
    ) -> None:
        if key in self.index:
            report.problem(
                f"{kind} records repeated an id (the first is used)",
                f"{name}: id {key!r} is used by record {self.index[key] + 1} already; ids must be unique",
            )
            return
        try:
            codes = processor.encode_mirna(sequence, name) if kind == "miRNA" else encode_rna(sequence, name)
        except ValueError as error:
            self.refused.add(key)
            report.problem(f"{kind} records left out", str(error))
            return
        if (codes == UNKNOWN).any():
            report.note(f"{kind}s hold letters other than A, C, G, U, T, which pair with nothing", key)
        upper = sequence.upper()
        if "T" in upper and "U" in upper:
            report.note(f"{kind}s mix T and U, read as the same letter", key)
        if kind == "mRNA" and len(codes) < WINDOW:
            report.note(f"mRNAs are shorter than {WINDOW} nt, so they have no candidate site and score 0", key)
        self.index[key] = len(self.ids)
        self.ids.append(key)
        self.codes.append(codes)

    def _complete(self, kind: str, where: str) -> TargetRecords:
        if not self.ids:
            raise ValueError(f"{where} holds no usable {kind}")
        return self

    def sequence(self, key: str) -> str:
        """The letters of a record, as RNA."""
        return np.frombuffer(b"ACGUN", np.uint8)[self.codes[self.index[key]]].tobytes().decode()


def pair_all(mirnas: TargetRecords, mrnas: TargetRecords) -> Iterator[tuple[int, int]]:
    """Every miRNA with every mRNA, miRNA by miRNA."""
    return iter(product(range(len(mirnas)), range(len(mrnas))))


def find_pairs(
    named: Iterable[tuple[int, tuple[str, str]]],
    mirnas: TargetRecords,
    mrnas: TargetRecords,
    report: ScanReport,
    where: str = "pair",
) -> Iterator[tuple[int, int]]:
    """Pairs of ids as pairs of positions, one at a time.

    Args:
        named: Pairs of ids, each with its number in the source.
        mirnas (`TargetRecords`): miRNAs.
        mrnas (`TargetRecords`): mRNAs.
        report (`ScanReport`): Told of pairs that name unknown ids.
        where (`str`): How an error calls the source.

    Yields:
        `tuple[int, int]`: positions of miRNA and mRNA.
    """
    for number, names in named:
        positions = []
        for kind, records, name in zip(("mirna_id", "mrna_id"), (mirnas, mrnas), names, strict=True):
            if name in records.index:
                positions.append(records.index[name])
                continue
            why = "its record could not be used" if name in records.refused else f"no record of this {kind}"
            report.problem("pairs left out", f"{where} {number}: {kind} {name!r}: {why}")
        if len(positions) == 2:
            yield positions[0], positions[1]


def read_pairs(path: Path, report: ScanReport) -> Iterator[tuple[int, tuple[str, str]]]:
    """Line number and ids of each pair in a tab-separated file with columns `mirna_id` and `mrna_id`."""
    if not path.is_file():
        raise FileNotFoundError(f"no such file of pairs: {path}")
    with path.open(encoding="utf-8-sig", newline="") as file:
        rows = csv.reader(file, delimiter="\t")
        header = next(rows, [])
        if not {"mirna_id", "mrna_id"} <= set(header):
            raise ValueError(
                f"{path} line 1 must name the tab-separated columns mirna_id and mrna_id; it reads {header[:4]}"
            )
        columns = header.index("mirna_id"), header.index("mrna_id")
        for number, row in enumerate(rows, 2):
            if not row:
                continue
            if len(row) > max(columns):
                yield number, (row[columns[0]], row[columns[1]])
            else:
                report.problem("pairs left out", f"{path} line {number} has {len(row)} of {len(header)} columns")
