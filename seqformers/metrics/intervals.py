"""How far a score can be trusted: spread over seeds, bootstrap over rows."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

__all__ = ["bootstrap_intervals", "spread"]


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
