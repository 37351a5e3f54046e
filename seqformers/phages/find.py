"""Phage, other virus, plasmid or chromosome: a table of contigs with calibrated scores, and where the phages lie."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from seqformers.clusters import runs_on_ray
from seqformers.datasets_scripts.common.fasta_lines import FastaRecord
from seqformers.datasets_scripts.common.letters import check_letters
from seqformers.datasets_scripts.common.remarks import OnError, Remarks
from seqformers.files import Output
from seqformers.inference.records import describe_work, read_sequences
from seqformers.phages.contig import COLUMNS, PRESETS, Calibration, ContigScore, row_of
from seqformers.phages.detector import PhageDetector
from seqformers.phages.regions import terminal_repeat
from seqformers.phages.tracks import FastaByClass, Pictures, Tracks
from seqformers.shards import Shard
from seqformers.tables import TableWriter
from seqformers.tokenization.reading import Reading

__all__ = ["COLUMNS", "PRESETS", "PhageReport", "expected_fdr", "find_phage_files", "find_phages"]

Preset = Literal["strict", "default", "relaxed"]
_HELD = 1 << 23  # letters of a contig; a longer one is read from disk, window by window
_READING = Reading(molecule="dna", letters_per_token=1, token_step=1)


@dataclass
class PhageReport:
    """What a run did.

    Args:
        classes (`Counter`): Rows by class, of this run.
        expected_false (`float`): Sum over its phage rows of what their confidence lacks to 1.
        resumed (`int`): Rows that an interrupted run had left.
        finished (`bool`): Nothing was left to do.
        remarks (`Remarks`): What was left out or odd.
        pictures (`int`, *optional*): Drawn by this run, where some were wanted.
    """

    classes: Counter[str] = field(default_factory=Counter)
    expected_false: float = 0.0
    resumed: int = 0
    finished: bool = False
    remarks: Remarks = field(default_factory=Remarks)
    pictures: int | None = None

    def join_shards(self, others: Sequence[PhageReport]) -> None:
        """Count what the other shards of the same job met, too."""
        self.remarks.join_shards([other.remarks for other in others])
        for other in others:
            self.classes.update(other.classes)
            self.expected_false += other.expected_false
            self.resumed += other.resumed

    def add(self, row: Mapping[str, Any]) -> None:
        """Count a row."""
        self.classes[row["class"] or "without a score"] += 1
        if row["class"] == "phage":
            self.expected_false += 1 - row["confidence"]

    @property
    def phage_fdr(self) -> float:
        """Expected share of false rows among those of class phage, by their confidence."""
        return self.expected_false / max(1, self.classes["phage"])


def expected_fdr(confidence: Iterable[float]) -> NDArray[np.float64]:
    """Of each row, the share of wrong ones that calibration expects among the rows of at least its confidence.

    Args:
        confidence (iterable of `float`): Of the rows called one class, in any order.

    Examples:
        >>> expected_fdr([0.9, 0.5, 1.0]).round(3).tolist()
        [0.05, 0.2, 0.0]
    """
    values = np.asarray(list(confidence), np.float64)
    order = np.argsort(-values, kind="stable")
    means = np.cumsum(1 - values[order]) / np.arange(1, len(values) + 1)
    last = np.searchsorted(-values[order], -values[order], side="right") - 1  # equal rows share what the last has
    found = np.empty_like(values)
    found[order] = means[last]
    return found


def _row(contig: ContigScore, calibration: Calibration, preset: Preset, ends: bool) -> dict[str, Any]:
    row = row_of(contig, calibration, preset)
    if ends:
        kind, length = terminal_repeat(contig.sequence)
        row["terminal_repeat"] = f"{kind}:{length}" if kind else ""
    return row


def find_phages(
    contigs: Mapping[str, str],
    model: Any = None,
    *,
    preset: Preset = "default",
    min_length: int = 500,
    ends: bool = False,
    device: str | None = None,
) -> pd.DataFrame:
    """Tell phages, other viruses, plasmids, bacteria and archaea apart.

    A contig is cut into windows of 2,000 nt; the mean of their log-probabilities, weighted by letters, is calibrated
    on groups of genomes that training had not seen, with all five classes alike. In a sample that is nearly all
    bacteria the share of false phages is higher than `confidence` says: use `preset="strict"`.

    Args:
        contigs (`Mapping[str, str]`): id -> DNA.
        model (`str` or `Path`, *optional*): Another classifier of the five classes than the packaged one.
        preset (`str`): Confidence below which a row is `uncertain`: `strict` 0.9, `default` 0.5, `relaxed` none.
        min_length (`int`): Shorter contigs are left out; those below 500 nt are never `reliable`.
        ends (`bool`): A further column `terminal_repeat`: `direct:127`, `inverted:30`, or empty.
        device (`str`, *optional*): Where the network runs.

    Returns:
        `pd.DataFrame`: one row a contig, columns `COLUMNS`: `gc` of the known letters and `n_fraction` of unknown ones
        (0 to 1), `class` (bacterium, archaeon, plasmid, phage, virus or uncertain; missing with fewer than 100
        known letters), scores from 0 to 1 whose sum is 1 (`score_host`: bacterium and archaeon), `confidence` (the
        calibrated probability of the best class), `reliable` (500 nt or more, at most a tenth unknown, and a profile
        like those of genomes seen, unlike random letters and eukaryotes), `num_windows`, `fdr` (expected share of
        wrong ones among the rows of this class that are at least as confident).

    Raises:
        ValueError: letters that are no DNA, or an option out of range.

    Examples:
        >>> table = find_phages({"made_up": "ATGGCTAAAGGTGAATTCCTG" * 50})
        >>> table[["id", "length", "num_windows"]].values.tolist()
        [['made_up', 1050, 1]]
    """
    _check(preset, min_length)
    for name, sequence in contigs.items():
        check_letters(sequence, "dna", where=f"contig {name!r}")
    records = [FastaRecord(name, "", text) for name, text in contigs.items() if len(text) >= min_length]
    detector = PhageDetector(model, device)
    rows = [_row(contig, detector.calibration, preset, ends) for contig in detector.score(records)]
    return pd.DataFrame(rows, columns=list(COLUMNS) + ["terminal_repeat"] * ends)


@runs_on_ray("sequences", local=("sites", "fasta_out", "plot"))
def find_phage_files(
    sequences: str | Path,
    output: str | Path,
    *,
    model: Any = None,
    preset: Preset = "default",
    min_length: int = 500,
    ends: bool = False,
    sites: str | Path | None = None,
    fasta_out: str | Path | None = None,
    plot: str | Path | None = None,
    shard: str | None = None,
    engine: str = "local",
    ray_address: str | None = None,
    on_error: OnError = "raise",
    overwrite: bool = False,
    resume: bool = False,
    device: str | None = None,
    progress: bool = True,
) -> PhageReport:
    """Write the table of `find_phages` for a FASTA file, row by row; memory does not grow with the file or a contig.

    A contig of more than eight million letters waits for its windows in a file without a name (in `TMPDIR`).

    Args:
        sequences (`str` or `Path`): FASTA or FASTQ, plain or compressed (gz, bz2, xz, zst); `-` is standard input.
        output (`str` or `Path`): `.tsv`, `.csv`, `.jsonl` or `.parquet`.
        model (*optional*): As in `find_phages`.
        preset (`str`): As there.
        min_length (`int`): As there.
        ends (`bool`): As there.
        sites (`str` or `Path`, *optional*): Folder for `phage.bedgraph` (score of each window), and `regions.bed` and
            `regions.gff3` (runs of high windows: proviruses inside chromosomes and plasmids; repeats at ends).
        fasta_out (`str` or `Path`, *optional*): Folder for the contigs by class: `phage.fasta` and so on.
        plot (`str` or `Path`, *optional*): Folder for pictures along the ten longest contigs that hold phage.
        shard (`str`, *optional*): `"i/n"`: only the i-th of n shares of the records; not with the three folders.
        engine (`"local"` or `"ray"`): `ray` runs the shards of the job on a cluster whose machines see the same
            files, a task a GPU or core, and joins them; not with the three folders.
        ray_address (`str`, *optional*): Of a running cluster; by default one is started on this machine.
        on_error (`str`): `"skip"` leaves out records that cannot be read and counts them.
        overwrite (`bool`): Replace outputs once the new ones are whole.
        resume (`bool`): Go on with an interrupted run of the same call; the folders are made anew.
        device (`str`, *optional*): As in `find_phages`.
        progress (`bool`): Show a progress bar on stderr.

    Raises:
        FileNotFoundError: there is no such file or model.
        FileExistsError: an output is there and may not be replaced.
        ValueError: the input is no DNA or empty, an output is an input, or a resumed run was another.
    """
    _check(preset, min_length)
    folders = {"sites": sites, "fasta_out": fasta_out, "plot": plot}
    wanted = {name: Path(path) for name, path in folders.items() if path is not None}
    _check_places({"output": Path(output), **wanted})
    if shard is not None and wanted:
        raise ValueError("a shard writes its table alone; merge the shards, then ask for the folders without --shard")
    report = PhageReport(remarks=Remarks(on_error))
    part = Shard.parse(shard, sequences)
    detector = PhageDetector(model, device)
    settings = describe_work(
        detector.folder, sequences, resume=resume, preset=preset, min_length=min_length, ends=ends, on_error=on_error,
        **part.settings,
    )  # fmt: skip
    options: dict[str, Any] = {
        "inputs": [sequences, detector.folder], "settings": settings, "overwrite": overwrite, "resume": resume
    }  # fmt: skip
    with ExitStack() as stack:
        outputs = {
            name: stack.enter_context(Output(path, f"find-phages {name}", folder=True, **options))
            for name, path in wanted.items()
        }
        schema = COLUMNS | ({"terminal_repeat": str} if ends else {})
        table = stack.enter_context(TableWriter(output, schema, job="find-phages", **options))
        if table.finished and all(folder.finished for folder in outputs.values()):
            report.finished = True
            return report
        sinks = _sinks(stack, outputs, preset)
        report.resumed = done = table.rows_done
        records = part.of_records(
            read_sequences(sequences, _READING, report.remarks, progress=progress, held=_HELD), sequences, held=_HELD
        )
        kept = _long_enough(records, min_length, report.remarks)
        if not sinks:
            kept, done = islice(kept, done, None), 0
        for number, contig in enumerate(detector.score(kept)):
            row = _row(contig, detector.calibration, preset, ends)
            report.add(row)
            if contig.scores is None:
                report.remarks.note("contigs hold fewer than 100 known letters and got no score", repr(contig.id))
            if number >= done and not table.finished:
                table.write([row])
            for sink in sinks:
                sink.add(contig, row)
        for sink in sinks:
            sink.close()
            if isinstance(sink, Pictures):
                report.pictures = sink.drawn
        for folder in outputs.values():
            if not folder.finished:
                folder.finish()
    return report


def _sinks(stack: ExitStack, outputs: Mapping[str, Output], preset: Preset) -> list[Any]:
    """What fills each folder that is not finished; what an interrupted run left there is thrown away."""
    makers = {"sites": Tracks, "fasta_out": FastaByClass, "plot": Pictures}
    sinks = []
    for name, output in outputs.items():
        if not output.finished:
            folder = output.start()
            for left in folder.iterdir():
                left.unlink()
            sinks.append(stack.enter_context(makers[name](folder, PRESETS[preset][1])))
    return sinks


def _long_enough(records: Iterator[Any], least: int, remarks: Remarks) -> Iterator[Any]:
    for record in records:
        if len(record.sequence) >= least:
            yield record
        else:
            remarks.note(f"contigs are shorter than {least} nt (--min-length) and were left out", repr(record.id))


def _check_places(outputs: Mapping[str, Path]) -> None:
    """Refuse outputs at one place, or one inside another, which would be replaced with it."""
    for name, path in outputs.items():
        for other, folder in outputs.items():
            inner, outer = path.resolve(), folder.resolve()
            if name != other and (inner == outer or outer in inner.parents):
                raise ValueError(
                    f"{_option(name)} {path} lies {'at' if inner == outer else 'in'} {_option(other)} {folder}; give "
                    "each output a place of its own"
                )


def _option(name: str) -> str:
    return "--" + name.replace("_", "-")


def _check(preset: str, min_length: int) -> None:
    if preset not in PRESETS:
        raise ValueError(f"preset is one of {', '.join(PRESETS)}, not {preset!r}")
    if min_length < 1:
        raise ValueError(f"min_length must be at least 1, got {min_length}")
