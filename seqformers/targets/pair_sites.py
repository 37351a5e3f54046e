"""Sites of miRNAs on mRNAs by a pair CNN, and what each pair scores. A Space takes this file along.

Where a canonical seed match lies, and where the miRNA pairs best in the stretches that a small network points out as
it slides along the mRNA, windows of 50 nt are cut out and scored by the network itself; see `places.py`. What scores
enough, and every canonical seed match, is a site. The pair's score is learned from the sites: see `pair_score.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from seqformers.inference.blocks import whole_blocks
from seqformers.targets.duplex import PAIRS, draw_duplex, duplex_energy, energy_version, fold_duplex
from seqformers.targets.pair_score import PairRule
from seqformers.targets.places import (
    BEFORE,
    SITE_TYPES,
    WINDOW,
    Laid,
    join_places,
    paired_places,
    seed_places,
    slide,
    told_apart,
)
from seqformers.targets.results import RankedPair

__all__ = ["Duplex", "SiteFinder"]

_SEED = 10  # nucleotides shown paired, as of a TargetNet
# Logit of the scout near which the best pairing of a stretch is scored, and that near which all good ones are.
SCOUT_LEAST, SCOUT_SURE, SCOUT_STEP = 1.5, 2.0, 4
# A weak site weighs more on a short mRNA: below this length the scout is believed a logit more for each halving.
SCOUT_SHORT, _HALVINGS = 1_000.0, 3.0
_SLID_LEAST = -0.5  # of the network itself, at every window: near it all are
_STRETCH = 20  # to both sides
_SITE_LEAST = 0.0  # logit that makes a site of a place without a seed match
_LETTERS = np.frombuffer(b"ACGU.", np.uint8)
_MARKS = np.full((5, 5), ord("."), np.uint8)
for _one, _other, _mark in ((0, 3, "|"), (1, 2, "|"), (2, 3, ":")):
    _MARKS[_one, _other] = _MARKS[_other, _one] = ord(_mark)


class SiteFinder:
    """A pair CNN that finds sites.

    Args:
        model (`PairCnnModel`): In evaluation mode, on `device`.
        scout (`PairCnnModel`, *optional*): A small diagonal reader that says where to look; by default the model does.
        device (`torch.device`): Where both are.
        energy (`bool`): Give the energy of each reported site's duplex, where ViennaRNA is installed.
        batch_size (`int`): Windows a batch.
        precision (`str`): `fp32`, or `bf16`: matrices are multiplied in it.
    """

    def __init__(
        self,
        model: Any,
        scout: Any = None,
        *,
        device: torch.device,
        energy: bool = True,
        batch_size: int = 128,
        precision: str = "fp32",
    ):
        self.model, self.device, self.batch_size = model, device, batch_size
        self.slider, self.step = (scout, SCOUT_STEP) if scout else (model, 1)
        self.least, self.sure = (SCOUT_LEAST, SCOUT_SURE) if scout else (_SLID_LEAST, _SLID_LEAST)
        self.short = SCOUT_SHORT if scout else 0.0
        self.read: Any = model.scorer() if model.config.kind == "diagonal" else lambda *ids: model(*ids).logits
        self.rule = PairRule.of(model.config)
        self.energy = energy_version() if energy else None
        self.precision = precision

    def _in_precision(self) -> Any:
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision == "bf16")

    def score(self, job: list[tuple[int, int]], mirnas: Any, mrnas: Any, sites: bool) -> list[RankedPair]:
        """Score pairs, in order.

        Args:
            job (`list[tuple[int, int]]`): Index of miRNA and mRNA of each pair.
            mirnas (`TargetRecords`): miRNAs.
            mrnas (`TargetRecords`): mRNAs, with `BEFORE` and `AFTER` unknown letters around each.
            sites (`bool`): Keep every site in `RankedPair.sites`.
        """
        numbers: dict[int, list[int]] = {}
        for number, (mirna, _) in enumerate(job):
            numbers.setdefault(mirna, []).append(number)
        found = []
        for mirna, mine in numbers.items():
            laid = Laid([mrnas.codes[job[number][1]] for number in mine])
            at, kind = self._places(mirnas.codes[mirna], laid)
            owner = laid.owners(at)
            part = np.zeros(len(at), _PLACE)
            part["pair"], part["mirna"], part["kind"] = np.array(mine)[owner], mirna, kind
            part["place"] = at - laid.begins[owner] - BEFORE
            part["window"] = laid.windows(at)
            found.append(part)
        places = np.concatenate(found)
        places = places[places["pair"].argsort(kind="stable")]
        used, index = np.unique(places["mirna"], return_inverse=True)
        if len(used):
            ids = np.stack([self._mirna_ids(mirnas.codes[mirna]) for mirna in used])
            places["logit"] = self.site_logits(ids[index], places["window"])
        places = places[(places["kind"] > 0) | (places["logit"] >= _SITE_LEAST)]
        columns = places["pair"], places["place"], places["kind"] > 0, places["logit"]
        return self._summarise(job, places[told_apart(*columns)], mirnas, mrnas, sites)

    def _places(self, mirna: np.ndarray, laid: Laid) -> tuple[np.ndarray, np.ndarray]:
        """Positions to score, sorted, and their seed types."""
        values = self._look(mirna, laid)
        if self.short:
            lengths = np.diff(laid.begins)
            more = np.log2(self.short / (lengths - WINDOW).clip(1)).clip(0, _HALVINGS).astype(np.float32)
            values = values + np.repeat(more, lengths)
        others = paired_places(mirna, laid, values, self.sure)
        if self.least < self.sure:
            others = np.union1d(others, paired_places(mirna, laid, values, self.least, _STRETCH))
        return join_places(*seed_places(mirna, laid), others)

    def _look(self, mirna: np.ndarray, laid: Laid) -> np.ndarray:
        """What the network that slides says of each position."""
        ids = torch.from_numpy(self._mirna_ids(mirna)[None]).to(self.device)
        with self._in_precision():
            return slide(self.slider, ids, laid, self.device, self.step)

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
        with torch.inference_mode(), self._in_precision():
            for part, batch in whole_blocks(rows, self.batch_size):
                ids = torch.from_numpy(batch).to(self.device)
                found = self.read(ids[:, : mirna_ids.shape[1]], ids[:, mirna_ids.shape[1] :])
                logits[part] = found[: part.stop - part.start].float().cpu().numpy()
        if not np.isfinite(logits).all():
            raise ValueError("the model gives scores that are no numbers; its weights are damaged")
        return logits

    def _summarise(
        self, job: list[tuple[int, int]], places: np.ndarray, mirnas: Any, mrnas: Any, sites: bool
    ) -> list[RankedPair]:
        """One result a pair from the sites of all."""
        lengths = np.array([mrnas.length(mrna) for _, mrna in job])
        scores = self.rule.scores(places["pair"], places["logit"].astype(np.float64), lengths)
        ends = np.searchsorted(places["pair"], np.arange(len(job) + 1))
        results = []
        for number, (mirna, mrna) in enumerate(job):
            begin, end = ends[number], ends[number + 1]
            pair = RankedPair(mirnas.ids[mirna], mrnas.ids[mrna], length=int(lengths[number]), window=WINDOW)
            pair.sites = [] if sites else None
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
            mirna (`str`): 5'->3', RNA letters.
            mrna (`str`): 5'->3', RNA letters.
            site (`tuple`): One of a `RankedPair`.
        """
        window = site[6]
        first, last = max(window, 0), min(window + WINDOW, len(mrna))
        stretch = mrna[first:last]
        ids = (torch.tensor([["ACGUN".find(letter) + 1 for letter in text]]) for text in (mirna, stretch))
        added = self.model.pair_contributions(*(each.to(self.device) for each in ids))
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
