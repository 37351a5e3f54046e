"""Which mRNAs does a microRNA act on: score pairs of sequences with a TargetNet, over whole transcriptomes."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

import pandas as pd
from tqdm import tqdm

from seqformers.targets.output import ScanOutput
from seqformers.targets.plot import plot_target_sites
from seqformers.targets.records import ScanReport, TargetRecords, find_pairs, pair_all, read_pairs
from seqformers.targets.scanner import PAIR_COLUMNS, SITE_COLUMNS, ScoredPair, TargetScanner

__all__ = ["scan_target_files", "scan_targets"]

_PICTURES = 10
_PAIRS_A_BLOCK = 64  # some seconds of whole UTRs: no more is lost to a kill
_PAIRS_A_BLOCK_OF_SITES = 8  # a long mRNA has thousands of sites


def scan_targets(
    mirnas: Mapping[str, str],
    mrnas: Mapping[str, str],
    pairs: Iterable[tuple[str, str]] | pd.DataFrame | None = None,
    model: Any = None,
    *,
    sites: bool = False,
    min_score: float = 0.0,
    on_error: str = "raise",
    threads: int | None = None,
    device: str | None = None,
) -> pd.DataFrame:
    """Score miRNA-mRNA pairs.

    Args:
        mirnas (`Mapping[str, str]`): id -> mature miRNA, 5'->3', RNA or DNA letters, 10 to 41 nt.
        mrnas (`Mapping[str, str]`): id -> 3'UTR (or any target), 5'->3'.
        pairs (iterable of `(mirna_id, mrna_id)` or `pd.DataFrame`, *optional*): Pairs to score, in the order of the
            answer; a data frame has columns `mirna_id` and `mrna_id`. By default every miRNA with every mRNA.
        model (`str`, `Path` or `TargetNetModel`, *optional*): Folder, Hub repository or model; by default the one
            that comes with the package.
        sites (`bool`): One row a candidate site instead of one a pair.
        min_score (`float`): Leave out pairs (with `sites`, sites) that score less.
        on_error (`str`): `"raise"` at the first bad record, or `"skip"` it with a counted warning.
        threads (`int`, *optional*): Worker threads; by default one a core.
        device (`str`, *optional*): Where the network runs; by default a GPU if there is one.

    Returns:
        `pd.DataFrame`: Columns `PAIR_COLUMNS`: `score` is the probability of the best site (0 with no
        candidate), `num_sites` the candidate sites, `best_start` and `best_end` the best one's 40 nt, 0-based
        half-open on the 5'->3' mRNA, `site_type` its canonical seed match (`none` with no candidate,
        `too-short` under 40 nt), `alignment` its extended seed: miRNA 5'->3' / marks / mRNA 3'->5'. With
        `sites`, columns `SITE_COLUMNS`.

    Raises:
        ValueError: a record cannot be used, or a pair names an unknown id.

    Examples:
        >>> from seqformers.targets.scan import scan_targets
        >>> table = scan_targets({"let-7a": "UGAGGUAGUAGGUUGUAUAGUU"}, {"u": "A" * 25 + "AACUACCUCA" + "G" * 20})
        >>> table.num_sites.item(), table.site_type.item()
        (5, '8mer')
    """
    report = ScanReport(on_error)
    scanner = TargetScanner(model, threads=threads, device=device)
    small = TargetRecords.from_mapping(mirnas, "miRNA", scanner.processor, report)
    large = TargetRecords.from_mapping(mrnas, "mRNA", scanner.processor, report)
    if pairs is None:
        numbered = pair_all(small, large)
    else:
        named = pairs[["mirna_id", "mrna_id"]].itertuples(index=False) if isinstance(pairs, pd.DataFrame) else pairs
        numbered = find_pairs(enumerate(named, 1), small, large, report)
    rows = [row for scored in scanner.scan(small, large, numbered, sites=sites) for row in scored.rows(min_score)]
    report.warn()
    table = pd.DataFrame(rows, columns=list(SITE_COLUMNS if sites else PAIR_COLUMNS))
    return table if sites else table.astype({"best_start": "Int64", "best_end": "Int64"})  # may be missing


def scan_target_files(
    mirna: str | Path,
    mrna: str | Path,
    output: str | Path,
    *,
    pairs: str | Path | None = None,
    model: Any = None,
    sites: bool = False,
    min_score: float = 0.0,
    on_error: str = "raise",
    overwrite: bool = False,
    resume: bool = False,
    threads: int | None = None,
    device: str | None = None,
    progress: bool = True,
    plot: str | Path | None = None,
) -> ScanReport:
    """Score pairs from FASTA files into a table, row by row, in constant memory; see `scan_targets` for the columns.

    Args:
        mirna (`str` or `Path`): FASTA of mature miRNAs.
        mrna (`str` or `Path`): FASTA of 3'UTRs or other targets.
        output (`str` or `Path`): `.tsv`, `.csv`, `.jsonl` or `.parquet`.
        pairs (`str` or `Path`, *optional*): Tab-separated, with columns `mirna_id` and `mrna_id`; by default all
            pairs, miRNA by miRNA.
        model (*optional*): As in `scan_targets`.
        sites (`bool`): One row a candidate site.
        min_score (`float`): Leave out pairs (with `sites`, sites) that score less.
        on_error (`str`): `"raise"` or `"skip"`.
        overwrite (`bool`): Replace `output`.
        resume (`bool`): Go on with an interrupted run of the same call.
        threads (`int`, *optional*): As in `scan_targets`.
        device (`str`, *optional*): As in `scan_targets`.
        progress (`bool`): Show a progress bar on stderr.
        plot (`str` or `Path`, *optional*): Folder for pictures of the sites of the ten best pairs of this call.

    Returns:
        `ScanReport`: what was done; its `lines()` say what was left out or odd.
    """
    report = ScanReport(on_error)
    scanner = TargetScanner(model, threads=threads, device=device)
    small = TargetRecords.from_fasta(mirna, "miRNA", scanner.processor, report)
    large = TargetRecords.from_fasta(mrna, "mRNA", scanner.processor, report)
    settings = {
        "mirna": str(mirna), "mrna": str(mrna), "pairs": str(pairs or ""), "model": str(model or ""), "sites": sites,
        "min_score": min_score, "records": [len(small), len(large)], "on_error": on_error,
    }  # fmt: skip
    columns = SITE_COLUMNS if sites else PAIR_COLUMNS
    with ScanOutput(output, columns, settings, overwrite=overwrite, resume=resume) as table:
        if table.finished:
            return report
        numbered, total = pair_all(small, large), len(small) * len(large)
        if pairs is not None:
            numbered, total = find_pairs(read_pairs(Path(pairs), report), small, large, report, f"{pairs} line"), 0
        report.resumed = table.skip(numbered)
        scored = scanner.scan(small, large, numbered, sites=sites)
        with _show_progress(total, report.resumed, progress) as bar:
            best = _write(scored, table, report, bar, sites=sites, min_score=min_score)
    if plot is not None:
        _plot_best(best, small, large, scanner, Path(plot))
    return report


def _show_progress(total: int, done: int, show: bool) -> Any:
    return tqdm(total=total or None, initial=done, unit="pair", desc="scanning", disable=not show, mininterval=0.5)


def _write(
    scored: Iterator[ScoredPair], table: Any, report: ScanReport, bar: Any, *, sites: bool, min_score: float
) -> list[ScoredPair]:
    """Write results in blocks; return the best pairs seen."""
    best: list[ScoredPair] = []
    size = _PAIRS_A_BLOCK_OF_SITES if sites else _PAIRS_A_BLOCK
    while block := list(islice(scored, size)):
        rows = [row for pair in block for row in pair.rows(min_score)]
        table.write(rows, pairs=len(block))
        report.count(block)
        for pair in block:
            pair.sites = None
        best = heapq.nlargest(_PICTURES, [*best, *block], key=lambda pair: pair.score)
        bar.update(len(block))
    return best


def _plot_best(
    best: list[ScoredPair], mirnas: TargetRecords, mrnas: TargetRecords, scanner: TargetScanner, folder: Path
) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for pair in best:
        if pair.num_sites:
            sequences = mirnas.sequence(pair.mirna_id), mrnas.sequence(pair.mrna_id)
            name = f"{pair.mirna_id}__{pair.mrna_id}".replace("/", "_")
            figure = plot_target_sites(*sequences, scanner, title=f"{pair.mirna_id} on {pair.mrna_id}")
            figure.savefig(folder / f"{name}.png", dpi=150)
