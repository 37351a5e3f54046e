"""The engine of a target scan: a TargetNet that scores streams of miRNA-mRNA pairs.

Pairs stream through jobs of bounded size: a job selects, aligns, encodes and scores the candidate windows of many
short mRNAs or of a stretch of a long one. Jobs run on all cores, results come out in the order of the pairs.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch

from seqformers.inference.blocks import whole_blocks
from seqformers.modeling.targets.processing_targetnet import TargetNetProcessor
from seqformers.modeling.targets.targetnet_sites import SITE_TYPES, WINDOW, SiteBatch, draw_alignments, plan_site_jobs
from seqformers.targets.jobs import Engine
from seqformers.targets.records import TargetRecords
from seqformers.targets.results import PAIR_COLUMNS, SITE_COLUMNS, ScoredPair
from seqformers.targets.sites import merge_windows, pad_ends

__all__ = ["TargetScanner"]

_Site = tuple[int, int, float, int, str, str, int]  # start, end, score, pairings, type, alignment, its window


class TargetScanner(Engine):
    """A TargetNet with its processor, ready to score streams of pairs.

    Args:
        model (`str`, `Path` or `TargetNetModel`, *optional*): Folder, Hub repository or model; by default the one
            that comes with the package.
        processor (`TargetNetProcessor`, *optional*): Selection of windows; by default the model folder's own.
        windows (`bool`): Report TargetNet's windows of 40 nt as they are, in place of the sites that they show.
        batch_size (`int`): Windows the network takes at once; 256 is fastest on a CPU (it fits the cache).
        threads (`int`, *optional*): Worker threads; by default one a core.
        device (`str`, *optional*): By default a GPU if there is one.
        precision (`str`): As of `Engine`.

    Attributes:
        fingerprint (`dict`): What tells this model and selection from others.

    Raises:
        ValueError: the folder or repository holds no TargetNet, or an option is out of its range.
    """

    pair_columns, site_columns = PAIR_COLUMNS, SITE_COLUMNS

    def __init__(
        self,
        model: Any = None,
        *,
        processor: Any = None,
        windows: bool = False,
        batch_size: int | None = None,
        threads: int | None = None,
        device: str | None = None,
        precision: str = "fp32",
    ):
        super().__init__(
            model, "targetnet", batch_size=batch_size, threads=threads, device=device, precision=precision
        )
        # Weights saved alone: the published selection.
        self.processor = (
            processor or self.encoder or TargetNetProcessor(encode_alignment=self.model.config.encode_alignment)
        )
        self.fingerprint = {"weights": self.weights, "selection": self.processor.options(), **self.chosen_precision}
        self.windows = windows
        self.padding = (0, 0)
        if not windows:
            padded, before = pad_ends(np.zeros(0, np.uint8), self.processor.step)
            self.padding = before, len(padded) - before
        self.job_windows = 16_384 if self.device.type == "cpu" else 131_072

    def scan(
        self, mirnas: TargetRecords, mrnas: TargetRecords, pairs: Iterable[tuple[int, int]], *, sites: bool = False
    ) -> Iterator[ScoredPair]:
        """Score pairs, in order.

        Args:
            mirnas (`TargetRecords`): miRNAs.
            mrnas (`TargetRecords`): mRNAs, with padded ends unless windows are reported as they are.
            pairs (`Iterable[tuple[int, int]]`): Index of miRNA and mRNA of each pair.
            sites (`bool`): Keep every site in `ScoredPair.sites`.

        Yields:
            `ScoredPair`: one a pair.
        """
        open_pairs: dict[int, tuple[ScoredPair, int]] = {}
        pieces: dict[int, list[np.ndarray]] = {}  # windows of pairs that are spread over several jobs

        def opened() -> Iterator[tuple[int, int]]:
            for number, (mirna, mrna) in enumerate(pairs):
                scored = ScoredPair(mirnas.ids[mirna], mrnas.ids[mrna], sites=[] if sites else None)
                open_pairs[number] = scored, mrnas.length(mrna)
                if self.windows and mrnas.length(mrna) < WINDOW:
                    scored.best = (-1, -1, 0.0, 0, "too-short", "", -1)
                yield mirna, mrna

        jobs = plan_site_jobs(mrnas.codes, opened(), max_windows=self.job_windows, step=self.processor.step)
        for job, (whole, parts) in self.run(jobs, partial(self._score, mirnas=mirnas.codes, sites=sites)):
            for part in parts:
                pieces.setdefault(int(part["pair"][0]), []).append(part)
            spread = [self._summarise(np.concatenate(pieces.pop(n)), sites) for n in job.ended if n in pieces]
            found = {summary.number: summary for group in (whole, *spread) for summary in group}
            for number in job.ended:
                scored, length = open_pairs.pop(number)
                if number in found:
                    found[number].put_into(scored, mrnas.before, length)
                yield scored

    def _score(self, job: Any, mirnas: Any, sites: bool) -> tuple[list[_Summary], list[np.ndarray]]:
        """Summaries of the pairs that lie whole in this job, and the windows of the others, pair by pair."""
        found = _as_records(job.find(mirnas, **self.processor.options()))
        found["logit"] = self.site_logits(found["ids"])
        spread = {number for number, begin in zip(job.numbers, job.begins, strict=True) if begin > 0}
        spread |= set(job.numbers) - set(job.ended)
        apart = np.isin(found["pair"], list(spread))
        return self._summarise(found[~apart], sites), _by_pair(found[apart])

    def _summarise(self, found: np.ndarray, sites: bool) -> list[_Summary]:
        """What the windows of whole pairs say about each."""
        if not self.windows:
            windows, types, place = merge_windows(found["pair"], found["start"], found["logit"], found["seed_matches"])
            found = found[windows]
            found["kind"], found["place"] = types, place
        groups, begin = [], 0
        for group in _by_pair(found):
            groups.append((begin, begin + len(group), begin + int(group["logit"].argmax())))
            begin += len(group)
        shown = np.arange(len(found)) if sites else np.array([best for *_, best in groups], dtype=np.int64)
        rows = self._describe(found[shown])
        return [
            _Summary(
                int(found["pair"][best]), end - begin, rows[best if sites else index], rows[begin:end] if sites else []
            )
            for index, (begin, end, best) in enumerate(groups)
        ]

    def _describe(self, found: np.ndarray) -> list[_Site]:
        drawn = [""] * len(found)
        if self.processor.encode_alignment:
            drawn = draw_alignments(found["ids"], found["pairings"])
        scores = 1.0 / (1.0 + np.exp(-found["logit"].astype(np.float64)))
        columns = (
            *found["place"].T.tolist(),
            scores.tolist(),
            found["pairings"].tolist(),
            SITE_TYPES[found["kind"]].tolist(),
        )
        return list(zip(*columns, drawn, found["start"].tolist(), strict=True))

    def site_logits(self, input_ids: np.ndarray) -> np.ndarray:
        """Logits of encoded windows: `(K,)` float32; those of a window are the same whatever stands beside it.

        Raises:
            ValueError: the model gives something that is no number.
        """
        logits = np.zeros(len(input_ids), np.float32)
        in_bf16 = torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision == "bf16")
        with torch.inference_mode(), in_bf16:
            for rows, batch in whole_blocks(input_ids, self.batch_size):
                found = self.model(torch.from_numpy(batch).to(self.device)).logits
                logits[rows] = found[: rows.stop - rows.start].float().cpu().numpy()
        if not np.isfinite(logits).all():
            raise ValueError("the model gives scores that are no numbers; its weights are damaged")
        return logits


@dataclass
class _Summary:
    """Sites of one pair, with coordinates that count the padding."""

    number: int
    num_sites: int
    best: _Site
    every: list[_Site]

    def put_into(self, scored: ScoredPair, before: int, length: int) -> None:
        """Move the sites onto the mRNA itself; what a site has of the padding does not count."""

        def moved(site: _Site) -> _Site:
            return max(site[0] - before, 0), min(site[1] - before, length), *site[2:6], site[6] - before

        scored.num_sites, scored.best, scored.score = self.num_sites, moved(self.best), self.best[2]
        if scored.sites is not None:
            scored.sites = [moved(site) for site in self.every]


def _as_records(sites: SiteBatch) -> np.ndarray:
    """One record a window, so that they can be cut, sorted and laid end to end as one array."""
    columns = [
        ("pair", sites.pair), ("start", sites.start), ("pairings", sites.pairings), ("kind", sites.site_type),
        ("place", np.column_stack([sites.start, sites.start + WINDOW])), ("seed_matches", sites.seed_matches),
        ("ids", sites.input_ids), ("logit", np.zeros(len(sites), np.float32)),
    ]  # fmt: skip
    records = np.empty(len(sites), [(name, values.dtype, values.shape[1:]) for name, values in columns])
    for name, values in columns:
        records[name] = values
    return records


def _by_pair(found: np.ndarray) -> list[np.ndarray]:
    """Cut windows, sorted by pair, into those of each pair."""
    return np.split(found, np.flatnonzero(np.diff(found["pair"])) + 1) if len(found) else []
