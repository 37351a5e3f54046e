"""Are two rank correlations with the same truth different? Steiger's test, many of them, bootstrap intervals."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from scipy.stats import norm, rankdata

__all__ = ["bootstrap_interval", "holm", "steiger"]


def steiger(first: np.ndarray, second: np.ndarray, y: np.ndarray) -> tuple[float, float]:
    """Steiger's Z (1980) that two rank correlations with the same `y` differ; two-sided p.

    Examples:
        >>> y = np.arange(50.0)
        >>> z, p = steiger(y + 3 * np.sin(y), y + 30 * np.sin(7 * y), y)
        >>> bool(z > 3), bool(p < 1e-3)
        (True, True)
    """
    a, b, c = rankdata(first), rankdata(second), rankdata(y)
    r1, r2, r12 = np.corrcoef(a, c)[0, 1], np.corrcoef(b, c)[0, 1], np.corrcoef(a, b)[0, 1]
    mean = (r1**2 + r2**2) / 2
    f = min((1 - r12) / (2 * (1 - mean)), 1.0)
    h = (1 - f * mean) / (1 - mean)
    z = (np.arctanh(r1) - np.arctanh(r2)) * math.sqrt((len(y) - 3) / (2 * (1 - r12) * h))
    return float(z), float(2 * norm.sf(abs(z)))


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's p values (1979): each as it stands after all tests of a table were made, by the step-down method.

    Examples:
        >>> holm([0.01, 0.04, 0.03])
        [0.03, 0.06, 0.06]
    """
    order = np.argsort(p_values, kind="stable")
    steps = np.asarray(p_values)[order] * np.arange(len(p_values), 0, -1)
    adjusted = np.empty(len(p_values))
    adjusted[order] = np.minimum(np.maximum.accumulate(steps), 1.0)
    return [float(f"{p:.2g}") for p in adjusted]


def bootstrap_interval(
    first: np.ndarray, y: np.ndarray, second: np.ndarray | None = None, *, rounds: int = 1000
) -> list[float]:
    """95 % percentile interval of a Spearman correlation, or of the difference of two over the same rows."""
    rng = np.random.default_rng(0)
    values = []
    for _ in range(rounds):
        rows = rng.integers(0, len(y), len(y))
        ranks = rankdata(y[rows])
        value = np.corrcoef(rankdata(first[rows]), ranks)[0, 1]
        values.append(value - (0 if second is None else np.corrcoef(rankdata(second[rows]), ranks)[0, 1]))
    return [round(float(value), 4) for value in np.quantile(values, (0.025, 0.975))]
