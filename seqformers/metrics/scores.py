"""Metrics of classifiers and regressors from scikit-learn and SciPy, by name, offline.

Classification scores come from logits: with two columns (or one) the task is binary and class 1 is the positive one.
"""

from __future__ import annotations

import difflib
import warnings
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

__all__ = [
    "CLASSIFICATION_METRICS",
    "GREATER_IS_BETTER",
    "REGRESSION_METRICS",
    "bootstrap_intervals",
    "check_metrics",
    "classification_metrics",
    "evaluation_module",
    "probabilities",
    "regression_metrics",
    "spread",
]


def probabilities(logits: np.ndarray) -> np.ndarray:
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


def _accuracy(labels: np.ndarray, predicted: np.ndarray, scores: np.ndarray) -> float:
    return float((labels == predicted).mean())


def _macro_recall(labels: np.ndarray, predicted: np.ndarray, scores: np.ndarray) -> float:
    from sklearn.metrics import recall_score

    return float(recall_score(labels, predicted, average="macro", zero_division=0))


def _macro_precision(labels: np.ndarray, predicted: np.ndarray, scores: np.ndarray) -> float:
    from sklearn.metrics import precision_score

    return float(precision_score(labels, predicted, average="macro", zero_division=0))


def _f1_macro(labels: np.ndarray, predicted: np.ndarray, scores: np.ndarray) -> float:
    from sklearn.metrics import f1_score

    return float(f1_score(labels, predicted, average="macro", zero_division=0))


def _f1_positive(labels: np.ndarray, predicted: np.ndarray, scores: np.ndarray) -> float:
    """F1 of class 1; for more than two classes there is no positive one, and this is the macro F1."""
    from sklearn.metrics import f1_score

    if scores.shape[1] > 2:
        return _f1_macro(labels, predicted, scores)
    return float(f1_score(labels == 1, predicted == 1, zero_division=0))


def _mcc(labels: np.ndarray, predicted: np.ndarray, scores: np.ndarray) -> float:
    from sklearn.metrics import matthews_corrcoef

    return float(matthews_corrcoef(labels, predicted))


def _auroc(labels: np.ndarray, predicted: np.ndarray, scores: np.ndarray) -> float:
    """Area under the ROC curve; more than two classes: mean of one against the rest. NaN when a class is absent."""
    from sklearn.metrics import roc_auc_score

    if len(np.unique(labels)) < scores.shape[1]:
        return float("nan")
    if scores.shape[1] == 2:
        return float(roc_auc_score(labels == 1, scores[:, 1]))
    return float(roc_auc_score(labels, scores, multi_class="ovr", labels=np.arange(scores.shape[1])))


def _auprc(labels: np.ndarray, predicted: np.ndarray, scores: np.ndarray) -> float:
    """Average precision of class 1 (binary), or its mean over the classes present."""
    from sklearn.metrics import average_precision_score

    classes = [1] if scores.shape[1] == 2 else np.unique(labels)
    return float(np.mean([average_precision_score(labels == c, scores[:, c]) for c in classes]))


CLASSIFICATION_METRICS: dict[str, Callable[[np.ndarray, np.ndarray, np.ndarray], float]] = {
    "macro_recall": _macro_recall,
    "f1_positive": _f1_positive,
    "mcc": _mcc,
    "auroc": _auroc,
    "accuracy": _accuracy,
    "macro_precision": _macro_precision,
    "f1_macro": _f1_macro,
    "auprc": _auprc,
}


def _spearman(labels: np.ndarray, predicted: np.ndarray) -> float:
    from scipy.stats import spearmanr

    return float(spearmanr(labels, predicted).statistic)


def _pearson(labels: np.ndarray, predicted: np.ndarray) -> float:
    from scipy.stats import pearsonr

    return float(pearsonr(labels, predicted).statistic) if np.ptp(predicted) > 0 else float("nan")


def _r2(labels: np.ndarray, predicted: np.ndarray) -> float:
    from sklearn.metrics import r2_score

    return float(r2_score(labels, predicted))


REGRESSION_METRICS: dict[str, Callable[[np.ndarray, np.ndarray], float]] = {
    "spearman": _spearman,
    "pearson": _pearson,
    "mse": lambda labels, predicted: float(np.mean((labels - predicted) ** 2)),
    "mae": lambda labels, predicted: float(np.mean(np.abs(labels - predicted))),
    "r2": _r2,
}

GREATER_IS_BETTER = {name: name not in ("mse", "mae", "loss", "perplexity") for name in (
    *CLASSIFICATION_METRICS, *REGRESSION_METRICS, "loss", "perplexity", "masked_accuracy"
)}  # fmt: skip


def check_metrics(names: Iterable[str], kind: str) -> list[str]:
    """Return `names` as a list, or raise `ValueError` for one that does not exist for this kind of task.

    Args:
        names (`Iterable[str]`): Names of metrics.
        kind (`str`): `regression`, `contacts`, or any other word for classes.
    """
    from seqformers.metrics.protein import CONTACT_METRICS

    tables = {"regression": REGRESSION_METRICS, "contacts": CONTACT_METRICS}
    known = list(tables.get(kind, CLASSIFICATION_METRICS))
    names = list(names)
    for name in names:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {near[0]!r}? " if near else ""
            of = kind if kind in tables else "classification"
            raise ValueError(f"no metric {name!r} for {of}; {hint}known: {', '.join(known)}")
    return names


def classification_metrics(
    labels: np.ndarray, logits: np.ndarray, names: Iterable[str] = ("macro_recall", "f1_positive", "mcc", "auroc")
) -> dict[str, float]:
    """Score logits against class numbers.

    Args:
        labels (`np.ndarray` of shape `(rows,)`): Class numbers from 0; rows of -100 (not labelled) are left out.
        logits (`np.ndarray` of shape `(rows, classes)`): Unnormalised scores; `(rows,)` or one column is binary.
        names (`Iterable[str]`, *optional*): Keys of `CLASSIFICATION_METRICS`.

    Returns:
        `dict[str, float]`: One value a name. A tie goes to the class with the lower number.

    Raises:
        ValueError: an unknown name, no labelled row, or logits that are not finite.

    Examples:
        >>> classification_metrics(np.array([0, 0, 1, 1]), np.array([[1, 0], [0, 1], [0, 1], [0, 2.0]]), ["mcc"])
        {'mcc': 0.5773502691896258}
    """
    names = check_metrics(names, "classification")
    labels = np.asarray(labels).reshape(-1)
    logits = np.asarray(logits, dtype=np.float64)
    logits = logits.reshape(len(labels), -1)
    keep = labels != -100
    labels, logits = labels[keep].astype(np.int64), logits[keep]
    if not len(labels):
        raise ValueError("no labelled row to score")
    # Minus infinity is a binary "never": TargetNet's answer for a pair without any candidate site.
    _refuse_not_finite(np.where(np.isneginf(logits), 0.0, logits) if logits.shape[1] == 1 else logits)
    scores = probabilities(logits)
    predicted = np.argmax(scores, axis=1)
    return {name: CLASSIFICATION_METRICS[name](labels, predicted, scores) for name in names}


def regression_metrics(
    labels: np.ndarray, predicted: np.ndarray, names: Iterable[str] = ("spearman", "mse")
) -> dict[str, float]:
    """Score predicted numbers, `(rows,)`, against measured ones; `names` are keys of `REGRESSION_METRICS`.

    Examples:
        >>> regression_metrics(np.array([1.0, 2.0, 3.0]), np.array([1.0, 2.0, 5.0]), ["mse"])
        {'mse': 1.3333333333333333}
    """
    names = check_metrics(names, "regression")
    labels = np.asarray(labels, dtype=np.float64).reshape(-1)
    predicted = np.asarray(predicted, dtype=np.float64).reshape(len(labels), -1)[:, 0]
    _refuse_not_finite(predicted)
    return {name: REGRESSION_METRICS[name](labels, predicted) for name in names}


def _refuse_not_finite(values: np.ndarray) -> None:
    bad = ~np.isfinite(values).reshape(len(values), -1).all(axis=1)
    if bad.any():
        raise ValueError(
            f"{int(bad.sum())} of {len(values)} outputs are NaN or infinite (first: row {int(np.argmax(bad))}); "
            "training has diverged: lower the learning rate"
        )


def spread(values: Iterable[float]) -> dict[str, Any]:
    """Mean, sample standard deviation (None for one value) and the values of several seeds.

    Examples:
        >>> spread([0.4, 0.6])["mean"], round(spread([0.4, 0.6])["sd"], 4)
        (0.5, 0.1414)
    """
    values = [float(value) for value in values]
    sd = float(np.std(values, ddof=1)) if len(values) > 1 else None
    return {"mean": float(np.mean(values)), "sd": sd, "values": values}


def bootstrap_intervals(
    score: Callable[[np.ndarray], dict[str, float]],
    rows: int,
    *,
    resamples: int = 200,
    level: float = 0.95,
    seed: int = 0,
) -> dict[str, tuple[float, float]]:
    """Percentile interval of every metric over rows drawn with replacement.

    It says what another sample of such rows would change, not what another training run would (`spread` does), and is
    too narrow where rows depend on each other, as reads of one genome do.

    Args:
        score (`Callable`): Metrics by name of the rows with the given numbers, an `np.ndarray` of shape `(rows,)`.
        rows (`int`): Rows there are.
        resamples (`int`, *optional*, defaults to 200): Draws.
        level (`float`, *optional*, defaults to 0.95): Share of the draws inside the interval, 0 to 1.
        seed (`int`, *optional*, defaults to 0): Of the draws.

    Examples:
        >>> right = np.repeat([1.0, 0.0], [80, 20])
        >>> low, high = bootstrap_intervals(lambda drawn: {"accuracy": right[drawn].mean()}, 100)["accuracy"]
        >>> bool(0.7 < low < 0.8 < high < 0.9)
        True
    """
    rng = np.random.default_rng(seed)
    with warnings.catch_warnings():  # a draw without one of the classes
        warnings.simplefilter("ignore")
        draws = [score(rng.integers(0, rows, rows)) for _ in range(resamples)]
    ends = [(1 - level) / 2, (1 + level) / 2]
    found = {}
    for name in draws[0]:
        values = np.array([draw[name] for draw in draws])
        values = values[np.isfinite(values)]
        if len(values):
            low, high = np.quantile(values, ends).tolist()
            found[name] = (low, high)
    return found


def evaluation_module(name: str) -> Any:
    """A metric as an `evaluate.EvaluationModule`, made here and not fetched, so it works offline.

    Args:
        name (`str`): Key of `CLASSIFICATION_METRICS` (`predictions` are logits or probabilities, one row each) or
            of `REGRESSION_METRICS` (`predictions` are numbers).

    Returns:
        `evaluate.Metric`: With `compute(predictions=, references=)`, `add_batch`, `evaluate.combine` and the rest.

    Examples:
        >>> mcc = evaluation_module("mcc")
        >>> mcc.compute(predictions=[[2.0, 1.0], [0.0, 3.0]], references=[0, 1])
        {'mcc': 1.0}
    """
    import datasets
    import evaluate

    regression = name in REGRESSION_METRICS
    check_metrics([name], "regression" if regression else "classification")
    score = datasets.Value("float64")
    features = datasets.Features(
        {
            "predictions": score if regression else datasets.Sequence(score),
            "references": score if regression else datasets.Value("int64"),
        }
    )

    class _Metric(evaluate.Metric):
        def _info(self) -> Any:
            return evaluate.MetricInfo(description=f"{name} as seqformers computes it", citation="", features=features)

        def _compute(self, predictions: Any, references: Any) -> dict[str, float]:
            if regression:
                return regression_metrics(np.asarray(references), np.asarray(predictions), [name])
            return classification_metrics(np.asarray(references), np.asarray(predictions), [name])

    return _Metric(config_name=name)
