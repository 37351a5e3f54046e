"""The engine of a target scan: a TargetNet that scores streams of miRNA-mRNA pairs.

Pairs stream through jobs of bounded size: a job selects, aligns, encodes and scores the candidate sites of many short
mRNAs or of a stretch of a long one. Jobs run on all cores, results come out in the order of the pairs.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from transformers import AutoConfig

from seqformers.hub.devices import one_thread, pick_device, quiet_loading
from seqformers.hub.download import fetch_repository
from seqformers.hub.load import packaged_model
from seqformers.modeling.targets.modeling_targetnet import TargetNetModel
from seqformers.modeling.targets.processing_targetnet import TargetNetProcessor
from seqformers.modeling.targets.targetnet_sites import draw_alignments, plan_site_jobs
from seqformers.targets.records import TargetRecords

__all__ = ["PAIR_COLUMNS", "SITE_COLUMNS", "ScoredPair", "TargetScanner", "load_target_model"]

PAIR_COLUMNS = (
    "mirna_id", "mrna_id", "score", "num_sites", "best_start", "best_end", "site_type", "alignment",
)  # fmt: skip
SITE_COLUMNS = ("mirna_id", "mrna_id", "start", "end", "score", "pairings", "site_type", "alignment")


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
        with ThreadPoolExecutor(self.threads) as pool, one_thread():
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
