"""The engine of a target scan with a pair CNN: from pairs of sequences to sites and a score of each pair.

Places with a canonical seed match, and those that a small network finds as it slides along the mRNA, are cut out as
windows of 50 nt and scored by the network itself; see `places.py` for what a place is. What scores enough, and every
canonical seed match, is a site. The pair's score is learned from the sites: see `pair_score.py`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import numpy as np
import torch

from seqformers.hub.devices import one_thread, pick_device
from seqformers.hub.load import fingerprint_weights, load_model, packaged_model
from seqformers.inference.blocks import whole_blocks
from seqformers.modeling.targets.modeling_pair_cnn import PairCnnModel
from seqformers.modeling.targets.processing_pair_cnn import PairCnnProcessor
from seqformers.modeling.targets.targetnet_sites import SITE_TYPES
from seqformers.targets.duplex import PAIRS, draw_duplex, duplex_energy, energy_version, fold_duplex
from seqformers.targets.pair_score import PairRule
from seqformers.targets.places import (
    AFTER,
    BEFORE,
    ONE_SHOWN,
    WINDOW,
    Laid,
    join_places,
    seed_places,
    settle,
    slide,
    strongest_places,
    told_apart,
)
from seqformers.targets.records import TargetRecords
from seqformers.targets.scanner import PAIR_COLUMNS, SITE_COLUMNS, ScoredPair, cores

__all__ = ["PairCnnScanner"]

_JOB_LETTERS = 100_000
_SEED = 10  # nucleotides shown paired, as of a TargetNet
SCOUT_LEAST = 1.0  # logit of the scout from which a place without a seed match is looked at
_SLID_LEAST = -1.0  # the same of the network itself, which sees more
_SITE_LEAST = 0.0  # logit that makes a site of a place without a seed match
_LETTERS = np.frombuffer(b"ACGU.", np.uint8)
_MARKS = np.full((5, 5), ord("."), np.uint8)
for _one, _other, _mark in ((0, 3, "|"), (1, 2, "|"), (2, 3, ":")):
    _MARKS[_one, _other] = _MARKS[_other, _one] = ord(_mark)


@dataclass
class RankedPair(ScoredPair):
    """Result of one pair: its score is of all its sites together. A site has its energy, too, as its last value.

    Attributes:
        length (`int`): Nucleotides of the mRNA.
    """

    length: int = 0
    best: Any = (-1, -1, 0.0, 0, "none", "", -1, None)
    sites: Any = None

    def rows(self, min_score: float = 0.0) -> list[dict[str, Any]]:
        """Rows of the table that score so much: the pair's, or its sites' from the mRNA's 5' end on."""
        names = self.mirna_id, self.mrna_id
        if self.sites is None:
            start, end, best, _, kind, alignment, _, energy = self.best
            place = (start, end) if self.num_sites else (None, None)
            row = (*names, round(self.score, 6), self.num_sites, *place, kind, alignment, round(best, 6),
                   energy)  # fmt: skip
            return [dict(zip(PairCnnScanner.pair_columns, row, strict=True))] if self.score >= min_score else []
        rows = (
            (*names, start, end, round(score, 6), pairings, kind, alignment, self.length - end,
             max(window, 0), min(window + WINDOW, self.length), energy)
            for start, end, score, pairings, kind, alignment, window, energy in self.sites
            if score >= min_score
        )  # fmt: skip
        return [dict(zip(PairCnnScanner.site_columns, row, strict=True)) for row in rows]


class PairCnnScanner:
    """A pair CNN with its processor, ready to score streams of pairs.

    Args:
        model (*optional*): Folder, Hub repository or `PairCnnModel`; by default the one that comes with the package.
        exhaustive (`bool`): Let the network itself slide along every mRNA, in place of the small one.
        energy (`bool`): Give the energy of each reported site's duplex, where ViennaRNA is installed.
        batch_size (`int`, *optional*): Windows a batch.
        threads (`int`, *optional*): Worker threads; by default one a core.
        device (`str`, *optional*): By default a GPU if there is one.

    Attributes:
        fingerprint (`dict`): What tells this model and selection from others.

    Raises:
        ValueError: the folder or repository holds no pair CNN, or an option is out of its range.
    """

    windows = False
    padding = (BEFORE, AFTER)
    pair_columns = PAIR_COLUMNS | {"best_score": float, "energy": float}
    site_columns = SITE_COLUMNS | {"to_end": int, "window_start": int, "window_end": int, "energy": float}

    def __init__(
        self,
        model: Any = None,
        *,
        exhaustive: bool = False,
        energy: bool = True,
        batch_size: int | None = None,
        threads: int | None = None,
        device: str | None = None,
    ):
        for name, value in (("threads", threads), ("batch_size", batch_size)):
            if value is not None and value < 1:
                raise ValueError(f"{name} must be 1 or more, got {value}")
        if isinstance(model, PairCnnModel):
            self.model = model.eval()
            weights, own = fingerprint_weights(model), None
        else:
            loaded = load_model(model or "pair_cnn", family="pair_cnn", device=device)
            self.model, weights, own = loaded.model, loaded.fingerprint, loaded.encoder
        self.device = pick_device(device)
        self.model.to(self.device)
        config = self.model.config
        if config.target_length < WINDOW:
            raise ValueError(f"a scan reads windows of {WINDOW} nt, and this model {config.target_length} at most")
        if exhaustive and config.kind != "diagonal":
            raise ValueError("--exhaustive needs a diagonal reader: a matrix reader cannot slide along an mRNA")
        self.processor = own or PairCnnProcessor(max_mirna_length=config.max_mirna_length)
        scout = None
        if not exhaustive:
            scout = load_model(packaged_model("pair_cnn").parent / "pair_cnn_scout", family="pair_cnn", device=device)
        self.slider, self.least = (scout.model, SCOUT_LEAST) if scout else (self.model, _SLID_LEAST)
        self.rule = PairRule.of(config)
        self.energy = energy_version() if energy else None
        self.fingerprint = {
            "weights": weights, "scout": scout.fingerprint if scout else None, "energy": self.energy
        }  # fmt: skip
        self.threads = threads or cores()
        self.batch_size = batch_size or (128 if self.device.type == "cpu" else 16_384)
        self.job_letters = _JOB_LETTERS

    def scan(
        self, mirnas: TargetRecords, mrnas: TargetRecords, pairs: Iterable[tuple[int, int]], *, sites: bool = False
    ) -> Iterator[RankedPair]:
        """Score pairs, in order.

        Args:
            mirnas (`TargetRecords`): miRNAs.
            mrnas (`TargetRecords`): mRNAs, with padded ends.
            pairs (`Iterable[tuple[int, int]]`): Index of miRNA and mRNA of each pair.
            sites (`bool`): Keep every site in `ScoredPair.sites`.

        Yields:
            `RankedPair`: one a pair.
        """
        waiting: list[Future] = []
        with ThreadPoolExecutor(self.threads) as pool, one_thread():
            try:
                for job in self._jobs(mrnas, pairs):
                    waiting.append(pool.submit(self._score, job, mirnas, mrnas, sites))
                    if len(waiting) > 2 * self.threads:
                        yield from waiting.pop(0).result()
                while waiting:
                    yield from waiting.pop(0).result()
            finally:
                for future in waiting:
                    future.cancel()

    def _jobs(self, mrnas: TargetRecords, pairs: Iterable[tuple[int, int]]) -> Iterator[list[tuple[int, int]]]:
        """Pairs of some letters together; a long mRNA alone."""
        job: list[tuple[int, int]] = []
        letters = 0
        for pair in pairs:
            job.append(pair)
            letters += len(mrnas.codes[pair[1]])
            if letters >= self.job_letters:
                yield job
                job, letters = [], 0
        if job:
            yield job

    def _score(
        self, job: list[tuple[int, int]], mirnas: TargetRecords, mrnas: TargetRecords, sites: bool
    ) -> list[RankedPair]:
        """Results of a job's pairs, in order."""
        found, number = [], 0
        for mirna, group in groupby(job, key=lambda pair: pair[0]):
            laid = Laid([mrnas.codes[mrna] for _, mrna in group])
            at, kind = self._places(mirnas.codes[mirna], laid)
            owner = laid.owners(at)
            part = np.zeros(len(at), _PLACE)
            part["pair"], part["mirna"], part["kind"] = number + owner, mirna, kind
            part["place"] = at - laid.begins[owner] - BEFORE
            part["window"] = laid.windows(at)
            number += len(laid.begins) - 1
            found.append(part)
        places = np.concatenate(found)
        used, index = np.unique(places["mirna"], return_inverse=True)
        if len(used):
            ids = np.stack([self._mirna_ids(mirnas.codes[mirna]) for mirna in used])
            places["logit"] = self.site_logits(ids[index], places["window"])
        places = places[(places["kind"] > 0) | (places["logit"] >= _SITE_LEAST)]
        columns = places["pair"], places["place"], places["kind"] > 0, places["logit"]
        return self._summarise(job, places[told_apart(*columns)], mirnas, mrnas, sites)

    def _places(self, mirna: np.ndarray, laid: Laid) -> tuple[np.ndarray, np.ndarray]:
        """Positions to look at, sorted, and their seed types."""
        seeds, types = seed_places(mirna, laid)
        ids = torch.from_numpy(self._mirna_ids(mirna)[None]).to(self.device)
        values = slide(self.slider, ids, laid, self.device)
        seen = strongest_places(values, laid, self.least)
        settled = np.full_like(values, -np.inf)
        np.maximum.at(settled, settle(mirna, laid, seen), values[seen])
        return join_places(seeds, types, strongest_places(settled, laid, self.least, ONE_SHOWN))

    def _mirna_ids(self, codes: np.ndarray) -> np.ndarray:
        """What the network reads of a miRNA, `(max_mirna_length,)` uint8."""
        length = self.model.config.max_mirna_length
        ids = np.zeros(length, np.uint8)
        ids[: min(len(codes), length)] = codes[:length] + 1
        return ids

    def site_logits(self, mirna_ids: np.ndarray, windows: np.ndarray) -> np.ndarray:
        """Logits of windows; those of a window are the same whatever stands beside it.

        Args:
            mirna_ids (`np.ndarray`): `(K, max_mirna_length)` uint8.
            windows (`np.ndarray`): `(K, 50)` codes.

        Returns:
            `np.ndarray`: `(K,)` float32.

        Raises:
            ValueError: the model gives something that is no number.
        """
        rows = np.concatenate([mirna_ids, windows + 1], axis=1)
        logits = np.zeros(len(rows), np.float32)
        with torch.inference_mode():
            for part, batch in whole_blocks(rows, self.batch_size):
                ids = torch.from_numpy(batch).to(self.device)
                found = self.model(ids[:, : mirna_ids.shape[1]], ids[:, mirna_ids.shape[1] :]).logits
                logits[part] = found[: part.stop - part.start].float().cpu().numpy()
        if not np.isfinite(logits).all():
            raise ValueError("the model gives scores that are no numbers; its weights are damaged")
        return logits

    def _summarise(
        self, job: list[tuple[int, int]], places: np.ndarray, mirnas: TargetRecords, mrnas: TargetRecords, sites: bool
    ) -> list[RankedPair]:
        """One result a pair from the sites of all."""
        lengths = np.array([mrnas.length(mrna) for _, mrna in job])
        scores = self.rule.scores(places["pair"], places["logit"].astype(np.float64), lengths)
        ends = np.searchsorted(places["pair"], np.arange(len(job) + 1))
        results = []
        for number, (mirna, mrna) in enumerate(job):
            begin, end = ends[number], ends[number + 1]
            pair = RankedPair(mirnas.ids[mirna], mrnas.ids[mrna], sites=[] if sites else None, length=lengths[number])
            results.append(pair)
            if begin == end:
                continue
            mine = places[begin:end]
            best = int(mine["logit"].argmax())
            shown = mine if sites else mine[best : best + 1]
            rows = self._describe(shown, mirnas.codes[mirna], mrnas.codes[mrna], int(lengths[number]))
            pair.num_sites, pair.score = int(end - begin), float(scores[number])
            pair.best = rows[best if sites else 0]
            if sites:
                pair.sites = rows
        return results

    def _describe(self, places: np.ndarray, mirna: np.ndarray, mrna: np.ndarray, length: int) -> list[tuple]:
        """Sites as tuples: start, end, score, pairings, type, alignment, start of the window, energy."""
        place, kind = places["place"], places["kind"].astype(int)
        start = np.where(kind > 0, place - 6 - (kind >= 3), place - _SEED + 1).clip(0)
        end = np.where(kind > 0, place + (kind % 2 == 0), place + 1).clip(max=length)
        scores = 1.0 / (1.0 + np.exp(-places["logit"].astype(np.float64)))
        facing = places["window"][:, BEFORE - np.arange(_SEED)]
        marks = _MARKS[mirna[:_SEED], facing]
        top = _LETTERS[mirna[:_SEED]].tobytes().decode()
        drawn = [
            f"{top}/{a.tobytes().decode()}/{b.tobytes().decode()}"
            for a, b in zip(marks, _LETTERS[facing], strict=True)
        ]
        pairings = (marks != ord(".")).sum(1)
        energies: Sequence[float | None] = [None] * len(places)
        if self.energy:
            energies = [duplex_energy(mirna, window) for window in places["window"]]
        columns = (start.tolist(), end.tolist(), scores.tolist(), pairings.tolist(), SITE_TYPES[kind].tolist(), drawn,
                   (place - BEFORE).tolist(), energies)  # fmt: skip
        return list(zip(*columns, strict=True))

    def explain(self, mirna: str, mrna: str, site: tuple) -> Duplex:
        """What a picture of a site shows.

        Args:
            mirna (`str`): 5'->3'.
            mrna (`str`): 5'->3'.
            site (`tuple`): One of a `RankedPair`.
        """
        window = site[6]
        first, last = max(window, 0), min(window + WINDOW, len(mrna))
        stretch = mrna[first:last]
        ids = self.processor(mirna[: self.model.config.max_mirna_length], stretch)
        added = self.model.pair_contributions(ids["mirna_ids"].to(self.device), ids["target_ids"].to(self.device))
        if energy_version():
            pairs, energy = fold_duplex(mirna, stretch)
            note = f"duplex of {energy:.1f} kcal/mol (RNAduplex)"
        else:
            place = window + BEFORE - first
            facing = [(at, place - at) for at in range(len(mirna)) if 0 <= place - at < len(stretch)]
            pairs = [(one, other) for one, other in facing if mirna[one] + stretch[other] in PAIRS]
            note = "without gaps, nucleotide 1 at the site's place"
        above, marks, below = draw_duplex(mirna, stretch, pairs)
        lines = [f"mRNA   5' {above} 3'", f"          {marks}", f"miRNA  3' {below} 5'", note]
        return Duplex(lines, stretch, first + 1, added[0, : len(mirna)].cpu().numpy())


@dataclass
class Duplex:
    """A site drawn: text, letters of the stretch, its first nucleotide counted from 1, what each pair adds."""

    lines: list[str]
    letters: str
    first: int
    added: np.ndarray


_PLACE = np.dtype(
    [("pair", np.int64), ("mirna", np.int64), ("place", np.int64), ("kind", np.uint8), ("logit", np.float32),
     ("window", np.uint8, WINDOW)]
)  # fmt: skip
