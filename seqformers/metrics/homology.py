"""Metrics of homology levels 0 to 4 of two proteins, as Bepler & Berger 2019 and PLUS define them."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit, softmax
from sklearn.metrics import average_precision_score

from seqformers.metrics.regression import regression_metrics

__all__ = [
    "HOMOLOGY_LEVELS",
    "LEVEL_METRICS",
    "apply_level_thresholds",
    "fit_level_thresholds",
    "homology_metrics",
    "homology_score",
    "ordinal_probabilities",
]

HOMOLOGY_LEVELS = ("class", "fold", "superfamily", "family")
"""Names of homology levels 1-4; level 0 is "nothing in common"."""

LEVEL_METRICS = ("level_accuracy", "level_pearson", "level_spearman", *(f"auprc_{name}" for name in HOMOLOGY_LEVELS))
"""What [`homology_metrics`] gives, and what can be asked of a classifier of levels 0-4."""


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

    The accuracy needs thresholds that cut the scores into levels. They are fitted on training pairs where those are
    given (Bepler & Berger 2019); else on every other pair, for the pairs between, and the other way round.

    Args:
        scores (`(n,)` of float): Predicted similarity of each pair, e.g. [`homology_score`].
        levels (`(n,)` of int): True levels 0-4.
        train_scores (`(m,)` of float, *optional*): Scores of training pairs.
        train_levels (`(m,)` of int, *optional*): Levels of the training pairs.
        legacy (`bool`, *optional*, defaults to `False`): PLUS' way: fit the thresholds on the very pairs that are
            scored, which flatters the accuracy.

    Returns:
        `dict`: `level_accuracy`, `level_pearson`, `level_spearman`, and `auprc_class`, `auprc_fold`,
        `auprc_superfamily`, `auprc_family` (pairs of at least that level against the rest; NaN when all pairs are on
        one side).
    """
    scores, levels = _pairs(scores, levels)
    if legacy:
        train_scores, train_levels = scores, levels
    if train_scores is not None and train_levels is not None:
        found = apply_level_thresholds(scores, fit_level_thresholds(train_scores, train_levels))
    else:
        found = np.zeros_like(levels)
        for fitted, scored in ((slice(0, None, 2), slice(1, None, 2)), (slice(1, None, 2), slice(0, None, 2))):
            found[scored] = apply_level_thresholds(
                scores[scored], fit_level_thresholds(scores[fitted], levels[fitted])
            )
    correlations = regression_metrics(scores, levels, ["pearson", "spearman"])
    result = {"level_accuracy": float((found == levels).mean())}
    result |= {f"level_{name}": value for name, value in correlations.items()}
    for level, name in enumerate(HOMOLOGY_LEVELS):
        above = levels > level
        both = above.any() and not above.all()
        result[f"auprc_{name}"] = float(average_precision_score(above, scores)) if both else float("nan")
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
