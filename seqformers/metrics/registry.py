"""Every metric by name: what kind of task it is of, whether more is better, and the one way to compute it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from seqformers.metrics.checks import known_names
from seqformers.metrics.classification import (
    CLASSIFICATION_METRICS,
    MULTI_LABEL_METRICS,
    classification_metrics,
    multi_label_metrics,
)
from seqformers.metrics.contacts import CONTACT_METRICS, contact_precision
from seqformers.metrics.homology import HOMOLOGY_LEVELS, LEVEL_METRICS
from seqformers.metrics.regression import REGRESSION_METRICS, regression_metrics
from seqformers.metrics.residues import RESIDUE_METRICS, residue_metrics
from seqformers.metrics.targets import LFC_METRICS, lfc_metrics

__all__ = ["METRICS", "check_metrics", "compute_metrics", "evaluation_module", "greater_is_better", "needs_groups"]

METRICS: dict[str, tuple[str, ...]] = {
    "classification": (*CLASSIFICATION_METRICS, *LEVEL_METRICS, "auroc_within_group"),
    "regression": (*REGRESSION_METRICS, *LFC_METRICS),
    "tokens": (*CLASSIFICATION_METRICS, *RESIDUE_METRICS),
    "contacts": CONTACT_METRICS,
    "multi_label": tuple(MULTI_LABEL_METRICS),
    "ranking": ("spearman", "pearson", *LFC_METRICS),
}
"""Kind of task -> names of its metrics; `ranking` is of scores, high for targets, against log fold changes."""

_LESS_IS_BETTER = {"mse", "mae", "loss", "perplexity", *(name for name in LFC_METRICS if name.startswith("top_"))}
_IN_GROUPS = {"auroc_within_group", "lfc_score_by_group"}
# Metrics that are defined for some numbers of classes only.
_CLASSES = {
    **RESIDUE_METRICS,
    **dict.fromkeys(LEVEL_METRICS, (len(HOMOLOGY_LEVELS) + 1,)),
    "auroc_within_group": (2,),
}


def greater_is_better(name: str) -> bool:
    """Whether more of a metric is better; of losses, errors and mean log fold changes less is."""
    return name not in _LESS_IS_BETTER


def needs_groups(names: Iterable[str]) -> bool:
    """Whether one of the metrics compares rows within groups."""
    return any(name in _IN_GROUPS for name in names)


def check_metrics(names: Iterable[str], kind: str, *, classes: int | None = None) -> list[str]:
    """Return `names` as a list, or raise `ValueError` for one that does not exist for this kind of task.

    Args:
        names (`Iterable[str]`): Names of metrics.
        kind (`str`): Key of `METRICS`.
        classes (`int`, *optional*): How many classes the task has; some metrics are of 3, 5 or 8 classes only.
    """
    names = known_names(names, METRICS[kind], kind)
    for name in names:
        wanted = _CLASSES.get(name)
        if classes is not None and wanted is not None and classes not in wanted:
            raise ValueError(f"the metric {name!r} is of {' or '.join(map(str, wanted))} classes; here are {classes}")
    return names


def compute_metrics(
    kind: str, predictions: Any, labels: Any, names: Iterable[str], groups: Any = None
) -> dict[str, float]:
    """Compute metrics by name.

    Args:
        kind (`str`): Key of `METRICS`.
        predictions: Logits `(rows, classes)`, numbers `(rows,)`, logits of residues `(rows, length, classes)`, or a
            list of maps of contact probabilities `(length, length)`.
        labels: Classes or numbers `(rows,)`, classes `(rows, length)`, or a list of maps; -100 where unknown (in maps
            -1).
        names (`Iterable[str]`): Names of `METRICS[kind]`.
        groups (`(rows,)`, *optional*): The group of each row, where [`needs_groups`].

    Returns:
        `dict[str, float]`: One value a name; NaN where a metric is not defined for these rows.

    Examples:
        >>> compute_metrics("classification", [[2.0, 0.0], [0.0, 1.0]], [0, 0], ["accuracy"])
        {'accuracy': 0.5}
    """
    names = check_metrics(names, kind)
    if kind == "contacts":
        found = contact_precision(predictions, labels, ignore_index=-1)
        return {name: found[name] for name in names}
    if kind == "multi_label":
        return multi_label_metrics(predictions, labels, names)
    if kind == "tokens":
        return residue_metrics(predictions, labels, names)
    if kind == "ranking":
        known = [name for name in names if name in LFC_METRICS]
        found = lfc_metrics(predictions, labels, known, groups) if known else {}
        found |= regression_metrics(predictions, labels, [name for name in names if name not in known])
        return {name: found[name] for name in names}
    score: Callable[..., dict[str, float]] = regression_metrics if kind == "regression" else classification_metrics
    return score(predictions, labels, names, groups)


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
    import evaluate  # half a second that only who asks for this face should pay

    kind = "regression" if name in REGRESSION_METRICS else "classification"
    if name in _IN_GROUPS:
        raise ValueError(f"{name!r} needs the group of each row, which this face has no place for")
    check_metrics([name], kind)
    score = datasets.Value("float64")
    numbers = kind == "regression"
    features = datasets.Features(
        {
            "predictions": score if numbers else datasets.Sequence(score),
            "references": score if numbers else datasets.Value("int64"),
        }
    )

    class _Metric(evaluate.Metric):
        def _info(self) -> Any:
            return evaluate.MetricInfo(description=f"{name} as seqformers computes it", citation="", features=features)

        def _compute(self, predictions: Any, references: Any) -> dict[str, float]:
            return compute_metrics(kind, np.asarray(predictions), np.asarray(references), [name])

    return _Metric(config_name=name)
