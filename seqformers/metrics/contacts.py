"""Metrics of contact maps, as TAPE counts them: precision of the residue pairs with the highest scores."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["CONTACT_METRICS", "CONTACT_RANGES", "contact_precision"]

CONTACT_RANGES: dict[str, tuple[int, int | None]] = {
    "all": (6, None),
    "short": (6, 11),
    "medium": (12, 23),
    "long": (24, None),
    "medium+long": (12, None),
}
"""Name -> smallest and largest sequence separation |i - j|. TAPE's table is `medium+long`, its package `all`."""

CONTACT_METRICS = tuple(
    f"precision_{span}_{top}{pooled}"
    for span in CONTACT_RANGES
    for top in ("L/5", "L/2", "L")
    for pooled in ("", "_pooled")
)
"""What [`contact_precision`] returns by default: range of separation, picks a protein, mean of proteins or pooled."""


def contact_precision(
    probabilities: Sequence[ArrayLike],
    labels: Sequence[ArrayLike],
    *,
    top: Sequence[str] = ("L/5", "L/2", "L"),
    ranges: Sequence[str] = ("all", "short", "medium", "long", "medium+long"),
    ignore_index: int = -100,
    legacy: bool = False,
) -> dict[str, float]:
    """Precision of the highest-scored residue pairs, per protein and pooled.

    For a protein of L residues the floor(L/5) (or L/2, or L) pairs i < j with the highest probability are picked among
    the labelled pairs of a separation range; the precision is the share of them that are contacts.

    Args:
        probabilities (`Sequence` of `(L, L)` arrays): Probability of a contact; the upper triangle is read.
        labels (`Sequence` of `(L, L)` arrays): 1 contact, 0 none, `ignore_index` where either residue has no
            coordinates.
        top (`Sequence[str]`, *optional*): Of "L", "L/2", "L/5", "L/10".
        ranges (`Sequence[str]`, *optional*): Keys of [`CONTACT_RANGES`].
        ignore_index (`int`, *optional*, defaults to -100): TAPE's labels use -1.
        legacy (`bool`, *optional*, defaults to `False`): TAPE's counting: when a range has fewer labelled pairs than
            picks, unlabelled pairs fill up, each taking one from the hits. Without it the picks are as many as there
            are labelled pairs.

    Returns:
        `dict`: for each range and top, `precision_<range>_<top>` (mean of the proteins that have a pick) and
        `precision_<range>_<top>_pooled` (hits of all proteins over picks of all; TAPE's, where the set is one batch).
        0/0 gives NaN.

    Raises:
        ValueError: unknown name, or maps that are not square or differ in shape.

    Examples:
        >>> import numpy as np
        >>> truth = np.zeros((10, 10)); truth[0, 8] = 1; guess = np.zeros((10, 10)); guess[0, 8] = guess[1, 9] = 0.9
        >>> contact_precision([guess], [truth], top=("L/5",), ranges=("all",))["precision_all_L/5"]
        0.5
    """
    divisors = [_divisor(name) for name in top]
    for name in ranges:
        if name not in CONTACT_RANGES:
            raise ValueError(f"unknown range {name!r}; known: {', '.join(CONTACT_RANGES)}")
    if len(probabilities) != len(labels):
        raise ValueError(f"{len(probabilities)} probability maps but {len(labels)} label maps")
    shape = (len(ranges), len(top), len(labels))
    hits, picks = np.zeros(shape), np.zeros(shape)
    for index, (probability, label) in enumerate(zip(probabilities, labels, strict=True)):
        probability, label = np.asarray(probability, dtype=np.float64), np.asarray(label)
        length = len(label)
        if label.shape != (length, length) or probability.shape != label.shape:
            raise ValueError(f"protein {index}: maps of shape {probability.shape} and {label.shape}, not both (L, L)")
        first, second = np.triu_indices(length, k=min(CONTACT_RANGES[name][0] for name in ranges))
        order = np.argsort(-probability[first, second], kind="stable")
        ranked, gap = label[first, second][order], (second - first)[order]
        for row, name in enumerate(ranges):
            low, high = CONTACT_RANGES[name]
            inside = (gap >= low) & (gap <= (length if high is None else high))
            counts = [_hits(ranked[inside], length // divisor, ignore_index, legacy) for divisor in divisors]
            hits[row, :, index], picks[row, :, index] = np.transpose(counts)
    return _precision_table(hits, picks, ranges, top)


def _divisor(name: str) -> int:
    known = {"L": 1, "L/2": 2, "L/5": 5, "L/10": 10}
    if name not in known:
        raise ValueError(f"unknown top {name!r}; known: {', '.join(known)}")
    return known[name]


def _hits(ranked: NDArray, wanted: int, ignore_index: int, legacy: bool) -> tuple[float, float]:
    """Hits and picks among labels in order of falling probability."""
    labelled = ranked[ranked != ignore_index][:wanted]
    missing = min(wanted, len(ranked)) - len(labelled) if legacy else 0
    return float((labelled == 1).sum() - missing), float(len(labelled) + missing)


def _precision_table(hits: NDArray, picks: NDArray, ranges: Sequence[str], top: Sequence[str]) -> dict[str, float]:
    with np.errstate(invalid="ignore", divide="ignore"):
        each = hits / picks
        pooled = hits.sum(axis=2) / picks.sum(axis=2)
    table: dict[str, float] = {}
    for row, range_name in enumerate(ranges):
        for column, top_name in enumerate(top):
            values = each[row, column][picks[row, column] > 0]
            name = f"precision_{range_name}_{top_name}"
            table[name] = float(values.mean()) if len(values) else float("nan")
            table[f"{name}_pooled"] = float(pooled[row, column])
    return table
