"""Cpf1 guides from a FASTA file or from a table of targets, scored and ranked, as a table."""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pandas as pd
from tqdm import tqdm

from seqformers.clusters import runs_on_ray
from seqformers.datasets_scripts.common.fasta import read_fasta
from seqformers.datasets_scripts.common.streams import check_source, is_stream
from seqformers.datasets_scripts.common.tables import Table, is_table, open_table
from seqformers.files import Output, fingerprint
from seqformers.guides.best import BestScorer
from seqformers.guides.genes import GeneModels
from seqformers.guides.off_targets import HIT_COLUMNS, Guides, OffTargets, off_target_columns
from seqformers.guides.oligos import OLIGO_COLUMNS, Overhangs
from seqformers.guides.options import GuideOptions
from seqformers.guides.regions import Regions
from seqformers.guides.report import GuideReport
from seqformers.guides.rows import GUIDE_COLUMNS, ScoredSites, count_warnings, score_sites
from seqformers.guides.scorer import GuideScorer, Scorer
from seqformers.guides.selection import ranking_value
from seqformers.guides.sites import PAM_LENGTH, PROTOSPACER, UPSTREAM, Pam, Sites, find_sites
from seqformers.guides.table import SCORES, check_targets, score_targets, target_codes
from seqformers.guides.track import check_picture, draw_guide_track
from seqformers.shards import Shard
from seqformers.tables import TableWriter

__all__ = ["guide_table", "score_guides"]

_NEEDED = ("id", "target")
_LETTERS = 1 << 20  # of small records that are searched and scored together
_TARGETS = 1 << 15
_GUIDE = slice(UPSTREAM + PAM_LENGTH, UPSTREAM + PAM_LENGTH + PROTOSPACER)


class _Rows(Protocol):
    rows_done: int

    def write(self, rows: Any) -> None: ...


@runs_on_ray(
    "source", "accessible", "genome", "exclude", "only", "genes", whole=("track",), local=("off_target_table",)
)
def score_guides(
    source: str | Path,
    output: str | Path | None = None,
    *,
    off_target_table: str | Path | None = None,
    track: str | Path | None = None,
    shard: str | None = None,
    engine: str = "local",
    ray_address: str | None = None,
    overwrite: bool = False,
    resume: bool = False,
    progress: bool = False,
    **options: Any,
) -> GuideReport:
    """Score the guides of a FASTA file, or the targets of a table, and write a table.

    A table (`.tsv`, `.txt`, `.csv`, `.jsonl`, `.parquet`, `.xlsx`) has the columns `id` and `target` (34 letters: 4
    upstream, PAM, 23 protospacer, 3 downstream) and may have `accessible` (0/1). Its rows come out in their order, all
    columns kept, with `seq_score` and `score` added.

    Anything else is read as FASTA or FASTQ. Every PAM on both strands gives a row of [`GUIDE_COLUMNS`]. Coordinates
    are 0-based on the forward strand: `pam_start` is the lowest coordinate of the PAM, `cut_start` that of the
    five-letter overhang between the two nicks (18 and 23 letters from the PAM). `rank` counts within a record, best
    first, among the guides that the filters keep. `gc` is the share of G and C in the protospacer. `warnings` holds,
    separated by `;`: `context_cut:N` (N letters beyond an end of the record, read as unknown), `unknown_letters:N`
    (letters other than A, C, G, T, U: four zeros for the model), `poly_t` (TTTT in the protospacer stops transcription
    from a U6 promoter) and `protospacer_cut` (no whole guide: no score, no rank).

    With `genome`, every site of its PAMs on both strands within so many mismatches of the 23 letters is counted:
    `off_targets_0`, `off_targets_1`, ...; a record's own place is known by sequence and is no off-target.
    `specificity` is 100 for none, less the more and the likelier they are ([`seqformers.guides.specificity`]);
    `best_off_target` is the likeliest, as `contig:start-end(strand)` of PAM and protospacer. An index of the genome is
    kept beside it, and built again when the genome changed.

    Args:
        source (`str` or `Path`): Table or FASTA file; `-` reads FASTA from standard input.
        output (`str` or `Path`, *optional*): `.tsv`, `.csv`, `.jsonl` or `.parquet`; standard output when absent.
        off_target_table (`str` or `Path`, *optional*): Table of every hit; mismatches are small letters, `target_of`
            names the records whose own target it is.
        track (`str` or `Path`, *optional*): Picture of the guides along each record, `.png`, `.svg` or `.pdf`.
        shard (`str`, *optional*): `"i/n"`: only the i-th of n shares of the records (of a table: the rows);
            `seqformers.merge` joins them.
        engine (`"local"` or `"ray"`, defaults to `"local"`): `ray` runs the shards of the job on a cluster whose
            machines see the same files, a task a GPU or core, and joins them.
        ray_address (`str`, *optional*): Of a running cluster; by default one is started on this machine.
        overwrite (`bool`): Replace an existing output once the new one is whole.
        resume (`bool`): Go on after the rows that an interrupted run of the same call has written.
        progress (`bool`): Show progress on stderr.
        **options: See [`seqformers.guides.options.GuideOptions`]: `model`, `pam`, `genome`, `rank`, `top`, ...

    Returns:
        `GuideReport`: rows, and every warning with its count.

    Raises:
        FileNotFoundError: an input is missing.
        ValueError: wrong input; the message names record and fix.
        FileExistsError: the output is there.
    """
    if output is None and (track is not None or resume or shard is not None or off_target_table is not None):
        raise ValueError(
            "name the table with --output: --track draws it, --off-target-table goes with it, --resume goes on "
            "with it, --shard is merged"
        )
    if shard is not None and (track is not None or off_target_table is not None):
        raise ValueError(
            "--track and --off-target-table go with a whole table; merge the shards, then give this command without "
            "--shard, with --resume and --track"
        )
    job = _Job(source, GuideOptions(**options), Shard.parse(shard, source), progress=progress)
    if output is None:
        table = _StandardOutput(job.schema)
        job.run(table)
        table.write([])  # the header of a table without rows
        return job.report
    if resume and is_stream(source):
        raise ValueError(f"{source} can be read only once, so a run cannot go on with it; save it as a file")
    if off_target_table is not None and job.search is None:
        raise ValueError("--off-target-table lists the hits in a genome; name it with --genome")
    writing: dict[str, Any] = {"settings": job.settings(), "overwrite": overwrite, "resume": resume}
    picture = None if track is None else check_picture(track)
    with ExitStack() as stack:
        drawing = hits = None
        if picture is not None:
            drawing = stack.enter_context(
                Output(picture, "score-guides --track", inputs=[*job.inputs, output], **writing)
            )
        if off_target_table is not None:
            others = [*job.inputs, output, *([] if picture is None else [picture])]
            hits = stack.enter_context(
                TableWriter(off_target_table, HIT_COLUMNS, job="score-guides hits", inputs=others, **writing)
            )
        with TableWriter(output, job.schema, job="score-guides", inputs=job.inputs, **writing) as file:
            job.report.finished = file.finished and (hits is None or hits.finished)
            if not job.report.finished:
                job.run(_Nowhere() if file.finished else file, hits)
        if drawing is not None and not drawing.finished:
            models = None if job.genes is None else job.genes.drawn
            draw_guide_track(output, drawing.start(), format=drawing.path.suffix[1:], genes=models)
            drawing.finish()
    return job.report


def guide_table(source: str | Path, **options: Any) -> pd.DataFrame:
    """The table of [`score_guides`] in memory, as a `pandas.DataFrame`.

    Args:
        source (`str` or `Path`): Table or FASTA file.
        **options: See [`seqformers.guides.options.GuideOptions`].
    """
    refused = {
        "output",
        "off_target_table",
        "track",
        "shard",
        "engine",
        "ray_address",
        "overwrite",
        "resume",
        "progress",
    } & options.keys()
    if refused:
        raise TypeError(f"guide_table writes nothing; score_guides takes {', '.join(sorted(refused))}")
    job = _Job(source, GuideOptions(**options), Shard())
    table = _InMemory()
    job.run(table)
    job.report.warn()
    return pd.DataFrame(table.rows, columns=list(job.schema))


class _Job:
    """One run: its checked input, the scorer, and the growing report."""

    def __init__(self, source: str | Path, options: GuideOptions, part: Shard, *, progress: bool = False):
        check_source(source, "input")
        self.source, self.options, self.part = source, options, part
        self.pam = Pam(options.pam)
        self.report, self._progress = GuideReport(options.on_error, pam=self.pam.pattern), progress
        self.search = options.search()
        self.regions = None if options.accessible is None else Regions.from_bed(options.accessible)
        self.genes = None if options.genes is None else GeneModels(options.genes)
        self.overhangs = None if options.oligos is None else Overhangs.of(options.oligos)
        self.selection = options.selection(self.genes, self.overhangs)
        self.inputs = [source, *options.genomes, *options.files.values()]
        self.schema: dict[str, Any]
        self.table = None
        if is_table(source):
            self._open_table()
        else:
            named = [f"--{name}" for name in options.files]
            if is_stream(source) and (named or self.search):
                raise ValueError(f"{source} can be read only once; with {', '.join(named) or '--genome'} give a file")
            self.schema = GUIDE_COLUMNS | ({"accessible": int} if self.regions else {})
        if self.search:
            self.schema |= off_target_columns(options.mismatches)
        if self.overhangs:
            self.schema |= OLIGO_COLUMNS
        self.scorer = _scorer(options.model, options.device, options.batch_size)
        self.report.model = self.scorer.name
        name, unit = ("stdin" if str(source) == "-" else Path(source).name), "target" if self.table else "nt"
        self.progress = tqdm(desc=f"scoring {name}", unit=unit, unit_scale=True, leave=False, disable=not progress)
        self.off_targets: OffTargets | None = None
        self._asked_for = 0  # guides whose off-targets were looked up

    def _open_table(self) -> None:
        if self.regions is not None:
            raise ValueError("regions go with FASTA input; in a table of targets give a column 'accessible' (0 or 1)")
        if self.selection.active or self.genes or self.options.rank != "efficiency":
            raise ValueError(
                "filters and ranks go with FASTA input; a table of targets keeps its rows and their order"
            )
        if self.search and is_stream(self.source):
            raise ValueError(f"{self.source} can be read only once; with --genome give a file")
        self.table = open_table(self.source, required=_NEEDED, text=_NEEDED, remarks=self.report)
        assert self.table is not None
        added = SCORES | (off_target_columns(self.search.mismatches) if self.search else {}) | OLIGO_COLUMNS
        self.schema = {name: kind for name, kind in self.table.types.items() if name not in added} | SCORES

    def settings(self) -> dict[str, Any]:
        """What decides the rows."""
        found: dict[str, Any] = {
            "input": fingerprint(self.source), "model": self.scorer.fingerprint, "pam": self.pam.pattern,
            "order": self.options.order, "on_error": self.report.on_error, "version": version("seqformers"),
            **self.part.settings,
        }  # fmt: skip
        found |= {name: fingerprint(path) for name, path in self.options.files.items()}
        select = self.selection
        found |= {
            "off_targets": self.search.settings(fingerprint) if self.search else None, "rank": self.options.rank,
            "gc": select.gc, "no_poly_t": select.no_poly_t, "avoid": sorted(select.avoid), "top": select.top,
            "in_exons": select.exons is not None,
            "oligos": f"{self.overhangs.top},{self.overhangs.bottom}" if self.overhangs else None,
        }  # fmt: skip
        return found

    def run(self, table: _Rows, hits: TableWriter | None = None) -> None:
        """Score the whole input into `table`, and list off-targets in `hits`."""
        if self.search:
            self._search(hits)
        with self.progress:
            self._score_fasta(table) if self.table is None else self._score_table(table)

    def _search(self, hits: TableWriter | None) -> None:
        """Gather every guide of the input, and look for them in the genomes."""
        assert self.search
        guides = Guides()
        if self.table is None:
            for names, sequences in self._batches(GuideReport(self.report.on_error)):
                guides.add(names, find_sites(sequences, self.pam))
        else:
            silent = GuideReport(self.report.on_error)
            targets = open_table(self.source, required=_NEEDED, text=_NEEDED, remarks=silent)
            for chunk in self._chunks(targets):
                usable = check_targets(chunk, targets.where, self.scorer, self.pam, silent)
                guides.add_targets(usable["id"].tolist(), target_codes(usable))
        write = None if hits is None or hits.finished else partial(_write_rest, hits, [hits.rows_done])
        self.off_targets = OffTargets(self.search, guides, write=write, remarks=self.report, progress=self._progress)

    def _score_fasta(self, table: _Rows) -> None:
        exons = None if self.genes is None else self.genes.exons()
        for regions in (self.regions, self.selection.exclude, self.selection.only, exons):
            if regions is not None:
                records = read_fasta(self.source, remarks=GuideReport("skip"))
                if note := regions.check_names(record.id for record in records):
                    self.report.said.append(note)
        for names, sequences in self._batches(self.report):
            self._score_records(names, sequences, table)

    def _batches(self, remarks: GuideReport) -> Iterator[tuple[list[str], list[str]]]:
        """Names and sequences of records that are searched and scored together: many small ones, or a large one."""
        names: list[str] = []
        sequences: list[str] = []
        letters = 0
        usable = read_fasta(self.source, molecule="dna", remarks=remarks)
        for record in self.part.of_records(usable, self.source):
            names.append(record.id)
            sequences.append(record.sequence)
            letters += len(record.sequence) + 1
            if letters >= _LETTERS:
                yield names, sequences
                names, sequences, letters = [], [], 0
        if names:
            yield names, sequences

    def _score_records(self, names: list[str], sequences: list[str], table: _Rows) -> None:
        every, report = find_sites(sequences, self.pam), self.report
        report.records += len(names)
        found = np.bincount(every.record, minlength=len(names))
        without = np.flatnonzero(found == 0)
        report.without_site += len(without)
        if len(without):
            report.first_without_site = report.first_without_site or names[int(without[0])]
        kept = self.selection.keep(names, every, report.left_out)
        guide = self._next_guides(every)[kept]
        sites = every[kept]
        report.guides.update(count_warnings(sites))
        accessible = None
        if self.regions:
            accessible = self.regions.overlap_sites(names, sites).astype(np.float32)
            if not self.scorer.uses_accessibility:
                report.guides["accessibility_unused"] += len(sites)
        rows = len(sites)
        if self.selection.top is not None:
            a_record = np.bincount(sites.record, minlength=len(names))
            rows = int(np.minimum(a_record, self.selection.top).sum())
            report.left_out["beyond the top"] += len(sites) - rows
        written = min(max(table.rows_done - report.rows, 0), rows)
        report.rows += rows
        letters = sum(map(len, sequences))
        if written == rows:  # nothing left of it: an interrupted run had finished it, or no sites
            self.progress.update(letters)
            return
        scores = score_sites(self.scorer, sites, accessible, lambda share: self.progress.update(share * letters))
        specificity = None
        if self.off_targets:
            specificity = np.zeros(len(sites))
            specificity[guide >= 0] = self.off_targets.specificity(guide[guide >= 0])
        scored = ScoredSites(
            names, sites, scores, accessible, value=ranking_value(self.options.rank, scores[1], specificity),
            top=self.selection.top, more=lambda rows, protospacers: self._more(guide[rows], protospacers),
        )  # fmt: skip
        for some in scored.rows(order=self.options.order, skip=written):
            table.write(some)

    def _next_guides(self, sites: Sites) -> np.ndarray:
        """Which row of the gathered guides each of the next sites is; -1 without a whole protospacer."""
        usable = sites.protospacer_cut == 0
        number = np.where(usable, self._asked_for + np.cumsum(usable) - 1, -1)
        self._asked_for += int(usable.sum())
        return number

    def _more(self, guide: np.ndarray, protospacers: list[str]) -> dict[str, list[Any]]:
        """Columns beside those of the scores."""
        columns: dict[str, list[Any]] = {}
        if self.off_targets:
            assert self.search
            here = np.flatnonzero(guide >= 0)
            found = self.off_targets.columns(guide[here])
            for name in off_target_columns(self.search.mismatches):
                column: list[Any] = [None] * len(guide)
                for row, value in zip(here.tolist(), found[name], strict=True):
                    column[row] = value
                columns[name] = column
        if self.overhangs:
            columns |= self.overhangs.oligos(protospacers)
        return columns

    def _score_table(self, table: _Rows) -> None:
        assert self.table is not None
        report = self.report
        for chunk in self._chunks(self.table):
            first = report.rows
            usable = check_targets(chunk, self.table.where, self.scorer, self.pam, report)
            guide = np.arange(first, first + len(usable))
            skip = max(table.rows_done - first, 0)
            usable, guide = usable.iloc[skip:], guide[skip:]
            if len(usable):
                rows = score_targets(usable, self.scorer)
                more = self._more(guide, usable["target"].str[_GUIDE].str.upper().str.replace("U", "T").tolist())
                for name, column in more.items():
                    for row, value in zip(rows, column, strict=True):
                        row[name] = value
                table.write(rows)
            self.progress.update(len(chunk))
        if not self._rows_read and not report.counts:
            raise ValueError(f"{self.source} has no rows; expected the columns id and target and one target a row")

    def _chunks(self, table: Table) -> Iterator[pd.DataFrame]:
        """The rows of this run's share of the table."""
        begin, end = self.part.span(self._count_rows())
        self._rows_read = 0
        for frame in table.frames(_TARGETS):
            before, self._rows_read = self._rows_read, self._rows_read + len(frame)
            chunk = frame.iloc[max(begin - before, 0) : max(end - before, 0)]
            if not chunk.empty:
                yield chunk

    def _count_rows(self) -> int:
        """Rows of the table that can be read; of a whole table nobody needs to know."""
        if self.part.count == 1:
            return sys.maxsize
        return sum(
            1 for _ in open_table(self.source, required=_NEEDED, text=_NEEDED, remarks=GuideReport("skip")).rows()
        )


def _scorer(model: Any, device: str | None, batch_size: int) -> Scorer:
    """The model asked for; where none is, `best`."""
    named = isinstance(model, str | Path) and str(model) in ("best", "fast") and not Path(model).exists()
    if model is None or (named and str(model) == "best"):
        return BestScorer(device=device, batch_size=batch_size)
    return GuideScorer(model, device=device, batch_size=batch_size)


def _write_rest(table: TableWriter, left: list[int], rows: list[dict[str, Any]]) -> None:
    """Write rows but for the first ones, which an interrupted run had written."""
    skipped = min(left[0], len(rows))
    left[0] -= skipped
    table.write(rows[skipped:])


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


class _Nowhere:
    """Rows that are there already."""

    rows_done = 0

    def write(self, rows: Any) -> None:
        pass


class _InMemory:
    """The rows in a list."""

    rows_done = 0

    def __init__(self) -> None:
        self.rows: list[dict[str, Any]] = []

    def write(self, rows: Any) -> None:
        self.rows.extend(rows)
