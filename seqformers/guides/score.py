"""Cpf1 guides from a FASTA file or from a table of targets, scored and ranked, as a table."""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
import pandas as pd
from tqdm import tqdm

from seqformers.datasets_scripts.common.fasta import read_fasta
from seqformers.datasets_scripts.common.streams import check_source, is_stream
from seqformers.datasets_scripts.common.tables import is_table, open_table
from seqformers.files import Output, fingerprint
from seqformers.guides.regions import AccessibleRegions
from seqformers.guides.report import GuideReport
from seqformers.guides.rows import GUIDE_COLUMNS, ScoredSites, count_warnings, score_sites
from seqformers.guides.scorer import GuideScorer
from seqformers.guides.sites import Pam, find_sites
from seqformers.guides.table import SCORES, check_targets, score_targets
from seqformers.guides.track import check_picture, draw_guide_track
from seqformers.shards import Shard
from seqformers.tables import TableWriter

__all__ = ["guide_table", "score_guides"]

_NEEDED = ("id", "target")
_ORDERS = ("rank", "position")
_LETTERS = 1 << 20  # of small records that are searched and scored together
_TARGETS = 1 << 15


class _Rows(Protocol):
    rows_done: int

    def write(self, rows: Any) -> None: ...


def score_guides(
    source: str | Path,
    output: str | Path | None = None,
    *,
    model: Any = None,
    pam: str = "TTTV",
    accessible: str | Path | None = None,
    order: str = "rank",
    on_error: Literal["raise", "skip"] = "raise",
    track: str | Path | None = None,
    shard: str | None = None,
    device: str | None = None,
    batch_size: int = 1024,
    overwrite: bool = False,
    resume: bool = False,
    progress: bool = False,
) -> GuideReport:
    """Score the guides of a FASTA file, or the targets of a table, and write a table.

    A table (`.tsv`, `.txt`, `.csv`, `.jsonl`, `.parquet`, `.xlsx`) has the columns `id` and `target` (34 letters: 4
    upstream, PAM, 23 protospacer, 3 downstream) and may have `accessible` (0/1). Its rows come out in their order, all
    columns kept, with `seq_score` and `score` added.

    Anything else is read as FASTA or FASTQ. Every PAM on both strands gives a row of [`GUIDE_COLUMNS`]. Coordinates
    are 0-based on the forward strand: `pam_start` is the lowest coordinate of the PAM, `cut_start` that of the
    five-letter overhang between the two nicks (18 and 23 letters from the PAM). `rank` counts within a record, best
    first. `gc` is the share of G and C in the protospacer. `warnings` holds, separated by `;`: `context_cut:N` (N
    letters beyond an end of the record, read as unknown), `unknown_letters:N` (letters other than A, C, G, T, U: four
    zeros for the model), `poly_t` (TTTT in the protospacer stops transcription from a U6 promoter) and
    `protospacer_cut` (no whole guide: no score, no rank).

    Args:
        source (`str` or `Path`): Table or FASTA file; `-` reads FASTA from standard input.
        output (`str` or `Path`, *optional*): `.tsv`, `.csv`, `.jsonl` or `.parquet`; standard output when absent.
        model (`str`, `Path` or `DeepCpf1Model`, *optional*): By default the model in the package.
        pam (`str`, defaults to `"TTTV"`): Four IUPAC letters.
        accessible (`str` or `Path`, *optional*): BED or narrowPeak of accessible chromatin, for FASTA input; adds the
            column `accessible` (1: PAM and protospacer overlap a region).
        order (`str`, defaults to `"rank"`): `"rank"` puts the best guide of a record first, `"position"` keeps the
            order along the sequence.
        on_error (`"raise"` or `"skip"`, defaults to `"raise"`): At a record or target that cannot be used: stop, or
            leave it out and count it.
        track (`str` or `Path`, *optional*): Picture of the guides along each record, `.png`, `.svg` or `.pdf`.
        shard (`str`, *optional*): `"i/n"`: only the i-th of n shares of the records (of a table: the rows);
            `seqformers.merge` joins them.
        device (`str`, *optional*): Torch device.
        batch_size (`int`, defaults to 1024): Contexts the model sees at once; the table does not depend on it.
        overwrite (`bool`): Replace an existing output once the new one is whole.
        resume (`bool`): Go on after the rows that an interrupted run of the same call has written.
        progress (`bool`): Show progress on stderr.

    Returns:
        `GuideReport`: rows, and every warning with its count.

    Raises:
        FileNotFoundError: an input is missing.
        ValueError: wrong input; the message names record and fix.
        FileExistsError: the output is there.
    """
    if output is None and (track is not None or resume or shard is not None):
        raise ValueError("name the table with --output: --track draws it, --resume goes on with it, --shard is merged")
    if track is not None and shard is not None:
        raise ValueError(
            "--track draws a whole table; merge the shards, then give this command without --shard, with --resume and "
            "--track"
        )
    part = Shard.parse(shard, source)
    job = _Job(source, model, pam, accessible, order, on_error, device, batch_size, progress, part)
    if output is None:
        table = _StandardOutput(job.schema)
        job.run(table)
        table.write([])  # the header of a table without rows
        return job.report
    if resume and is_stream(source):
        raise ValueError(f"{source} can be read only once, so a run cannot go on with it; save it as a file")
    options: dict[str, Any] = {"settings": job.settings(), "overwrite": overwrite, "resume": resume}
    picture = None if track is None else check_picture(track)
    with ExitStack() as stack:
        drawing = None
        if picture is not None:
            drawing = stack.enter_context(
                Output(picture, "score-guides --track", inputs=[*job.inputs, output], **options)
            )
        with TableWriter(output, job.schema, job="score-guides", inputs=job.inputs, **options) as file:
            job.report.finished = file.finished
            if not file.finished:
                job.run(file)
        if drawing is not None and not drawing.finished:
            draw_guide_track(output, drawing.start(), format=drawing.path.suffix[1:])
            drawing.finish()
    return job.report


def guide_table(
    source: str | Path,
    *,
    model: Any = None,
    pam: str = "TTTV",
    accessible: str | Path | None = None,
    order: str = "rank",
    on_error: Literal["raise", "skip"] = "raise",
    device: str | None = None,
    batch_size: int = 1024,
) -> pd.DataFrame:
    """The table of [`score_guides`] in memory, as a `pandas.DataFrame`; arguments as there."""
    job = _Job(source, model, pam, accessible, order, on_error, device, batch_size)
    table = _InMemory()
    job.run(table)
    job.report.warn()
    return pd.DataFrame(table.rows, columns=list(job.schema))


class _Job:
    """One run: its checked input, the scorer, and the growing report."""

    def __init__(
        self,
        source: str | Path,
        model: Any,
        pam: str,
        accessible: str | Path | None,
        order: str,
        on_error: Literal["raise", "skip"],
        device: str | None,
        batch_size: int,
        progress: bool = False,
        part: Shard | None = None,
    ):
        check_source(source, "input")
        if order not in _ORDERS:
            raise ValueError(f"order must be one of {', '.join(_ORDERS)}, got {order!r}")
        if batch_size < 1:
            raise ValueError(f"batch_size must be 1 or more, got {batch_size}")
        self.source, self.pam, self.order, self.part = source, Pam(pam), order, part or Shard()
        self.report = GuideReport(on_error)
        self.inputs = [source, *([] if accessible is None else [accessible])]
        self.regions = None if accessible is None else AccessibleRegions.from_bed(accessible)
        self.schema: dict[str, Any]
        self.table = None
        if is_table(source):
            if accessible is not None:
                raise ValueError(
                    "regions go with FASTA input; in a table of targets give a column 'accessible' (0 or 1)"
                )
            self.table = open_table(source, required=_NEEDED, text=_NEEDED, remarks=self.report)
            self.schema = {name: kind for name, kind in self.table.types.items() if name not in SCORES} | SCORES
        else:
            if accessible is not None and is_stream(source):
                raise ValueError(f"{source} can be read only once; with --accessible give a file")
            self.schema = GUIDE_COLUMNS | ({"accessible": int} if self.regions else {})
        self.scorer = GuideScorer(model, device=device, batch_size=batch_size)
        name, unit = ("stdin" if str(source) == "-" else Path(source).name), "target" if self.table else "nt"
        self.progress = tqdm(desc=f"scoring {name}", unit=unit, unit_scale=True, leave=False, disable=not progress)

    def settings(self) -> dict[str, Any]:
        """What decides the rows."""
        regions = fingerprint(self.inputs[1]) if self.regions else None
        return {
            "input": fingerprint(self.source), "accessible": regions, "model": self.scorer.fingerprint,
            "pam": self.pam.pattern, "order": self.order, "on_error": self.report.on_error,
            "version": version("seqformers"), **self.part.settings,
        }  # fmt: skip

    def run(self, table: _Rows) -> None:
        """Score the whole input into `table`."""
        with self.progress:
            self._score_fasta(table) if self.table is None else self._score_table(table)
        unused = self.report.guides["accessibility_unused"]
        if unused:
            self.report.notes.append(
                f"this model has no accessibility layer: score equals seq_score in all {unused} rows; convert the "
                "published DeepCpf1 weights (seqformers convert deepcpf1 ... --full ...) and name them with --model"
            )

    def _score_fasta(self, table: _Rows) -> None:
        if self.regions:
            records = read_fasta(self.source, remarks=GuideReport("skip"))
            if note := self.regions.check_names(record.id for record in records):
                self.report.notes.append(note)
        empty: list[str] = []
        for names, sequences in self._batches():
            self._score_records(names, sequences, table, empty)
        if empty:
            self.report.notes.append(
                f"{len(empty)} of {self.report.records} records have no {self.pam.pattern} site on either strand "
                f"(first: {empty[0]})"
            )

    def _batches(self) -> Iterator[tuple[list[str], list[str]]]:
        """Names and sequences of records that are searched and scored together: many small ones, or a large one."""
        names: list[str] = []
        sequences: list[str] = []
        letters = 0
        usable = read_fasta(self.source, molecule="dna", remarks=self.report)
        for record in self.part.of_records(usable, self.source):
            names.append(record.id)
            sequences.append(record.sequence)
            letters += len(record.sequence) + 1
            if letters >= _LETTERS:
                yield names, sequences
                names, sequences, letters = [], [], 0
        if names:
            yield names, sequences

    def _score_records(self, names: list[str], sequences: list[str], table: _Rows, empty: list[str]) -> None:
        sites, report = find_sites(sequences, self.pam), self.report
        report.records += len(names)
        report.guides.update(count_warnings(sites))
        found = np.bincount(sites.record, minlength=len(names))
        empty.extend(names[record] for record in np.flatnonzero(found == 0).tolist())
        accessible = None
        if self.regions:
            accessible = self.regions.overlap_sites(names, sites).astype(np.float32)
            if not self.scorer.uses_accessibility:
                report.guides["accessibility_unused"] += len(sites)
        written = min(max(table.rows_done - report.rows, 0), len(sites))
        report.rows += len(sites)
        letters = sum(map(len, sequences))
        if written == len(sites):  # nothing left of it: an interrupted run had finished it, or no sites
            self.progress.update(letters)
            return
        scores = score_sites(self.scorer, sites, accessible, lambda share: self.progress.update(share * letters))
        for rows in ScoredSites(names, sites, scores, accessible).rows(order=self.order, skip=written):
            table.write(rows)

    def _score_table(self, table: _Rows) -> None:
        assert self.table is not None
        report, read = self.report, 0
        begin, end = self.part.span(self._count_rows())
        for frame in self.table.frames(_TARGETS):
            chunk, read = frame.iloc[max(begin - read, 0) : max(end - read, 0)], read + len(frame)
            if chunk.empty:
                continue
            first = report.rows
            usable = check_targets(chunk, self.table.where, self.scorer, self.pam, report)
            usable = usable.iloc[max(table.rows_done - first, 0) :]
            if len(usable):
                table.write(score_targets(usable, self.scorer))
            self.progress.update(len(chunk))
        if not read and not report.counts:
            raise ValueError(f"{self.source} has no rows; expected the columns id and target and one target a row")
        if report.guides["other_pam"]:
            report.notes.append(
                f"{report.guides['other_pam']} of {report.rows} targets do not have {self.pam.pattern} as letters 5 "
                "to 8; scored all the same"
            )
        if report.guides["unknown_letters"]:
            report.notes.append(
                f"{report.guides['unknown_letters']} of {report.rows} targets hold letters other than A, C, G, T, U; "
                "those are read as unknown"
            )

    def _count_rows(self) -> int:
        """Rows of the table that can be read; of a whole table nobody needs to know."""
        if self.part.count == 1:
            return sys.maxsize
        return sum(
            1 for _ in open_table(self.source, required=_NEEDED, text=_NEEDED, remarks=GuideReport("skip")).rows()
        )


class _StandardOutput:
    """The table as tab-separated text on standard output."""

    rows_done = 0

    def __init__(self, schema: dict[str, Any]):
        self._columns = list(schema)
        self._writer: Any = None

    def write(self, rows: Any) -> None:
        if self._writer is None:  # an error in the first rows leaves standard output empty
            self._writer = csv.writer(sys.stdout, delimiter="\t", lineterminator="\n")
            self._writer.writerow(self._columns)
        self._writer.writerows(["" if row[name] is None else row[name] for name in self._columns] for row in rows)


class _InMemory:
    """The rows in a list."""

    rows_done = 0

    def __init__(self) -> None:
        self.rows: list[dict[str, Any]] = []

    def write(self, rows: Any) -> None:
        self.rows.extend(rows)
