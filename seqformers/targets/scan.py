"""Which mRNAs does a microRNA act on: score pairs of sequences, over whole transcriptomes."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from importlib.metadata import version
from itertools import groupby, islice
from pathlib import Path
from typing import Any, Literal

import pandas as pd
from tqdm import tqdm

from seqformers.clusters import runs_on_ray
from seqformers.datasets_scripts.common.streams import check_source, is_stream
from seqformers.datasets_scripts.common.tables import open_table
from seqformers.files import Output, fingerprint, safe_name
from seqformers.shards import Shard
from seqformers.targets.engines import open_scanner
from seqformers.targets.output import ScanOutput
from seqformers.targets.plot import plot_target_sites
from seqformers.targets.records import ScanReport, TargetRecords, find_pairs, pair_all, read_pairs
from seqformers.targets.results import ScoredPair

__all__ = ["scan_target_files", "scan_targets"]

_PICTURES = 10
_PAIRS_A_BLOCK = 64  # some seconds of whole UTRs: no more is lost to a kill
_PAIRS_A_BLOCK_OF_SITES = 8  # a long mRNA has hundreds of sites


def scan_targets(
    mirnas: Mapping[str, str],
    mrnas: Mapping[str, str],
    pairs: Iterable[tuple[str, str]] | pd.DataFrame | None = None,
    model: Any = None,
    *,
    sites: bool = False,
    windows: bool = False,
    min_score: float = 0.0,
    criterion: str | None = None,
    step: int | None = None,
    exhaustive: bool = False,
    energy: bool = True,
    on_error: Literal["raise", "skip"] = "raise",
    threads: int | None = None,
    device: str | None = None,
    precision: str = "fp32",
) -> pd.DataFrame:
    """Score miRNA-mRNA pairs.

    A site is a canonical seed match, whatever it scores, or another place that the network scores 0.5 or more. Windows
    that show the same site are one site, with the coordinates of its seed match (without a canonical one: of the ten
    bases opposite nucleotides 1 to 10), and the ends of mRNAs are padded, so that a site there is seen, too.

    The score of a pair is of all its sites and the mRNA's length, by a rule learned on pairs of whole 3'UTRs. A score
    ranks: compare mRNAs of one miRNA with each other. It is no probability that the miRNA acts on the mRNA.

    A TargetNet (`model="targetnet"`, or with `windows`) scores windows of 40 nt, and a pair by its best site.

    Args:
        mirnas (`Mapping[str, str]`): id -> mature miRNA, 5'->3', RNA or DNA letters, 10 to 41 nt; the pair CNN of the
            package reads the first 24.
        mrnas (`Mapping[str, str]`): id -> 3'UTR (or any target), 5'->3'.
        pairs (iterable of `(mirna_id, mrna_id)` or `pd.DataFrame`, *optional*): Pairs to score, in the order of the
            answer; a data frame has columns `mirna_id` and `mrna_id`. By default every miRNA with every mRNA.
        model (`str`, `Path`, `PairCnnModel` or `TargetNetModel`, *optional*): Folder, Hub repository, model, or
            `pair_cnn` (the default) or `targetnet` for those that come with the package.
        sites (`bool`): One row a site instead of one a pair.
        windows (`bool`): A TargetNet's windows in place of sites, as the original has them: `num_sites` counts
            candidate windows, coordinates are their 40 nt, an mRNA of less has none, and a site in the first 24 or the
            last 4 nt is not seen.
        min_score (`float`): Leave out pairs (with `sites`, sites) that score less; 0 to 1.
        criterion (`str`, *optional*): Which windows a TargetNet takes for candidate sites: `targetnet`,
            `miraw-6-1:10`, `miraw-7-1:10`, `miraw-7-2:10`, `targetscan`, `pita` or `all`.
        step (`int`, *optional*): Distance of a TargetNet's windows, counted from the mRNA's 3' end; 1 by default.
        exhaustive (`bool`): Let the pair CNN itself look at every window of every mRNA. Otherwise a network about
            fifteen times smaller says where, and the pair CNN scores the best pairings there and all seed matches.
        energy (`bool`): Add the energy of each reported site's duplex, where ViennaRNA is installed
            (`pip install 'seqformers[rna]'`).
        on_error (`str`): `"raise"` at the first bad record, or `"skip"` it with a counted warning.
        threads (`int`, *optional*): Worker threads; by default one a core.
        device (`str`, *optional*): Where the network runs; by default a GPU if there is one.
        precision (`str`): `"fp32"`; `"bf16"`, faster where the hardware has it; or `"auto"`: bf16 where it has.

    Returns:
        `pd.DataFrame`: `mirna_id`, `mrna_id`, `score` of the pair (0 without a site), `num_sites`, `best_start` and
        `best_end` of the best one, 0-based half-open on the 5'->3' mRNA, `site_type` its canonical seed match or
        `non-canonical` (`none` without a site), `alignment` its extended seed: miRNA 5'->3' / marks / mRNA 3'->5';
        of a pair CNN also `best_score` of that site and `energy` of its duplex (kcal/mol; missing without ViennaRNA).
        With `sites` one row a site: `start`, `end`, `score`, `pairings`, `site_type` and `alignment` of each; of a
        pair CNN also `to_end`, the nucleotides between it and the mRNA's 3' end, `window_start` and `window_end` of
        the stretch that was scored, and `energy`.

    Raises:
        ValueError: a record cannot be used, or a pair names an unknown id.

    Examples:
        >>> from seqformers.targets.scan import scan_targets
        >>> utr = "GGAGCAAUCUCAACUGACUUAGUUAGUAAGCAUUCAAACUACCUCAUUUAAGC"
        >>> table = scan_targets({"let-7a": "UGAGGUAGUAGGUUGUAUAGUU"}, {"utr": utr})
        >>> table[["num_sites", "best_start", "best_end", "site_type"]].values.tolist()
        [[2, 38, 46, '8mer']]
    """
    _check_min_score(min_score)
    report = ScanReport(on_error)
    scanner = open_scanner(
        model, windows=windows, criterion=criterion, step=step, exhaustive=exhaustive, energy=energy, threads=threads,
        device=device, precision=precision,
    )  # fmt: skip
    small = TargetRecords.from_mapping(mirnas, "miRNA", scanner.processor, report)
    large = TargetRecords.from_mapping(mrnas, "mRNA", scanner.processor, report, padding=scanner.padding)
    if pairs is None:
        numbered = pair_all(small, large)
    else:
        named = pairs[["mirna_id", "mrna_id"]].itertuples(index=False) if isinstance(pairs, pd.DataFrame) else pairs
        numbered = find_pairs(((f"pair {n}", pair) for n, pair in enumerate(named, 1)), small, large, report)
    rows = [row for scored in scanner.scan(small, large, numbered, sites=sites) for row in scored.rows(min_score)]
    report.warn()
    table = pd.DataFrame(rows, columns=list(scanner.site_columns if sites else scanner.pair_columns))
    return table if sites else table.astype({"best_start": "Int64", "best_end": "Int64"})  # may be missing


@runs_on_ray("mirna", "mrna", "pairs", whole=("plot",))
def scan_target_files(
    mirna: str | Path,
    mrna: str | Path,
    output: str | Path,
    *,
    pairs: str | Path | None = None,
    model: Any = None,
    sites: bool = False,
    windows: bool = False,
    min_score: float = 0.0,
    criterion: str | None = None,
    step: int | None = None,
    exhaustive: bool = False,
    energy: bool = True,
    on_error: Literal["raise", "skip"] = "raise",
    shard: str | None = None,
    engine: str = "local",
    ray_address: str | None = None,
    overwrite: bool = False,
    resume: bool = False,
    threads: int | None = None,
    device: str | None = None,
    precision: str = "fp32",
    progress: bool = True,
    plot: str | Path | None = None,
) -> ScanReport:
    """Score pairs from FASTA files into a table, row by row, in constant memory; see `scan_targets` for the columns.

    The table is the same, byte by byte, for any number of threads and however often it was interrupted.

    Args:
        mirna (`str` or `Path`): FASTA of mature miRNAs; `-` reads standard input.
        mrna (`str` or `Path`): FASTA of 3'UTRs or other targets.
        output (`str` or `Path`): `.tsv`, `.csv`, `.jsonl` or `.parquet`.
        pairs (`str` or `Path`, *optional*): Table with columns `mirna_id` and `mrna_id`; by default all pairs, miRNA
            by miRNA.
        model (*optional*): As in `scan_targets`.
        sites (`bool`): One row a site.
        windows (`bool`): As in `scan_targets`.
        min_score (`float`): Leave out pairs (with `sites`, sites) that score less; 0 to 1.
        criterion (`str`, *optional*): As in `scan_targets`.
        step (`int`, *optional*): As in `scan_targets`.
        exhaustive (`bool`): As in `scan_targets`.
        energy (`bool`): As in `scan_targets`.
        on_error (`str`): `"raise"` or `"skip"`.
        shard (`str`, *optional*): `"i/n"`: only the i-th of n shares of the pairs; `seqformers.merge` joins them.
        engine (`"local"` or `"ray"`): `ray` runs the shards of the job on a cluster whose machines see the same
            files, a task a GPU or core, and joins them.
        ray_address (`str`, *optional*): Of a running cluster; by default one is started on this machine.
        overwrite (`bool`): Replace `output` (and `plot`) once the new one is whole.
        resume (`bool`): Go on with an interrupted run of the same call.
        threads (`int`, *optional*): As in `scan_targets`.
        device (`str`, *optional*): As in `scan_targets`.
        precision (`str`): As in `scan_targets`.
        progress (`bool`): Show a progress bar on stderr.
        plot (`str` or `Path`, *optional*): Folder for pictures of the sites of the ten best pairs.

    Returns:
        `ScanReport`: what was done; its `lines()` say what was left out or odd.

    Raises:
        FileNotFoundError: an input is missing.
        FileExistsError: an output is there and may not be replaced.
        ValueError: an input cannot be used, is an output, or a resumed run was another.
    """
    _check_min_score(min_score)
    inputs = [mirna, mrna, *([] if pairs is None else [pairs])]
    for source in inputs:
        check_source(source, "table of pairs" if source is pairs else "FASTA file")
        if resume and is_stream(source):
            raise ValueError(f"{source} can be read only once, so a run cannot go on with it; save it as a file")
    if plot is not None and shard is not None:
        raise ValueError(
            "--plot draws the best pairs of all; merge the shards, then give this command without --shard, with "
            "--resume and --plot"
        )
    part, report = Shard.parse(shard, *inputs), ScanReport(on_error)
    scanner = open_scanner(
        model, windows=windows, criterion=criterion, step=step, exhaustive=exhaustive, energy=energy, threads=threads,
        device=device, precision=precision,
    )  # fmt: skip
    names = ("mirna", "mrna", "pairs")
    settings = {name: fingerprint(source) for name, source in zip(names, inputs, strict=False)} | {
        "model": scanner.fingerprint, "sites": sites, "windows": windows, "min_score": min_score, "on_error": on_error,
        "version": version("seqformers"), **part.settings,
    }  # fmt: skip
    options: dict[str, Any] = {"settings": settings, "overwrite": overwrite, "resume": resume}
    with ExitStack() as stack:
        pictures = None
        if plot is not None:
            job = "scan-targets --plot"
            pictures = stack.enter_context(Output(plot, job, folder=True, inputs=[*inputs, output], **options))
        schema = scanner.site_columns if sites else scanner.pair_columns
        with ScanOutput(output, schema, report, inputs=inputs, **options) as table:
            drawn = pictures is None or pictures.finished
            if table.finished and drawn:
                return report
            small = TargetRecords.from_fasta(mirna, "miRNA", scanner.processor, report)
            large = TargetRecords.from_fasta(mrna, "mRNA", scanner.processor, report, padding=scanner.padding)
            if not table.finished:
                total = len(small) * len(large)
                numbered = part.of_items(pair_all(small, large), total)
                total = part.span(total)[1] - part.span(total)[0]
                if pairs is not None:
                    named, total = read_pairs(pairs, report), 0
                    if shard is not None:
                        named = part.of_items(named, sum(1 for _ in read_pairs(pairs, ScanReport("skip"))))
                    numbered = find_pairs(named, small, large, report)
                table.skip(numbered)
                scored = scanner.scan(small, large, numbered, sites=sites)
                with _show_progress(total, report.resumed, progress) as bar:
                    _write(scored, table, report, bar, sites=sites, min_score=min_score)
        if pictures is not None and not drawn:
            _plot_best(Path(output), small, large, scanner, pictures.start())
            pictures.finish()
    return report


def _show_progress(total: int, done: int, show: bool) -> tqdm:
    return tqdm(total=total or None, initial=done, unit="pair", desc="scanning", disable=not show, mininterval=0.5)


def _check_min_score(min_score: float) -> None:
    if not 0 <= min_score <= 1:
        raise ValueError(f"min_score is a score, 0 to 1, got {min_score}")


def _write(
    scored: Iterator[ScoredPair], table: ScanOutput, report: ScanReport, bar: tqdm, *, sites: bool, min_score: float
) -> None:
    """Write results in blocks."""
    size = _PAIRS_A_BLOCK_OF_SITES if sites else _PAIRS_A_BLOCK
    while block := list(islice(scored, size)):
        report.count(block)
        table.write([row for pair in block for row in pair.rows(min_score)])
        bar.update(len(block))


def _plot_best(table: Path, mirnas: TargetRecords, mrnas: TargetRecords, scanner: Any, folder: Path) -> None:
    """Pictures of the pairs that the finished table scores highest, named by rank and ids."""
    rows = (row for _, row in open_table(table, required=(), text=("mirna_id", "mrna_id")).rows())
    pairs = (
        (max(float(row["score"]) for row in group), mirna, mrna)
        for (mirna, mrna), group in groupby(rows, key=lambda row: (row["mirna_id"], row["mrna_id"]))
    )
    best = heapq.nlargest(_PICTURES, pairs, key=lambda pair: pair[0])
    for rank, (score, mirna, mrna) in enumerate(best, 1):
        if score > 0:
            sequences = mirnas.sequence(mirna), mrnas.sequence(mrna)
            figure = plot_target_sites(*sequences, scanner, title=f"{mirna} on {mrna}")
            figure.savefig(folder / f"{rank:02d}-{safe_name(f'{mirna}__{mrna}')}.png", dpi=150)
