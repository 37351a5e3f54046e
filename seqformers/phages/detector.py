"""Score contigs in windows with the packaged network, and make calibrated class scores of them.

The calibration (`calibration.json` beside the weights) was fitted on groups of genomes that training had not seen: how
much the mean log-probability of windows says grows with the letters read, by a power law, and classes have a bias.
`likeness.safetensors` holds a linear function of the profile that tells genomes of the five classes from shuffled and
random letters and from eukaryotes.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file

from seqformers.hub.load import load_model, model_folder

__all__ = ["CLASSES", "LIKENESS", "SHORTEST", "WINDOW", "Calibration", "ContigScore", "PhageDetector", "window_bounds"]

CLASSES = ("bacterium", "archaeon", "plasmid", "phage", "virus")
WINDOW = 2_000  # nt
SHORTEST = 500  # nt of the shortest window in training
_FEWEST = 100  # known letters that a score needs
_WINDOWS_AT_ONCE = 128
_MANY_UNKNOWN = 0.1
_PACKAGED = "coding_profile"
LIKENESS = "likeness.safetensors"
_IDS = np.ones(256, np.uint8)  # [UNK] of KmerTokenizer(k=1)
for _letter, _id in zip("ATCGU", (5, 6, 7, 8, 6), strict=True):
    _IDS[[ord(_letter), ord(_letter.lower())]] = _id


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """What turns the mean of windows into scores of a contig.

    Args:
        scale (`float`), power (`float`): A mean log-probability over n letters counts `scale * (n / 1000) ** power`.
        bias (`list[float]`): Of each class.
        lapse (`float`): Share of contigs that are unlike anything seen, whatever their windows say: no class is surer.
        lengths (`list[int]`), distances (`list[float]`): Windows of these lengths lay, all but one in a hundred, at
            most so far from what training saw (mean squared standard deviations of the profile).
        like_lengths (`list[int]`), like_limits (`list[float]`): Contigs of these lengths were, all but three in a
            hundred, at least so much like genomes of the five classes (mean over windows of a linear function of the
            profile).
        fdr_confidences (`list[float]`), fdr (`list[list[float]]`): Of each class, the share of wrong ones among the
            contigs that were called so with at least these confidences.
    """

    scale: float = 1.0
    power: float = 0.0
    bias: tuple[float, ...] = (0.0,) * len(CLASSES)
    lapse: float = 0.0
    lengths: tuple[int, ...] = (SHORTEST, WINDOW)
    distances: tuple[float, ...] = (np.inf, np.inf)
    like_lengths: tuple[int, ...] = (SHORTEST,)
    like_limits: tuple[float, ...] = (-np.inf,)
    fdr_confidences: tuple[float, ...] = ()
    fdr: tuple[tuple[float, ...], ...] = ()

    @classmethod
    def read(cls, folder: Path) -> Calibration:
        """The calibration beside some weights; none where the folder has no file of it."""
        path = folder / "calibration.json"
        if not path.is_file():
            return cls()
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        values: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in found.items()}
        if "fdr" in values:
            values["fdr"] = tuple(tuple(row) for row in values["fdr"])
        return cls(**values)

    def scores(self, mean: NDArray[Any], known: NDArray[Any]) -> NDArray[np.float64]:
        """Class scores `(rows, classes)`, each row of sum 1, from mean log-probabilities and known letters."""
        logits = self.scale * (known[:, None] / 1000) ** self.power * mean + np.asarray(self.bias)
        scores = np.exp(logits - logits.max(axis=1, keepdims=True))
        scores = scores / scores.sum(axis=1, keepdims=True)
        return (1 - self.lapse) * scores + self.lapse / len(CLASSES)

    def farthest(self, length: int) -> float:
        """Distance up to which a contig of this length is like what training saw."""
        return float(np.interp(np.log(length), np.log(self.lengths), self.distances))

    def least_like(self, length: int) -> float:
        """Likeness down to which a contig of this length is like genomes of the five classes."""
        return float(np.interp(np.log(length), np.log(self.like_lengths), self.like_limits))

    def expected_false(self, called: int, confidence: float) -> float | None:
        """Expected share of wrong ones among contigs called this class with at least this confidence.

        Args:
            called (`int`): Index into `CLASSES`.
            confidence (`float`): 0 to 1.
        """
        return float(np.interp(confidence, self.fdr_confidences, self.fdr[called])) if self.fdr else None


@dataclass
class ContigScore:
    """What was found of one contig.

    Args:
        id (`str`), sequence (`str`): As read.
        bounds (`int64` array of shape `(windows, 2)`): The stretch that each window speaks for, 0-based, half-open.
        windows (`float64` array of shape `(windows, 5)`): Calibrated scores of each window, in the order of `CLASSES`.
        scores (`float64` array of shape `(5,)`, *optional*): Of the contig; None where hardly any letter is known.
        reliable (`bool`): Long enough, of known letters, like what training saw, and unlike random DNA.
        gc (`float`), n_fraction (`float`): Share of G and C among the known letters, and of unknown ones.
    """

    id: str
    sequence: str
    bounds: NDArray[np.int64]
    windows: NDArray[np.float64]
    scores: NDArray[np.float64] | None
    reliable: bool
    gc: float
    n_fraction: float


def window_bounds(length: int) -> NDArray[np.int64]:
    """The stretches that the windows of a contig speak for, `(windows, 2)`; only the last is shorter than `WINDOW`.

    Examples:
        >>> window_bounds(4500).tolist(), window_bounds(700).tolist()
        ([[0, 2000], [2000, 4000], [4000, 4500]], [[0, 700]])
    """
    starts = np.arange(0, max(length, 1), WINDOW, dtype=np.int64)
    return np.stack([starts, np.minimum(starts + WINDOW, length)], axis=1)


class PhageDetector:
    """The network with its calibration.

    Args:
        model (`str` or `Path`, *optional*): Folder or Hub repository of a classifier of the five classes; by default
            the one that comes with the package.
        device (`str`, *optional*): Where it runs; by default a GPU if there is one.

    Raises:
        ValueError: the model has other classes.
    """

    def __init__(self, model: str | Path | None = None, device: str | None = None):
        name = model or _PACKAGED
        self.folder = model_folder(name)
        loaded = load_model(name, "AutoModelForSequenceClassification", family=_PACKAGED, device=device)
        labels = [str(loaded.config.id2label[number]) for number in range(loaded.config.num_labels)]
        if sorted(labels) != sorted(CLASSES):
            raise ValueError(f"{name} has the classes {', '.join(labels)}; find-phages wants {', '.join(CLASSES)}")
        self.model, self.device = loaded.model, loaded.device
        self.fingerprint = loaded.fingerprint
        self._order = [labels.index(name) for name in CLASSES]
        self.calibration = Calibration.read(self.folder)
        path = self.folder / LIKENESS
        self._likeness = {k: v.to(self.device) for k, v in load_file(path).items()} if path.is_file() else None

    def score(self, records: Iterable[Any]) -> Iterator[ContigScore]:
        """Score contigs in order; what is held at a time are the contigs of one batch of windows.

        Args:
            records (iterable): Hold `id` and `sequence`.
        """
        waiting: list[Any] = []
        size = 0
        for record in records:
            waiting.append(record)
            size += len(window_bounds(len(record.sequence)))
            if size >= _WINDOWS_AT_ONCE:
                yield from self._score_together(waiting)
                waiting, size = [], 0
        yield from self._score_together(waiting)

    def _score_together(self, records: list[Any]) -> Iterator[ContigScore]:
        if not records:
            return
        bounds = [window_bounds(len(record.sequence)) for record in records]
        logs, unlike, facts = self._windows(records, bounds)
        ends = np.cumsum([len(found) for found in bounds])
        for record, own, end in zip(records, bounds, ends, strict=True):
            rows = slice(end - len(own), end)
            yield self._contig(record, own, logs[rows], unlike[rows], facts[rows])

    def _windows(
        self, records: list[Any], bounds: list[NDArray[np.int64]]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int64]]:
        """Of the stretches of all windows log-probabilities, distance and likeness, and known letters with G and C."""
        logs: list[Any] = []
        unlike: list[Any] = []
        facts: list[NDArray[np.int64]] = []
        batch: list[NDArray[np.uint8]] = []
        held = 0
        for record, own in zip(records, bounds, strict=True):
            for first in range(0, len(own), _WINDOWS_AT_ONCE):
                ids, fact = _ids_of(record.sequence, own[first : first + _WINDOWS_AT_ONCE])
                batch.append(ids)
                facts.append(fact)
                held += len(ids)
                if held >= _WINDOWS_AT_ONCE:
                    self._forward(batch, logs, unlike)
                    batch, held = [], 0
        if batch:
            self._forward(batch, logs, unlike)
        return np.concatenate(logs), np.concatenate(unlike), np.concatenate(facts)

    @torch.no_grad()
    def _forward(self, batch: list[NDArray[np.uint8]], logs: list[Any], unlike: list[Any]) -> None:
        width = max(ids.shape[1] for ids in batch)
        padded = np.concatenate([np.pad(ids, ((0, 0), (0, width - ids.shape[1]))) for ids in batch])
        ids = torch.from_numpy(padded).to(self.device).long()
        output = self.model(ids, output_hidden_states=True)
        logs.append(output.logits.float().log_softmax(-1)[:, self._order].cpu().numpy().astype(np.float64))
        profile = output.hidden_states[0].float()[:, 0]
        distance, likeness = profile.square().mean(1), torch.zeros(len(profile), device=profile.device)
        if self._likeness is not None:
            likeness = profile @ self._likeness["weight"] + self._likeness["bias"]
        unlike.append(torch.stack([distance, likeness], 1).cpu().numpy().astype(np.float64))

    def _contig(
        self,
        record: Any,
        bounds: NDArray[np.int64],
        logs: NDArray[np.float64],
        unlike: NDArray[np.float64],
        facts: NDArray[np.int64],
    ) -> ContigScore:
        known, length = facts[:, 0], len(record.sequence)
        total = int(known.sum())
        # A window speaks for at least its known letters; the last one reads back over its neighbour.
        windows = self.calibration.scores(logs, np.maximum(known, 1))
        gc = float(facts[:, 1].sum() / max(total, 1))
        unknown = 1 - total / max(length, 1)
        if total < _FEWEST:
            return ContigScore(record.id, record.sequence, bounds, windows, None, False, gc, unknown)
        mean = (logs * known[:, None]).sum(axis=0) / total
        scores = self.calibration.scores(mean[None], np.array([total]))[0]
        distance, likeness = (unlike * known[:, None]).sum(axis=0) / total
        like = distance <= self.calibration.farthest(min(length, WINDOW))
        like = bool(like and likeness >= self.calibration.least_like(length))
        reliable = length >= SHORTEST and unknown <= _MANY_UNKNOWN and like
        return ContigScore(record.id, record.sequence, bounds, windows, scores, reliable, gc, unknown)


def _ids_of(sequence: str, bounds: NDArray[np.int64]) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Ids `(windows, width)`, and of each stretch the known letters and those that are G or C `(windows, 2)`.

    The last window of a longer contig ends with it and is as long as the others.
    """
    length = len(sequence)
    width = min(WINDOW, max(length, 1))
    begins = np.minimum(bounds[:, 0], max(length - WINDOW, 0))
    first, last = int(begins[0]), int(bounds[-1, 1])
    part = _IDS[np.frombuffer(sequence[first:last].encode("ascii", "replace"), np.uint8)]
    if not len(part):
        return np.zeros((1, 1), np.uint8), np.zeros((1, 2), np.int64)
    ids = part[(begins - first)[:, None] + np.arange(width)]
    own = np.arange(width) >= (bounds[:, 0] - begins)[:, None]
    known = own & (ids > 4)
    return ids, np.stack([known.sum(axis=1), (known & (ids > 6)).sum(axis=1)], axis=1)
