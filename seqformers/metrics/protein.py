"""Metrics of the protein tasks, as PLUS and TAPE define them, over whole batches as arrays.

Where an original differs from what its paper or common sense says, the original way is a named switch, off by
default. Transmembrane topology has its own module, [`seqformers.metrics.topology`].
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit, softmax
from scipy.stats import rankdata

__all__ = [
    "CONTACT_METRICS",
    "CONTACT_RANGES",
    "HOMOLOGY_LEVELS",
    "SS8_GROUPS",
    "apply_level_thresholds",
    "contact_precision",
    "fit_level_thresholds",
    "homology_metrics",
    "homology_score",
    "masked_accuracy",
    "ordinal_probabilities",
    "regression_metrics",
    "secondary_structure_metrics",
]

SS8_GROUPS = (0, 0, 0, 1, 1, 2, 2, 2)
"""Group of each of the 8 states G H I | B E | S T C: helix, strand, coil."""

HOMOLOGY_LEVELS = ("class", "fold", "superfamily", "family")
"""Names of homology levels 1-4; level 0 is "nothing in common"."""

CONTACT_RANGES: dict[str, tuple[int, int | None]] = {
    "all": (6, None),
    "short": (6, 11),
    "medium": (12, 23),
    "long": (24, None),
    "medium+long": (12, None),
}
"""Name -> smallest and largest sequence separation |i - j|. TAPE's table is `medium+long`, its package `all`."""

CONTACT_METRICS = tuple(
    f"precision_{span}_{top}{pooled}" for span in CONTACT_RANGES for top in ("L/5", "L") for pooled in ("", "_pooled")
)
"""What [`contact_precision`] returns by default: range of separation, picks a protein, mean of proteins or pooled."""


def masked_accuracy(predictions: ArrayLike, labels: ArrayLike, *, ignore_index: int = -100) -> float:
    """Share of labelled positions that are right, all positions of the set pooled (TAPE's accuracy).

    Args:
        predictions (`(..., classes)` scores or `(...)` class ids): Any leading shape.
        labels (`(...)` of int): `ignore_index` where there is none.
        ignore_index (`int`, *optional*, defaults to -100): TAPE's files use -1.

    Examples:
        >>> masked_accuracy([[0.1, 0.9], [0.8, 0.2], [0.8, 0.2]], [1, 1, -100])
        0.5
    """
    found: NDArray[Any] = np.asarray(predictions)
    wanted: NDArray[Any] = np.asarray(labels)
    if found.ndim == wanted.ndim + 1:
        found = found.argmax(axis=-1)
    if found.shape != wanted.shape:
        raise ValueError(f"predictions of shape {found.shape} do not fit labels of shape {wanted.shape}")
    known = wanted != ignore_index
    if not known.any():
        raise ValueError("no position has a label")
    return float(np.mean(found[known] == wanted[known]))


def secondary_structure_metrics(
    logits: Sequence[ArrayLike], labels: Sequence[ArrayLike], *, ignore_index: int = -100
) -> dict[str, float]:
    """Q3, and Q8 for 8-state models.

    Q8 is the share of residues whose best state is right. Q3 of an 8-state model takes the group (helix G H I,
    strand B E, coil S T C) with the largest summed probability, which need not be the group of the best state.

    Args:
        logits (`Sequence` of `(length, 3 or 8)` arrays, or one padded `(proteins, length, 3 or 8)` array): Scores
            before the softmax, in the order H E C or G H I B E S T C.
        labels (`Sequence` of `(length,)` arrays, or one padded array): State ids; `ignore_index` for padding and for
            residues that are not resolved in the structure.
        ignore_index (`int`, *optional*, defaults to -100): Label to leave out.

    Returns:
        `dict`: `q3` (pooled over residues, as published), `q3_per_protein` (mean of proteins), the same for `q8`
        when there are 8 states, and `residues`.

    Raises:
        ValueError: labels and logits differ in length, another number of states, or nothing is labelled.
    """
    scores = [np.asarray(values, dtype=np.float64) for values in logits]
    targets = [np.asarray(values) for values in labels]
    owner, flat_scores, flat_labels = _flatten(scores, targets, ignore_index)
    states = flat_scores.shape[1]
    if states == 3:
        return _residue_accuracies("q3", flat_scores.argmax(axis=1) == flat_labels, owner)
    if states != 8:
        raise ValueError(f"secondary structure has 3 or 8 states, not {states}")
    groups = np.asarray(SS8_GROUPS)
    mass = softmax(flat_scores, axis=1) @ np.eye(3)[groups]
    result = _residue_accuracies("q8", flat_scores.argmax(axis=1) == flat_labels, owner)
    return result | _residue_accuracies("q3", mass.argmax(axis=1) == groups[flat_labels], owner)


def _flatten(scores: list[NDArray], targets: list[NDArray], ignore_index: int) -> tuple[NDArray, NDArray, NDArray]:
    if len(scores) != len(targets):
        raise ValueError(f"{len(scores)} proteins with scores but {len(targets)} with labels")
    for index, (score, target) in enumerate(zip(scores, targets, strict=True)):
        if len(score) != len(target):
            raise ValueError(f"protein {index}: {len(target)} labels for {len(score)} residues")
    flat_labels = np.concatenate(targets) if targets else np.zeros(0, dtype=np.int64)
    known = flat_labels != ignore_index
    if not known.any():
        raise ValueError("no residue has a label")
    owner = np.repeat(np.arange(len(targets)), [len(target) for target in targets])
    return owner[known], np.concatenate(scores)[known], flat_labels[known]


def _residue_accuracies(name: str, right: NDArray[np.bool_], owner: NDArray) -> dict[str, float]:
    residues = np.bincount(owner)
    per_protein = np.bincount(owner, weights=right)[residues > 0] / residues[residues > 0]
    return {
        name: float(right.mean()),
        f"{name}_per_protein": float(per_protein.mean()),
        "residues": float(len(right)),
    }


def regression_metrics(predictions: ArrayLike, targets: ArrayLike) -> dict[str, float]:
    """Spearman's rho (ties get the mean rank), Pearson's r, MSE and MAE.

    Args:
        predictions (`(n,)` or `(n, 1)` of float): At least two values.
        targets (`(n,)` or `(n, 1)` of float): As many.

    Returns:
        `dict`: `spearman`, `pearson`, `mse`, `mae`. A constant prediction ranks nothing: its correlations are 0 and a
        warning says so.

    Raises:
        ValueError: different numbers of values, fewer than two, or values that are not finite.

    Examples:
        >>> round(regression_metrics([0.1, 0.3, 0.3, 0.2, 0.9], [3, 1, 2, 2, 5])["spearman"], 4)
        0.1316
    """
    predictions = np.asarray(predictions, dtype=np.float64).reshape(-1)
    targets = np.asarray(targets, dtype=np.float64).reshape(-1)
    if predictions.shape != targets.shape:
        raise ValueError(f"{len(predictions)} predictions for {len(targets)} targets")
    if len(targets) < 2:
        raise ValueError("a correlation needs at least two values")
    if not (np.isfinite(predictions).all() and np.isfinite(targets).all()):
        raise ValueError("predictions or targets hold NaN or infinity")
    difference = predictions - targets
    return {
        "spearman": _correlation(rankdata(predictions), rankdata(targets)),
        "pearson": _correlation(predictions, targets),
        "mse": float((difference**2).mean()),
        "mae": float(np.abs(difference).mean()),
    }


def _correlation(a: NDArray, b: NDArray) -> float:
    if np.ptp(a) == 0 or np.ptp(b) == 0:
        warnings.warn("all predictions (or all targets) are equal; their correlation is given as 0", stacklevel=3)
        return 0.0
    return float(np.corrcoef(a, b)[0, 1])


def contact_precision(
    probabilities: Sequence[ArrayLike],
    labels: Sequence[ArrayLike],
    *,
    top: Sequence[str] = ("L/5", "L"),
    ranges: Sequence[str] = ("all", "short", "medium", "long", "medium+long"),
    ignore_index: int = -100,
    legacy: bool = False,
) -> dict[str, float]:
    """Precision of the highest-scored residue pairs, per protein and pooled.

    For a protein of L residues the floor(L/5) (or L) pairs i < j with the highest probability are picked among the
    labelled pairs of a separation range; the precision is the share of them that are contacts.

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


def ordinal_probabilities(logits: ArrayLike) -> NDArray[np.float64]:
    """Probabilities of levels 0..K from the K cumulative logits of an ordinal head.

    p(k) is proportional to sigmoid(logit k) x (1 - sigmoid(logit k+1)), with 1 before the first and 0 after the last.

    Args:
        logits (`(n, K)` of float): Logit k says "at least level k+1".

    Returns:
        `(n, K + 1)` probabilities, rows summing to 1.
    """
    logits = np.asarray(logits, dtype=np.float64)
    ones = np.ones((len(logits), 1))
    unnormalised = np.hstack([ones, expit(logits)]) * np.hstack([expit(-logits), ones])
    return unnormalised / unnormalised.sum(axis=1, keepdims=True)


def homology_score(logits: ArrayLike) -> NDArray[np.float64]:
    """Expected homology level, `(n,)`: from 4 ordinal logits or from 5 class logits (softmax)."""
    logits = np.asarray(logits, dtype=np.float64)
    levels = len(HOMOLOGY_LEVELS) + 1
    if logits.ndim != 2 or logits.shape[1] not in (levels - 1, levels):
        raise ValueError(f"expected (n, 4) ordinal or (n, 5) class logits, got shape {logits.shape}")
    probabilities = softmax(logits, axis=1) if logits.shape[1] == levels else ordinal_probabilities(logits)
    return probabilities @ np.arange(levels)


def fit_level_thresholds(scores: ArrayLike, levels: ArrayLike) -> NDArray[np.float64]:
    """Cut scores into levels 0-4, greedily from the lowest cut up.

    For each level only the pairs above the previous cut are kept, and the cut is the score below which (itself
    included) calling "not above this level" is most often right; the lowest such score wins, and no cut at all keeps
    the previous one.

    Args:
        scores (`(n,)` of float): Predicted similarity.
        levels (`(n,)` of int): True levels 0-4.

    Returns:
        `(4,)` rising thresholds; -inf where nothing was cut.
    """
    scores, levels = _pairs(scores, levels)
    order = np.argsort(scores, kind="stable")
    scores, levels = scores[order], levels[order]
    thresholds = np.full(len(HOMOLOGY_LEVELS), -np.inf)
    previous = -np.inf
    for level in range(len(thresholds)):
        start = np.searchsorted(scores, previous, side="right") if np.isfinite(previous) else 0
        above = levels[start:] > level
        if len(above):
            # right[m]: pairs called right when the m lowest are "not above"; equal scores cannot be parted.
            right = np.r_[0, np.cumsum(~above)] + np.r_[above.sum(), above.sum() - np.cumsum(above)]
            kept = scores[start:]
            right = np.where(np.r_[False, kept[1:] == kept[:-1], False], -1, right)
            cut = int(right.argmax())
            previous = kept[cut - 1] if cut else previous
        thresholds[level] = previous
    return thresholds


def apply_level_thresholds(scores: ArrayLike, thresholds: ArrayLike) -> NDArray[np.int64]:
    """Level of each score: the number of thresholds strictly below it."""
    return np.searchsorted(np.asarray(thresholds), np.asarray(scores, dtype=np.float64), side="left")


def homology_metrics(
    scores: ArrayLike,
    levels: ArrayLike,
    *,
    train_scores: ArrayLike | None = None,
    train_levels: ArrayLike | None = None,
    legacy: bool = False,
) -> dict[str, float]:
    """Accuracy of the level, correlations, and average precision of each level.

    Args:
        scores (`(n,)` of float): Predicted similarity of each pair, e.g. [`homology_score`].
        levels (`(n,)` of int): True levels 0-4.
        train_scores (`(m,)` of float, *optional*): Scores of training pairs, on which the accuracy's thresholds are
            fitted (Bepler & Berger 2019). Required unless `legacy`.
        train_levels (`(m,)` of int, *optional*): Levels of the training pairs.
        legacy (`bool`, *optional*, defaults to `False`): PLUS' way: fit the thresholds on the very pairs that are
            scored, which flatters the accuracy.

    Returns:
        `dict`: `accuracy`, `pearson`, `spearman`, and `average_precision_class`, `_fold`, `_superfamily`, `_family`
        (pairs of at least that level against the rest; NaN when all pairs are on one side).
    """
    from sklearn.metrics import average_precision_score

    scores, levels = _pairs(scores, levels)
    if legacy:
        train_scores, train_levels = scores, levels
    if train_scores is None or train_levels is None:
        raise ValueError("the accuracy needs train_scores and train_levels to fit its thresholds (or legacy=True)")
    thresholds = fit_level_thresholds(train_scores, train_levels)
    correlations = regression_metrics(scores, levels)
    result = {
        "accuracy": float((apply_level_thresholds(scores, thresholds) == levels).mean()),
        "pearson": correlations["pearson"],
        "spearman": correlations["spearman"],
    }
    for level, name in enumerate(HOMOLOGY_LEVELS):
        above = levels > level
        both = above.any() and not above.all()
        result[f"average_precision_{name}"] = float(average_precision_score(above, scores)) if both else float("nan")
    return result


def _pairs(scores: ArrayLike, levels: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    scores, levels = np.asarray(scores, dtype=np.float64).reshape(-1), np.asarray(levels).reshape(-1)
    if scores.shape != levels.shape:
        raise ValueError(f"{len(scores)} scores for {len(levels)} levels")
    if np.isnan(scores).any():
        raise ValueError("scores hold NaN")
    if len(levels) and (levels.min() < 0 or levels.max() > len(HOMOLOGY_LEVELS)):
        raise ValueError(f"levels run from 0 to {len(HOMOLOGY_LEVELS)}, found {levels.min()}..{levels.max()}")
    return scores, levels.astype(np.int64)
