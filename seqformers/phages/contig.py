"""What is known of a contig: its windows, what their scores say together, and its row of the table.

Numbers alone: no network and no reader, so that the web page for phages takes this file along as it is.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "CLASSES",
    "COLUMNS",
    "IDS",
    "PRESETS",
    "SHORTEST",
    "WINDOW",
    "Calibration",
    "ContigScore",
    "encode_windows",
    "row_of",
    "score_contig",
    "window_bounds",
]

CLASSES = ("bacterium", "archaeon", "plasmid", "phage", "virus")
COLUMNS: dict[str, type] = {
    "id": str, "length": int, "gc": float, "n_fraction": float, "class": str, "score_phage": float,
    "score_virus": float, "score_plasmid": float, "score_host": float, "confidence": float, "reliable": bool,
    "num_windows": int, "fdr": float,
}  # fmt: skip
# Confidence that a class needs to be named, and phage score that a window of a region needs.
PRESETS = {"strict": (0.9, 0.9), "default": (0.5, 0.7), "relaxed": (0.0, 0.5)}
WINDOW = 2_000  # nt
SHORTEST = 500  # nt of the shortest window in training
_PHAGE = CLASSES.index("phage")
_FEWEST = 100  # known letters that a score needs
_MANY_UNKNOWN = 0.1
IDS = np.ones(256, np.uint8)  # [UNK] of KmerTokenizer(k=1)
for _letter, _id in zip("ATCGU", (5, 6, 7, 8, 6), strict=True):
    IDS[[ord(_letter), ord(_letter.lower())]] = _id


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
            hundred, at least so much like genomes of the five classes (mean over windows).
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

    @property
    def phage(self) -> NDArray[np.float64]:
        """Phage score of each window."""
        return self.windows[:, _PHAGE]

    @property
    def called(self) -> str:
        """The best class, empty where there are no scores."""
        return "" if self.scores is None else CLASSES[int(self.scores.argmax())]

    @property
    def shares(self) -> dict[str, NDArray[np.float64]]:
        """Scores of each window as the table has them: phage, virus, plasmid, host (bacterium and archaeon)."""
        shares = {name: self.windows[:, CLASSES.index(name)] for name in ("phage", "virus", "plasmid")}
        return shares | {"host": self.windows[:, :2].sum(axis=1)}


def window_bounds(length: int) -> NDArray[np.int64]:
    """The stretches that the windows of a contig speak for, `(windows, 2)`; only the last is shorter than `WINDOW`.

    Examples:
        >>> window_bounds(4500).tolist(), window_bounds(700).tolist()
        ([[0, 2000], [2000, 4000], [4000, 4500]], [[0, 700]])
    """
    starts = np.arange(0, max(length, 1), WINDOW, dtype=np.int64)
    return np.stack([starts, np.minimum(starts + WINDOW, length)], axis=1)


def encode_windows(sequence: str, bounds: NDArray[np.int64]) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Ids `(windows, width)`, and of each stretch the known letters and those that are G or C `(windows, 2)`.

    The last window of a longer contig ends with it and is as long as the others.
    """
    length = len(sequence)
    width = min(WINDOW, max(length, 1))
    begins = np.minimum(bounds[:, 0], max(length - WINDOW, 0))
    first, last = int(begins[0]), int(bounds[-1, 1])
    part = IDS[np.frombuffer(sequence[first:last].encode("ascii", "replace"), np.uint8)]
    if not len(part):
        return np.zeros((1, 1), np.uint8), np.zeros((1, 2), np.int64)
    ids = part[(begins - first)[:, None] + np.arange(width)]
    own = np.arange(width) >= (bounds[:, 0] - begins)[:, None]
    known = own & (ids > 4)
    return ids, np.stack([known.sum(axis=1), (known & (ids > 6)).sum(axis=1)], axis=1)


def score_contig(
    name: str,
    sequence: str,
    bounds: NDArray[np.int64],
    logs: NDArray[np.float64],
    unlike: NDArray[np.float64],
    facts: NDArray[np.int64],
    calibration: Calibration,
) -> ContigScore:
    """What the windows of a contig say together.

    Args:
        name (`str`): Id of the contig.
        sequence (`str`): As read.
        bounds (`int64` array of shape `(windows, 2)`): As `window_bounds` gives them.
        logs (`float64` array of shape `(windows, 5)`): Log-probabilities in the order of `CLASSES`.
        unlike (`float64` array of shape `(windows, 2)`): Distance from what training saw, and likeness to it.
        facts (`int64` array of shape `(windows, 2)`): Known letters, and those that are G or C.
        calibration (`Calibration`): Of the model.
    """
    known, length = facts[:, 0], len(sequence)
    total = int(known.sum())
    # A window speaks for at least its known letters; the last one reads back over its neighbour.
    windows = calibration.scores(logs, np.maximum(known, 1))
    gc = float(facts[:, 1].sum() / max(total, 1))
    unknown = 1 - total / max(length, 1)
    if total < _FEWEST:
        return ContigScore(name, sequence, bounds, windows, None, False, gc, unknown)
    mean = (logs * known[:, None]).sum(axis=0) / total
    scores = calibration.scores(mean[None], np.array([total]))[0]
    distance, likeness = (unlike * known[:, None]).sum(axis=0) / total
    like = distance <= calibration.farthest(min(length, WINDOW)) and likeness >= calibration.least_like(length)
    reliable = bool(length >= SHORTEST and unknown <= _MANY_UNKNOWN and like)
    return ContigScore(name, sequence, bounds, windows, scores, reliable, gc, unknown)


def row_of(contig: ContigScore, calibration: Calibration, preset: str = "default") -> dict[str, Any]:
    """The row of a contig; scores have four decimals, whose sum is 1 up to rounding."""
    row: dict[str, Any] = dict.fromkeys(COLUMNS)
    row.update(id=contig.id, length=len(contig.sequence), n_fraction=round(contig.n_fraction, 4), reliable=False)
    row["num_windows"] = 0
    if contig.scores is not None:
        bacterium, archaeon, plasmid, phage, virus = (float(score) for score in contig.scores)
        best = int(contig.scores.argmax())
        confidence = float(contig.scores[best])
        false = calibration.expected_false(best, confidence)
        row.update(
            {
                "gc": round(contig.gc, 4),
                "class": CLASSES[best] if confidence >= PRESETS[preset][0] else "uncertain",
                "score_phage": round(phage, 4),
                "score_virus": round(virus, 4),
                "score_plasmid": round(plasmid, 4),
                "score_host": round(bacterium + archaeon, 4),
                "confidence": round(confidence, 4),
                "reliable": bool(contig.reliable),
                "num_windows": len(contig.bounds),
                "fdr": None if false is None else round(false, 4),
            }
        )
    return row
