"""How well predicted miRNA targets agree with the labels of one miRNA, and with expression after it was added."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy.stats import ks_2samp

__all__ = [
    "LFC_METRICS",
    "TOP_K",
    "auroc_within_groups",
    "lfc_by_mirna",
    "lfc_curves",
    "lfc_metrics",
    "lfc_score",
    "lfc_shift",
    "top_mean_lfc",
]

TOP_K = (10, 30, 50, 100, 500, 1000)
"""Depths of the ranking in the LFC metrics."""

LFC_METRICS = ("lfc_score", "lfc_score_by_group", *(f"top_{size}_mean_lfc" for size in TOP_K))
"""What [`lfc_metrics`] gives."""


def auroc_within_groups(scores: ArrayLike, labels: ArrayLike, groups: ArrayLike) -> float:
    """Share of (target, non-target) pairs of the same miRNA, or other group, that the scores put in the right order.

    Public sets hold other miRNAs among their targets than among their non-targets, so knowing the miRNA alone gives a
    high plain AUROC. Who ranks the mRNAs of one miRNA needs this one instead.

    Args:
        scores (`(n,)` of float): Equal scores count half.
        labels (`(n,)` of 0 and 1): Targets are 1.
        groups (`(n,)`): The miRNA of each pair, id or sequence.

    Returns:
        `float`: 0 to 1, 0.5 by chance; groups count by their number of comparisons. NaN if no group has both labels.

    Examples:
        >>> auroc_within_groups([0.7, 0.9, 0.1, 0.2], [0, 1, 1, 1], ["a", "a", "b", "b"])
        1.0
    """
    table = pd.DataFrame(
        {"group": np.asarray(groups), "target": np.asarray(labels, dtype=bool), "score": np.asarray(scores)}
    )
    table["rank"] = table.groupby("group")["score"].rank()
    sizes = table.groupby("group")["target"].agg(["sum", "size"])
    ranks = table["rank"].where(table["target"], 0.0).groupby(table["group"]).sum()
    right = ranks - sizes["sum"] * (sizes["sum"] + 1) / 2
    compared = sizes["sum"] * (sizes["size"] - sizes["sum"])
    return float(right[compared > 0].sum() / compared.sum()) if compared.sum() else float("nan")


def top_mean_lfc(scores: ArrayLike, log_fold_changes: ArrayLike, k: Sequence[int] = TOP_K) -> dict[int, float]:
    """Mean log fold change of the k best-scored pairs; the lower, the better the prediction.

    Args:
        scores (`(n,)` of float): Predicted scores, high for targets.
        log_fold_changes (`(n,)` of float): Measured changes, negative where the mRNA fell.
        k (`Sequence[int]`): Those above n are left out.

    Returns:
        `dict[int, float]`: k -> mean. Pairs of equal score keep their order.

    Examples:
        >>> top_mean_lfc([0.9, 0.1, 0.8], [-1.0, 0.5, -0.5], k=[1, 2, 10])
        {1: -1.0, 2: -0.75}
    """
    values, changes = _checked(scores, log_fold_changes)
    means = np.cumsum(changes[np.argsort(-values, kind="stable")]) / np.arange(1, len(values) + 1)
    return {size: float(means[size - 1]) for size in k if size <= len(values)}


def lfc_score(scores: ArrayLike, log_fold_changes: ArrayLike, k: Sequence[int] = TOP_K) -> float:
    """The sLFC score of Min et al. 2022: 1 for a perfect ranking, without lower bound.

    `1 - sum over k of ((m_true(k) - m_pred(k)) / m_true(k))^2`, where m_true(k) is the mean change of the k most
    down-regulated pairs and m_pred(k) that of the k best-scored. The sum is over the k, not their mean. The paper does
    not say what holds with fewer than k pairs; such k are left out here.

    Args:
        scores (`(n,)` of float): Predicted scores, high for targets.
        log_fold_changes (`(n,)` of float): Measured changes.
        k (`Sequence[int]`): Depths of the ranking.

    Raises:
        ValueError: the shapes differ, a value is missing, n is smaller than every k, or a true mean is zero.

    Examples:
        >>> lfc_score([3, 2, 1], [-2.0, -1.0, 0.5], k=[1, 2])
        1.0
    """
    values, changes = _checked(scores, log_fold_changes)
    best = top_mean_lfc(-changes, changes, k)
    if not best:
        raise ValueError(f"{len(values)} pairs are fewer than the smallest k ({min(k)})")
    if 0.0 in best.values():
        raise ValueError("the mean of the most down-regulated pairs is zero, so the score is not defined")
    found = top_mean_lfc(values, changes, k)
    return 1.0 - sum(((best[size] - found[size]) / best[size]) ** 2 for size in best)


def lfc_by_mirna(
    scores: ArrayLike, log_fold_changes: ArrayLike, mirna_ids: ArrayLike, k: Sequence[int] = TOP_K
) -> pd.DataFrame:
    """`lfc_score` and `top_mean_lfc` of each miRNA, for the distribution over miRNAs.

    Returns:
        `pd.DataFrame`: One row a miRNA with `pairs`, `lfc_score` and `top_<k>`; missing where there are fewer than k.
    """
    values, changes = _checked(scores, log_fold_changes)
    table = pd.DataFrame({"mirna_id": np.asarray(mirna_ids), "score": values, "change": changes})
    rows = []
    for mirna, group in table.groupby("mirna_id", sort=False):
        row = {"mirna_id": mirna, "pairs": len(group), "lfc_score": None}
        if len(group) >= min(k):
            row["lfc_score"] = lfc_score(group["score"], group["change"], k)
        row |= {f"top_{size}": mean for size, mean in top_mean_lfc(group["score"], group["change"], k).items()}
        rows.append(row)
    return pd.DataFrame(rows, columns=["mirna_id", "pairs", "lfc_score", *(f"top_{size}" for size in k)])


def lfc_metrics(
    scores: ArrayLike, log_fold_changes: ArrayLike, names: Iterable[str], mirna_ids: ArrayLike | None = None
) -> dict[str, float]:
    """[`lfc_score`] over all pairs, its mean over miRNAs, and [`top_mean_lfc`], by name.

    Args:
        scores (`(n,)` of float): Predicted scores, high for targets.
        log_fold_changes (`(n,)` of float): Measured changes.
        names (`Iterable[str]`): Of `LFC_METRICS`. With too few pairs a metric is NaN.
        mirna_ids (`(n,)`, *optional*): For `lfc_score_by_group`, the mean over miRNAs with 10 pairs or more.

    Examples:
        >>> lfc_metrics(range(12), [-1.0 * i - 1 for i in range(12)], ["lfc_score", "top_10_mean_lfc"])
        {'lfc_score': 1.0, 'top_10_mean_lfc': -7.5}
    """
    values, changes = _checked(scores, log_fold_changes)
    found: dict[str, float] = {}
    for name in names:
        if name == "lfc_score":
            found[name] = lfc_score(values, changes) if len(values) >= min(TOP_K) else float("nan")
        elif name == "lfc_score_by_group":
            assert mirna_ids is not None, "lfc_score_by_group needs the miRNA of each pair"
            found[name] = float(lfc_by_mirna(values, changes, mirna_ids)["lfc_score"].astype(float).mean())
        else:
            found[name] = top_mean_lfc(values, changes).get(int(name.split("_")[1]), float("nan"))
    return found


def lfc_curves(
    scores: ArrayLike, log_fold_changes: ArrayLike, mirna_ids: ArrayLike | None = None, k: Sequence[int] = TOP_K
) -> pd.DataFrame:
    """The two curves of figure 4.3 of Min et al. 2022 for any table of changes: mean change and sLFC by depth.

    Args:
        scores (`(n,)` of float): Predicted scores, high for targets.
        log_fold_changes (`(n,)` of float): Measured changes.
        mirna_ids (`(n,)`, *optional*): Curves of each miRNA, averaged over those that have k pairs; else of all pairs.
        k (`Sequence[int]`): Depths of the ranking.

    Returns:
        `pd.DataFrame`: One row a depth with `k`, `mirnas` (1 without ids), `mean_lfc` of the k best-scored pairs,
        `best_mean_lfc` of the k most down-regulated, and `slfc`, 1 - ((best - mean) / best)^2 at this k alone, which
        is missing where the best mean is zero.

    Raises:
        ValueError: as of [`lfc_score`].

    Examples:
        >>> lfc_curves([3, 2, 1], [-2.0, 0.0, -1.0], k=[1, 2]).round(3).values.tolist()
        [[1.0, 1.0, -2.0, -2.0, 1.0], [2.0, 1.0, -1.0, -1.5, 0.889]]
    """
    values, changes = _checked(scores, log_fold_changes)
    groups = np.zeros(len(values), int) if mirna_ids is None else pd.factorize(np.asarray(mirna_ids))[0]
    rows = []
    for group in np.unique(groups):
        mine = groups == group
        found, best = top_mean_lfc(values[mine], changes[mine], k), top_mean_lfc(-changes[mine], changes[mine], k)
        for size in found:
            part = 1 - ((best[size] - found[size]) / best[size]) ** 2 if best[size] else None
            rows.append((size, 1, found[size], best[size], part))
    table = pd.DataFrame(rows, columns=["k", "mirnas", "mean_lfc", "best_mean_lfc", "slfc"]).astype({"slfc": float})
    means = {name: (name, "mean") for name in ("mean_lfc", "best_mean_lfc", "slfc")}
    return table.groupby("k").agg(mirnas=("mirnas", "sum"), **means).reset_index()


def lfc_shift(log_fold_changes: ArrayLike, called: ArrayLike) -> dict[str, float]:
    """Do the mRNAs called targets fall more than the others: a one-sided Kolmogorov-Smirnov test.

    Args:
        log_fold_changes (`(n,)` of float): Measured changes.
        called (`(n,)` of bool): Pairs called targets, by a score or a seed match.

    Returns:
        `dict[str, float]`: `statistic`, the largest excess of the called ones' cumulative share over the others';
        `p_value` of no excess; `difference` of the medians (called minus others), negative where they fall more.

    Raises:
        ValueError: a value is missing, or one of the two groups is empty.

    Examples:
        >>> found = lfc_shift([-2.0, -1.5, -1.0, 0.1, 0.2, 0.3], [1, 1, 1, 0, 0, 0])
        >>> found["statistic"], round(found["difference"], 2)
        (1.0, -1.7)
    """
    flags, changes = _checked(called, log_fold_changes)
    inside, outside = changes[flags > 0], changes[flags <= 0]
    if not len(inside) or not len(outside):
        raise ValueError(f"{len(inside)} pairs are called and {len(outside)} are not; a test needs some of each")
    found = ks_2samp(inside, outside, alternative="greater")
    difference = float(np.median(inside) - np.median(outside))
    return {"statistic": float(found.statistic), "p_value": float(found.pvalue), "difference": difference}


def _checked(scores: ArrayLike, log_fold_changes: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    values, changes = np.asarray(scores, dtype=np.float64), np.asarray(log_fold_changes, dtype=np.float64)
    if values.shape != changes.shape or values.ndim != 1 or not len(values):
        raise ValueError(f"scores {values.shape} and changes {changes.shape} must be two lists of the same length")
    if not np.isfinite(values).all() or not np.isfinite(changes).all():
        raise ValueError("scores and changes must be numbers, none missing")
    return values, changes
