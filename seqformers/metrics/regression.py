"""Metrics of predicted numbers against measured ones."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import pearsonr, spearmanr
from sklearn.metrics import r2_score, roc_auc_score

from seqformers.metrics.checks import known_names, refuse_not_finite
from seqformers.metrics.targets import LFC_METRICS, lfc_metrics

__all__ = ["REGRESSION_METRICS", "regression_metrics"]


def _correlation(function: Callable[..., object]) -> Callable[[np.ndarray, np.ndarray], float]:
    def score(predicted: np.ndarray, measured: np.ndarray) -> float:
        if np.ptp(predicted) == 0 or np.ptp(measured) == 0:
            warnings.warn("all predictions (or all labels) are equal, so they have no correlation", stacklevel=3)
            return float("nan")
        return float(function(measured, predicted).statistic)  # type: ignore[attr-defined]

    return score


def _auroc_positive(predicted: np.ndarray, measured: np.ndarray) -> float:
    """Area under the ROC curve for labels above 0 (the ones of labels 0 and 1); NaN where all are alike."""
    positive = measured > 0
    return float("nan") if positive.all() or not positive.any() else float(roc_auc_score(positive, predicted))


# Name -> function of predicted and measured numbers, both (rows,).
REGRESSION_METRICS: dict[str, Callable[[np.ndarray, np.ndarray], float]] = {
    "spearman": _correlation(spearmanr),
    "pearson": _correlation(pearsonr),
    "mse": lambda predicted, measured: float(np.mean((measured - predicted) ** 2)),
    "mae": lambda predicted, measured: float(np.mean(np.abs(measured - predicted))),
    "r2": lambda predicted, measured: float(r2_score(measured, predicted)),
    "auroc_positive": _auroc_positive,
}


def regression_metrics(
    predictions: ArrayLike,
    labels: ArrayLike,
    names: Iterable[str] = ("spearman", "pearson", "mse", "mae"),
    groups: ArrayLike | None = None,
) -> dict[str, float]:
    """Score predicted numbers against measured ones.

    Args:
        predictions (`(rows,)` or `(rows, 1)` of float): Predicted numbers.
        labels (`(rows,)` or `(rows, 1)` of float): Measured numbers.
        names (`Iterable[str]`, *optional*): Keys of `REGRESSION_METRICS`, or of
            [`seqformers.metrics.targets.LFC_METRICS`] where the numbers are log fold changes.
        groups (`(rows,)`, *optional*): The miRNA of each row, for the LFC metrics by miRNA.

    Returns:
        `dict[str, float]`: One value a name. Spearman's rho gives ties their mean rank. A constant has no
        correlation: NaN, and a warning says so.

    Raises:
        ValueError: an unknown name, different numbers of rows, none at all, or values that are not finite.

    Examples:
        >>> regression_metrics([1.0, 2.0, 5.0], [1.0, 2.0, 3.0], ["mse"])
        {'mse': 1.3333333333333333}
        >>> round(regression_metrics([0.1, 0.3, 0.3, 0.2, 0.9], [3, 1, 2, 2, 5])["spearman"], 4)
        0.1316
    """
    names = known_names(names, [*REGRESSION_METRICS, *LFC_METRICS], "regression")
    measured = np.asarray(labels, dtype=np.float64).reshape(-1)
    predicted = np.asarray(predictions, dtype=np.float64)
    if not len(measured) or predicted.size != len(measured):
        raise ValueError(f"{predicted.size} predictions for {len(measured)} labels")
    predicted = predicted.reshape(-1)
    refuse_not_finite(predicted)
    if not np.isfinite(measured).all():
        raise ValueError(f"label {int(np.argmin(np.isfinite(measured)))} is NaN or infinite")
    return {
        name: lfc_metrics(-predicted, measured, [name], groups)[name]
        if name in LFC_METRICS
        else REGRESSION_METRICS[name](predicted, measured)
        for name in names
    }
