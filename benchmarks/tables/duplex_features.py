"""31 features of a miRNA and a target of 50 nt for boosted trees: the duplex as ViennaRNA folds it, seed, letters.

Without ViennaRNA the features of the duplex are left out. Targets and miRNAs are DNA letters, 5'->3'.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from seqformers.targets.duplex import energy_version, fold_duplex

__all__ = ["FOLDED", "UNFOLDED", "duplex_features"]

_PAIRS = {"AT": 1.0, "TA": 1.0, "CG": 1.3, "GC": 1.3, "GT": 0.4, "TG": 0.4}
_STRENGTH = np.zeros((128, 128), np.float32)
for _pair, _value in _PAIRS.items():
    _STRENGTH[ord(_pair[0]), ord(_pair[1])] = _value
UNFOLDED = (
    "seed class", "best seed register", "best middle register", "best whole register", "middle of the best seed",
    "place of the best seed", "A", "C", "G", "T", "N", "AU upstream", "AU downstream", "miRNA length", "miRNA GC",
)  # fmt: skip
FOLDED = (
    "energy", "energy of the seed", "energy behind the seed", "pairs", "G-C pairs", "G-U pairs", "pairs of nt 2-8",
    "pairs of nt 9-12", "pairs of nt 13-16", "pairs from nt 17 on", "longest run", "runs", "unpaired miRNA inside",
    "unpaired target inside", "first paired nt", "target's place of the first pair",
)  # fmt: skip


def duplex_features(rows: pd.DataFrame, seed_classes: np.ndarray) -> np.ndarray:
    """Features of each row, `(n, 31)`, or `(n, 15)` without ViennaRNA.

    Args:
        rows (`pd.DataFrame`): `mirna_seq`, `target_seq`.
        seed_classes (`np.ndarray`): Best canonical site of each, 0 to 4.
    """
    folds = energy_version() is not None
    found = []
    for mirna, target, seed in zip(rows["mirna_seq"], rows["target_seq"], seed_classes, strict=True):
        features = _unfolded(mirna, target, seed)
        found.append(features + _folded(mirna, target) if folds else features)
    return np.array(found, dtype=np.float64)


def _unfolded(mirna: str, target: str, seed: float) -> list[float]:
    """Registers without gaps, letters, and what stands around the best seed register."""
    one, other = (np.frombuffer(text.encode(), np.uint8) for text in (mirna[:20], target[::-1]))
    cells = _STRENGTH[one[:, None], np.pad(other, (0, len(one)), constant_values=ord("N"))[None]]
    at = np.arange(len(other))
    sums = np.cumsum([row[at + number] for number, row in enumerate(cells)], axis=0)
    first, middle, whole = sums[7], sums[min(15, len(sums) - 1)] - sums[7], sums[-1]
    best = int(first.argmax())
    place = len(target) - 1 - best  # of the target, opposite nucleotide 1
    letters = [float(target.count(letter)) for letter in "ACGTN"]
    around = [
        _share_of_au(target[max(place - 22, 0) : max(place - 7, 0)]),
        _share_of_au(target[place + 1 : place + 16]),
    ]
    of_mirna = [float(len(mirna)), (mirna.count("G") + mirna.count("C")) / len(mirna)]
    scores = [first.max(), middle.max(), whole.max(), middle[best]]
    return [float(seed), *map(float, scores), float(best), *letters, *around, *of_mirna]


def _share_of_au(letters: str) -> float:
    known = [letter for letter in letters if letter != "N"]
    return sum(letter in "AT" for letter in known) / len(known) if known else 0.5


def _folded(mirna: str, target: str) -> list[float]:
    """The best duplex: energies, pairs by part of the miRNA and by letters, runs, what stays unpaired."""
    stretch = target.strip("N")
    pairs, energy = fold_duplex(mirna, stretch)
    parts = [fold_duplex(part, stretch)[1] for part in (mirna[:8], mirna[8:])]
    one, other = (np.array(column, int) for column in zip(*pairs, strict=True)) if pairs else (np.zeros(0, int),) * 2
    names = [mirna[a] + stretch[b] for a, b in pairs]
    kinds = [sum(name in group for name in names) for group in (("GC", "CG"), ("GT", "TG"))]
    regions = [int(((one >= low) & (one < high)).sum()) for low, high in ((1, 8), (8, 12), (12, 16), (16, 99))]
    breaks = np.flatnonzero((np.diff(one) != 1) | (np.diff(other) != -1))
    runs = np.diff(np.concatenate([[-1], breaks, [len(one) - 1]])) if pairs else np.zeros(1, int)
    inside = [int(np.abs(ends[-1] - ends[0]) + 1 - len(ends)) if pairs else 0 for ends in (one, other)]
    start: list[Any] = [int(one[0]), int(other[0])] if pairs else [-1, -1]
    return [float(v) for v in (energy, *parts, len(pairs), *kinds, *regions, runs.max(), len(runs), *inside, *start)]
