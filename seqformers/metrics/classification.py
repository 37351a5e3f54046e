"""Metrics of classifiers from their logits; with two columns (or one) the task is binary and class 1 is positive."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
from numpy.typing import ArrayLike
from sklearn.metrics import (
    average_precision_score,
    f1_score,
    matthews_corrcoef,
    precision_score,
    recall_score,
    roc_auc_score,
)

from seqformers.metrics.checks import known_names, refuse_not_finite
from seqformers.metrics.homology import LEVEL_METRICS, homology_metrics
from seqformers.metrics.targets import auroc_within_groups

__all__ = [
    "CLASSIFICATION_METRICS",
    "MULTI_LABEL_METRICS",
    "classification_metrics",
    "multi_label_metrics",
    "probabilities",
]

_IGNORED = -100


def probabilities(logits: ArrayLike) -> np.ndarray:
    """Class probabilities, `(rows, classes)`, of logits `(rows, classes)`; one column is read as a binary logit.

    Examples:
        >>> probabilities(np.array([[0.0, 0.0], [2.0, 0.0]])).round(3).tolist()
        [[0.5, 0.5], [0.881, 0.119]]
        >>> probabilities(np.array([0.0])).tolist()
        [[0.5, 0.5]]
    """
    logits = np.asarray(logits, dtype=np.float64)
    if logits.ndim == 1:
        logits = logits[:, None]
    if logits.shape[1] == 1:
        logits = np.concatenate([np.zeros_like(logits), logits], axis=1)
    shifted = np.exp(logits - logits.max(axis=1, keepdims=True))
    return shifted / shifted.sum(axis=1, keepdims=True)


def _of_classes(function: Callable[..., float]) -> Callable[..., float]:
    """A metric of predicted classes by scikit-learn, where every class counts the same."""

    def score(scores: np.ndarray, predicted: np.ndarray, labels: np.ndarray) -> float:
        return float(function(labels, predicted, average="macro", zero_division=0))

    return score


def _accuracy(scores: np.ndarray, predicted: np.ndarray, labels: np.ndarray) -> float:
    return float((labels == predicted).mean())


def _f1_positive(scores: np.ndarray, predicted: np.ndarray, labels: np.ndarray) -> float:
    """F1 of class 1; for more than two classes there is no positive one, and this is the macro F1."""
    if scores.shape[1] > 2:
        return float(f1_score(labels, predicted, average="macro", zero_division=0))
    return float(f1_score(labels == 1, predicted == 1, zero_division=0))


def _mcc(scores: np.ndarray, predicted: np.ndarray, labels: np.ndarray) -> float:
    return float(matthews_corrcoef(labels, predicted))


def _auroc(scores: np.ndarray, predicted: np.ndarray, labels: np.ndarray) -> float:
    """Area under the ROC curve; more than two classes: mean of one against the rest. NaN when a class is absent."""
    if len(np.unique(labels)) < scores.shape[1]:
        return float("nan")
    if scores.shape[1] == 2:
        return float(roc_auc_score(labels == 1, scores[:, 1]))
    return float(roc_auc_score(labels, scores, multi_class="ovr", labels=np.arange(scores.shape[1])))


def _auprc(scores: np.ndarray, predicted: np.ndarray, labels: np.ndarray) -> float:
    """Average precision of class 1 (binary), or its mean over the classes present."""
    classes = [1] if scores.shape[1] == 2 else np.unique(labels)
    return float(np.mean([average_precision_score(labels == c, scores[:, c]) for c in classes]))


# Name -> function of probabilities (rows, classes), predicted classes and true classes (rows,).
CLASSIFICATION_METRICS: dict[str, Callable[[np.ndarray, np.ndarray, np.ndarray], float]] = {
    "macro_recall": _of_classes(recall_score),
    "f1_positive": _f1_positive,
    "mcc": _mcc,
    "auroc": _auroc,
    "accuracy": _accuracy,
    "macro_precision": _of_classes(precision_score),
    "f1_macro": _of_classes(f1_score),
    "auprc": _auprc,
}


def classification_metrics(
    logits: ArrayLike,
    labels: ArrayLike,
    names: Iterable[str] = ("macro_recall", "f1_positive", "mcc", "auroc"),
    groups: ArrayLike | None = None,
) -> dict[str, float]:
    """Score logits against class numbers.

    Args:
        logits (`(rows, classes)` of float): Unnormalised scores; `(rows,)` or one column is binary.
        labels (`(rows,)` of int): Class numbers from 0; rows of -100 (not labelled) are left out.
        names (`Iterable[str]`, *optional*): Keys of `CLASSIFICATION_METRICS`, `auroc_within_group`, or (of levels 0
            to 4) [`seqformers.metrics.homology.LEVEL_METRICS`].
        groups (`(rows,)`, *optional*): What `auroc_within_group` compares rows within.

    Returns:
        `dict[str, float]`: One value a name. A tie goes to the class with the lower number.

    Raises:
        ValueError: an unknown name, no labelled row, or logits that are not finite.

    Examples:
        >>> classification_metrics(np.array([[1, 0], [0, 1], [0, 1], [0, 2.0]]), np.array([0, 0, 1, 1]), ["mcc"])
        {'mcc': 0.5773502691896258}
    """
    names = known_names(names, [*CLASSIFICATION_METRICS, *LEVEL_METRICS, "auroc_within_group"], "classification")
    known: np.ndarray = np.asarray(labels).reshape(-1)
    outputs: np.ndarray = np.asarray(logits, dtype=np.float64).reshape(len(known), -1)
    keep = known != _IGNORED
    truth, outputs = known[keep].astype(np.int64), outputs[keep]
    if not len(truth):
        raise ValueError("no labelled row to score")
    # Minus infinity is a binary "never": TargetNet's answer for a pair without any candidate site.
    refuse_not_finite(np.where(np.isneginf(outputs), 0.0, outputs) if outputs.shape[1] == 1 else outputs)
    scores = probabilities(outputs)
    predicted = np.argmax(scores, axis=1)
    found: dict[str, float] = {}
    for name in names:
        if name in LEVEL_METRICS:
            found[name] = homology_metrics(scores @ np.arange(scores.shape[1]), truth)[name]
        elif name == "auroc_within_group":
            assert groups is not None, "auroc_within_group needs groups"
            found[name] = auroc_within_groups(scores[:, 1], truth, np.asarray(groups)[keep])
        else:
            found[name] = CLASSIFICATION_METRICS[name](scores, predicted, truth)
    return found


def _mean_over_labels(function: Callable[..., float]) -> Callable[[np.ndarray, np.ndarray], float]:
    """Mean over the labels that some rows have and some have not; NaN where there is no such label."""

    def score(logits: np.ndarray, labels: np.ndarray) -> float:
        told = [column for column in range(labels.shape[1]) if len(np.unique(labels[:, column])) == 2]
        values = [function(labels[:, column], logits[:, column]) for column in told]
        return float(np.mean(values)) if values else float("nan")

    return score


# Name -> function of logits and of 0 or 1, both (rows, labels).
MULTI_LABEL_METRICS: dict[str, Callable[[np.ndarray, np.ndarray], float]] = {
    "f1_macro": lambda logits, labels: float(f1_score(labels, logits > 0, average="macro", zero_division=0)),
    "f1_micro": lambda logits, labels: float(f1_score(labels, logits > 0, average="micro", zero_division=0)),
    "auroc": _mean_over_labels(roc_auc_score),
    "auprc": _mean_over_labels(average_precision_score),
    "accuracy": lambda logits, labels: float(((logits > 0) == labels).mean()),
    "exact_match": lambda logits, labels: float(((logits > 0) == labels).all(axis=1).mean()),
}


def multi_label_metrics(logits: ArrayLike, labels: ArrayLike, names: Iterable[str]) -> dict[str, float]:
    """Score logits against several labels a row, each there or not.

    Args:
        logits (`(rows, labels)` of float): Above 0 a label is called.
        labels (`(rows, labels)` of 0 and 1): Which are there.
        names (`Iterable[str]`): Keys of `MULTI_LABEL_METRICS`; `accuracy` counts labels, `exact_match` rows.

    Examples:
        >>> multi_label_metrics([[2.0, -1.0], [1.0, 1.0]], [[1, 0], [0, 1]], ["accuracy", "exact_match"])
        {'accuracy': 0.75, 'exact_match': 0.5}
    """
    names = known_names(names, MULTI_LABEL_METRICS, "multi_label")
    outputs: np.ndarray = np.asarray(logits, dtype=np.float64)
    truth: np.ndarray = np.asarray(labels).astype(np.int64)
    if outputs.shape != truth.shape or outputs.ndim != 2:
        raise ValueError(f"logits of shape {outputs.shape} do not fit labels of shape {truth.shape}")
    refuse_not_finite(outputs)
    return {name: MULTI_LABEL_METRICS[name](outputs, truth) for name in names}
