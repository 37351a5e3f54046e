"""Which mRNAs does a microRNA act on: score pairs of sequences with a TargetNet, over whole transcriptomes.

Pairs stream through jobs of bounded size: a job selects, aligns, encodes and scores the candidate sites of many short
mRNAs or of a stretch of a long one. Jobs run on all cores, results come out in the order of the pairs.
"""

from __future__ import annotations

import heapq
import os
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seqformers.inference.devices import pick_device, quiet_loading
from seqformers.targets.records import ScanReport, TargetRecords, all_pairs, find_pairs, read_pairs

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

__all__ = ["PAIR_COLUMNS", "SITE_COLUMNS", "TargetScanner", "scan_target_files", "scan_targets"]

PAIR_COLUMNS = (
    "mirna_id", "mrna_id", "score", "num_sites", "best_start", "best_end", "site_type", "alignment",
)  # fmt: skip
SITE_COLUMNS = ("mirna_id", "mrna_id", "start", "end", "score", "pairings", "site_type", "alignment")
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
    import pandas as pd

    report = ScanReport(on_error)
    scanner = TargetScanner(model, threads=threads, device=device)
    small = TargetRecords.from_mapping(mirnas, "miRNA", scanner.processor, report)
    large = TargetRecords.from_mapping(mrnas, "mRNA", scanner.processor, report)
    if pairs is None:
        numbered = all_pairs(small, large)
    else:
        named = pairs[["mirna_id", "mrna_id"]].itertuples(index=False) if isinstance(pairs, pd.DataFrame) else pairs
        numbered = find_pairs(enumerate(named, 1), small, large, report)
    rows = [row for scored in scanner.scan(small, large, numbered, sites=sites) for row in scored.rows(min_score)]
    report.warn()
    table = pd.DataFrame(rows, columns=list(SITE_COLUMNS if sites else PAIR_COLUMNS))
    return table if sites else table.astype({"best_start": "Int64", "best_end": "Int64"})  # may be missing


@dataclass
class ScoredPair:
    """Result of one pair, gathered over the jobs it was spread over."""

    mirna_id: str
    mrna_id: str
    mrna_length: int
    num_sites: int = 0
    score: float = 0.0
    start: int = -1
    site_type: str = "none"
    alignment: str = ""
    sites: list[tuple[int, float, int, str, str]] | None = None

    def rows(self, min_score: float = 0.0) -> list[dict[str, Any]]:
        """Rows of the table that score so much: the pair's, or its sites' from the mRNA's 5' end on."""
        if self.sites is None:
            return [self._row()] if self.score >= min_score else []
        found = (
            (self.mirna_id, self.mrna_id, start, start + 40, round(score, 6), *rest)
            for start, score, *rest in self.sites
            if score >= min_score
        )
        return [dict(zip(SITE_COLUMNS, site, strict=True)) for site in found]

    def _row(self) -> dict[str, Any]:
        """A pair without a site has score 0 and says why."""
        found = self.num_sites > 0
        return {
            "mirna_id": self.mirna_id,
            "mrna_id": self.mrna_id,
            "score": round(self.score, 6),
            "num_sites": self.num_sites,
            "best_start": self.start if found else None,
            "best_end": self.start + 40 if found else None,
            "site_type": self.site_type if found else "too-short" if self.mrna_length < 40 else "none",
            "alignment": self.alignment,
        }


class TargetScanner:
    """A TargetNet with its processor, ready to score streams of pairs.

    Args:
        model (`str`, `Path` or `TargetNetModel`, *optional*): By default the model that comes with the package.
        processor (`TargetNetProcessor`, *optional*): Selection of sites; by default the model folder's own.
        batch_size (`int`): Sites the network takes at once; 256 is fastest on a CPU (it fits the cache).
        threads (`int`, *optional*): Worker threads; by default one a core.
        device (`str`, *optional*): By default a GPU if there is one.
    """

    def __init__(
        self,
        model: Any = None,
        *,
        processor: Any = None,
        batch_size: int | None = None,
        threads: int | None = None,
        device: str | None = None,
    ):
        self.device = pick_device(device)
        self.model, own = load_target_model(model)
        self.model = self.model.to(self.device).eval()
        self.processor = processor or own
        self.threads = threads or _cores()
        self.batch_size = batch_size or (256 if self.device.type == "cpu" else 65_536)
        self.job_windows = 16_384 if self.device.type == "cpu" else 131_072

    def scan(
        self, mirnas: TargetRecords, mrnas: TargetRecords, pairs: Iterable[tuple[int, int]], *, sites: bool = False
    ) -> Iterator[ScoredPair]:
        """Score pairs, in order.

        Args:
            mirnas (`TargetRecords`): miRNAs.
            mrnas (`TargetRecords`): mRNAs.
            pairs (`Iterable[tuple[int, int]]`): Index of miRNA and mRNA of each pair.
            sites (`bool`): Keep every site in `ScoredPair.sites`.

        Yields:
            `ScoredPair`: one a pair.
        """
        from seqformers.modeling.targets.processing_targetnet import plan_site_jobs

        open_pairs: dict[int, ScoredPair] = {}

        def opened() -> Iterator[tuple[int, int]]:
            for number, (mirna, mrna) in enumerate(pairs):
                scored = ScoredPair(mirnas.ids[mirna], mrnas.ids[mrna], len(mrnas.codes[mrna]))
                open_pairs[number] = scored
                scored.sites = [] if sites else None
                yield mirna, mrna

        options = self.processor.options()
        jobs = plan_site_jobs(mrnas.codes, opened(), max_windows=self.job_windows, step=options["step"])
        for job, found in self._run(jobs, mirnas, options, sites):
            for part in found:
                _merge(open_pairs[part.number], part)
            for number in job.ended:
                yield open_pairs.pop(number)

    def _run(self, jobs: Iterable[Any], mirnas: TargetRecords, options: dict, sites: bool) -> Iterator[tuple]:
        """Run jobs on the worker threads, a bounded number ahead, and hand the results out in order."""
        waiting: list[tuple[Any, Future]] = []
        with ThreadPoolExecutor(self.threads) as pool, _one_thread_each():
            try:
                for job in jobs:
                    waiting.append((job, pool.submit(self._score, job, mirnas.codes, options, sites)))
                    if len(waiting) > 2 * self.threads:
                        done, future = waiting.pop(0)
                        yield done, future.result()
                for done, future in waiting:
                    yield done, future.result()
            finally:
                for _, future in waiting:
                    future.cancel()

    def _score(self, job: Any, mirnas: Any, options: dict, sites: bool) -> list[_Part]:
        import numpy as np

        from seqformers.modeling.targets.processing_targetnet import draw_alignments

        found = job.find(mirnas, **options)
        if not len(found):
            return []
        logits = self.site_logits(found.input_ids)
        first = np.flatnonzero(np.append(True, found.pair[1:] != found.pair[:-1]))
        parts = []
        for begin, end in zip(first.tolist(), [*first[1:].tolist(), len(found)], strict=True):
            best = begin + int(logits[begin:end].argmax())
            parts.append(_Part(int(found.pair[begin]), begin, end, best, float(logits[best])))
        shown = np.arange(len(found)) if sites else np.array([part.best for part in parts])
        drawn = [""] * len(shown)
        if options["encode_alignment"]:
            drawn = draw_alignments(found.input_ids[shown], found.pairings[shown])
        scores = 1.0 / (1.0 + np.exp(-logits[shown].astype(np.float64)))
        rows = list(
            zip(
                found.start[shown].tolist(),
                scores.tolist(),
                found.pairings[shown].tolist(),
                found.type_names()[shown].tolist(),
                drawn,
                strict=True,
            )
        )
        for index, part in enumerate(parts):
            part.best_row = rows[part.best if sites else index]
            part.rows = rows[part.begin : part.end] if sites else None
        return parts

    def site_logits(self, input_ids: np.ndarray) -> np.ndarray:
        """Logits of encoded sites: `(K,)` float32."""
        import numpy as np
        import torch

        with torch.inference_mode():
            chunks = [
                self.model(torch.from_numpy(input_ids[begin : begin + self.batch_size]).to(self.device)).logits.cpu()
                for begin in range(0, len(input_ids), self.batch_size)
            ]
        return torch.cat(chunks).float().numpy() if chunks else np.zeros(0, np.float32)


def _cores() -> int:
    """Cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@dataclass
class _Part:
    """What one job says about one pair: rows are (start, score, pairings, type, alignment)."""

    number: int
    begin: int
    end: int
    best: int
    logit: float
    best_row: tuple[int, float, int, str, str] = (-1, 0.0, 0, "none", "")
    rows: list[tuple[int, float, int, str, str]] | None = None


def _merge(scored: ScoredPair, part: _Part) -> None:
    start, score, _, kind, alignment = part.best_row
    if scored.num_sites == 0 or score > scored.score:
        scored.start, scored.score, scored.site_type, scored.alignment = start, score, kind, alignment
    scored.num_sites += part.end - part.begin
    if scored.sites is not None and part.rows is not None:
        scored.sites.extend(part.rows)


@contextmanager
def _one_thread_each() -> Iterator[None]:
    """Workers parallelise over jobs, so torch's own threads would only get in their way."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def load_target_model(model: Any = None) -> tuple[Any, Any]:
    """Load a TargetNet and its processor.

    Args:
        model (`str`, `Path` or `TargetNetModel`, *optional*): Folder, Hub repository or model; by default the one
            that comes with the package.

    Returns:
        tuple: The model and a `TargetNetProcessor`.

    Raises:
        ValueError: the folder or repository holds no TargetNet.
    """
    from transformers import AutoConfig

    from seqformers.hub.download import fetch_repository
    from seqformers.hub.packaged import packaged_model
    from seqformers.modeling.targets.modeling_targetnet import TargetNetModel
    from seqformers.modeling.targets.processing_targetnet import TargetNetProcessor

    if isinstance(model, TargetNetModel):
        return model, TargetNetProcessor(encode_alignment=model.config.encode_alignment)
    folder = packaged_model("targetnet") if model is None else fetch_repository(model)
    if not (folder / "config.json").is_file():
        raise ValueError(f"{model} holds no model: there is no config.json")
    config = AutoConfig.from_pretrained(folder)
    if config.model_type != "targetnet":
        raise ValueError(f"{model} is a {config.model_type} model; scanning for miRNA targets needs a targetnet")
    if (folder / "processor_config.json").is_file():
        processor = TargetNetProcessor.from_pretrained(folder)
    else:  # weights saved alone: the published selection
        processor = TargetNetProcessor(encode_alignment=config.encode_alignment)
    with quiet_loading():
        return TargetNetModel.from_pretrained(folder), processor


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
    from seqformers.targets.output import ScanOutput

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
        numbered, total = all_pairs(small, large), len(small) * len(large)
        if pairs is not None:
            numbered, total = find_pairs(read_pairs(Path(pairs), report), small, large, report, f"{pairs} line"), 0
        report.resumed = table.skip(numbered)
        scored = scanner.scan(small, large, numbered, sites=sites)
        with _progress_bar(total, report.resumed, progress) as bar:
            best = _write(scored, table, report, bar, sites=sites, min_score=min_score)
    if plot is not None:
        _plot_best(best, small, large, scanner, Path(plot))
    return report


def _progress_bar(total: int, done: int, show: bool) -> Any:
    from tqdm import tqdm

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
    from seqformers.targets.sites import plot_target_sites

    folder.mkdir(parents=True, exist_ok=True)
    for pair in best:
        if pair.num_sites:
            sequences = mirnas.sequence(pair.mirna_id), mrnas.sequence(pair.mrna_id)
            name = f"{pair.mirna_id}__{pair.mrna_id}".replace("/", "_")
            figure = plot_target_sites(*sequences, scanner, title=f"{pair.mirna_id} on {pair.mrna_id}")
            figure.savefig(folder / f"{name}.png", dpi=150)
