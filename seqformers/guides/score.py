"""Cpf1 guides from a FASTA file or from a table of targets, scored and ranked, as a table."""

from __future__ import annotations

import csv
import sys
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol

import numpy as np
import pandas as pd
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from seqformers.datasets_scripts.common.fasta import read_fasta
from seqformers.guides.regions import AccessibleRegions
from seqformers.guides.rows import GUIDE_COLUMNS, ScoredSites, score_sites
from seqformers.guides.scorer import GuideScorer
from seqformers.guides.sites import Pam, find_sites
from seqformers.guides.table import is_target_table, name_columns, read_targets, score_targets
from seqformers.tables import TableWriter

__all__ = ["GUIDE_COLUMNS", "GuideReport", "guide_table", "score_guides"]

_ORDERS = ("rank", "position")


@dataclass
class GuideReport:
    """What happened to the input.

    Args:
        rows (`int`): Rows of the finished table.
        records (`int`): FASTA records read.
        counts (`Counter`): How often each warning was given.
        notes (`list[str]`): Warnings that concern the whole input, as sentences.
    """

    rows: int = 0
    records: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    notes: list[str] = field(default_factory=list)


class _Table(Protocol):
    rows_done: int
    finished: bool

    def write(self, rows: Any) -> None: ...
    def __enter__(self) -> Any: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


def score_guides(
    source: str | Path,
    output: str | Path | None = None,
    *,
    model: Any = None,
    pam: str = "TTTV",
    accessible: str | Path | None = None,
    order: str = "rank",
    device: str | None = None,
    batch_size: int = 1024,
    overwrite: bool = False,
    resume: bool = False,
    progress: bool = False,
) -> GuideReport:
    """Score the guides of a FASTA file, or the targets of a table, and write a table.

    A table (`.tsv`, `.txt`, `.csv`, `.parquet`, `.xlsx`) has the columns `id` and `target` (34 letters: 4 upstream,
    PAM, 23 protospacer, 3 downstream) and may have `accessible` (0/1). Its rows come out in their order, all columns
    kept, with `seq_score` and `score` added.

    Anything else is read as FASTA or FASTQ. Every PAM on both strands gives a row of [`GUIDE_COLUMNS`]. Coordinates
    are 0-based on the forward strand: `pam_start` is the lowest coordinate of the PAM, `cut_start` that of the
    five-letter overhang between the two nicks (18 and 23 letters from the PAM). `rank` counts within a record, best
    first. `gc` is the share of G and C in the protospacer. `warnings` holds, separated by `;`: `context_cut:N` (N
    letters beyond an end of the record, read as unknown), `unknown_letters:N` (letters other than A, C, G, T, U: four
    zeros for the model), `poly_t` (TTTT in the protospacer stops transcription from a U6 promoter) and
    `protospacer_cut` (no whole guide: no score, no rank).

    Args:
        source (`str` or `Path`): Table or FASTA file.
        output (`str` or `Path`, *optional*): `.tsv`, `.csv`, `.jsonl` or `.parquet`; standard output when absent.
        model (`str`, `Path` or `DeepCpf1Model`, *optional*): By default the model in the package.
        pam (`str`, defaults to `"TTTV"`): Four IUPAC letters.
        accessible (`str` or `Path`, *optional*): BED or narrowPeak of accessible chromatin, for FASTA input; adds the
            column `accessible` (1: PAM and protospacer overlap a region).
        order (`str`, defaults to `"rank"`): `"rank"` puts the best guide of a record first, `"position"` keeps the
            order along the sequence.
        device (`str`, *optional*): Torch device.
        batch_size (`int`, defaults to 1024): Contexts the model sees at once.
        overwrite (`bool`): Replace an existing output.
        resume (`bool`): Go on after the rows that an interrupted run has written.
        progress (`bool`): Show progress on stderr.

    Returns:
        `GuideReport`: rows, and every warning with its count.

    Raises:
        FileNotFoundError: an input is missing.
        ValueError: wrong input; the message names record and fix.
        FileExistsError: the output is there.
    """
    job = _Job(source, model, pam, accessible, order, device, batch_size)
    table: _Table = _StandardOutput(job.columns)
    if output is not None:
        table = TableWriter(output, job.columns, overwrite=overwrite, resume=resume)
    with _Progress(job.source, progress) as job.progress, table:
        if not table.finished:
            job.run(table)
    return job.report


def guide_table(
    source: str | Path,
    *,
    model: Any = None,
    pam: str = "TTTV",
    accessible: str | Path | None = None,
    order: str = "rank",
    device: str | None = None,
    batch_size: int = 1024,
) -> pd.DataFrame:
    """The table of [`score_guides`] in memory, as a `pandas.DataFrame`; arguments as there."""
    job = _Job(source, model, pam, accessible, order, device, batch_size)
    table = _InMemory()
    job.run(table)
    return pd.DataFrame(table.rows, columns=job.columns)


class _Job:
    """One run: its checked input, the scorer, and the growing report."""

    def __init__(
        self,
        source: str | Path,
        model: Any,
        pam: str,
        accessible: str | Path | None,
        order: str,
        device: str | None,
        batch_size: int,
    ):
        self.source = Path(source)
        if not self.source.is_file():
            raise FileNotFoundError(f"no such input: {source}")
        if order not in _ORDERS:
            raise ValueError(f"order must be one of {', '.join(_ORDERS)}, got {order!r}")
        self.is_table = is_target_table(self.source)
        if self.is_table and accessible is not None:
            raise ValueError("regions go with FASTA input; in a table of targets give a column 'accessible' (0 or 1)")
        self.pam, self.order = Pam(pam), order
        self.regions = None if accessible is None else AccessibleRegions.from_bed(accessible)
        self.columns = (
            name_columns(self.source) if self.is_table else [*GUIDE_COLUMNS, *(["accessible"] if self.regions else [])]
        )
        self.scorer = GuideScorer(model, device=device, batch_size=batch_size)
        self.report = GuideReport()
        self.progress = _Progress(self.source, False)

    def run(self, table: _Table) -> None:
        """Score the whole input into `table`."""
        if self.is_table:
            self._score_table(table)
        else:
            self._score_fasta(table)
        unused = self.report.counts["accessibility_unused"]
        if unused:
            self.report.notes.append(
                f"this model has no accessibility layer: score equals seq_score in all {unused} rows; convert the "
                "published DeepCpf1 weights (seqformers convert deepcpf1 ... --full ...) and name them with --model"
            )

    def _score_fasta(self, table: _Table) -> None:
        if self.regions and (note := self.regions.check_names(record.id for record in read_fasta(self.source))):
            self.report.notes.append(note)
        empty: list[str] = []
        for record in read_fasta(self.source):
            self.report.records += 1
            self._score_record(record.id, record.sequence, table, empty)
        if empty:
            self.report.notes.append(
                f"{len(empty)} of {self.report.records} records have no {self.pam.pattern} site on either strand "
                f"(first: {empty[0]})"
            )

    def _score_record(self, name: str, sequence: str, table: _Table, empty: list[str]) -> None:
        sites = find_sites(sequence, self.pam)
        if not len(sites):
            empty.append(name)
        accessible = None
        if self.regions and len(sites):
            accessible = self.regions.overlaps(name, *sites.target).astype(np.float32)
            if not self.scorer.uses_accessibility:
                self.report.counts["accessibility_unused"] += len(sites)
        written = min(max(table.rows_done - self.report.rows, 0), len(sites))
        self.report.rows += len(sites)
        if written == len(sites):  # nothing left of it: an interrupted run had finished this record, or no sites
            self.progress.advance(len(sequence))
            return
        scores = score_sites(
            self.scorer, sites, accessible, lambda share: self.progress.advance(share * len(sequence))
        )
        for rows in ScoredSites(name, sites, scores, accessible).rows(
            self.report.counts, order=self.order, skip=written
        ):
            table.write(rows)

    def _score_table(self, table: _Table) -> None:
        counts = self.report.counts
        for chunk in read_targets(self.source):
            first, self.report.rows = self.report.rows, self.report.rows + len(chunk)
            chunk = chunk.iloc[max(table.rows_done - first, 0) :]
            if len(chunk):
                table.write(score_targets(chunk, self.scorer, self.pam, counts))
            self.progress.advance(len(chunk))
        if counts["other_pam"]:
            self.report.notes.append(
                f"{counts['other_pam']} of {self.report.rows} targets do not have {self.pam.pattern} as letters 5 to "
                "8; scored all the same"
            )
        if counts["unknown_letters"]:
            self.report.notes.append(
                f"{counts['unknown_letters']} of {self.report.rows} targets hold letters other than A, C, G, T, U; "
                "those are read as unknown"
            )


class _StandardOutput:
    """The table as tab-separated text on standard output."""

    def __init__(self, columns: list[str]):
        self.rows_done, self.finished, self.columns = 0, False, columns
        self._writer: Any = None

    def write(self, rows: Any) -> None:
        if self._writer is None:  # an error in the first rows leaves standard output empty
            self._writer = csv.writer(sys.stdout, delimiter="\t", lineterminator="\n")
            self._writer.writerow(self.columns)
        self._writer.writerows(["" if row[name] is None else row[name] for name in self.columns] for row in rows)

    def __enter__(self) -> _StandardOutput:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self.write([])  # the header of a table without rows
        sys.stdout.flush()


class _InMemory(_StandardOutput):
    """The rows in a list."""

    def __init__(self) -> None:
        super().__init__([])
        self.rows: list[dict[str, Any]] = []

    def write(self, rows: Any) -> None:
        self.rows.extend(rows)


class _Progress:
    """How many letters (FASTA) or targets (table) are done, on stderr; silent unless asked for."""

    def __init__(self, source: Path, show: bool):
        columns = (
            SpinnerColumn(), TextColumn("{task.description}"), TextColumn("{task.completed:,.0f}"), TimeElapsedColumn()
        )  # fmt: skip
        self._bar = Progress(*columns, console=Console(stderr=True), disable=not show, transient=True)
        self._task = self._bar.add_task(f"scoring {source.name}", total=None)

    def advance(self, amount: float) -> None:
        self._bar.advance(self._task, amount)

    def __enter__(self) -> _Progress:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()
