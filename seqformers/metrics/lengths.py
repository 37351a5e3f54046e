"""Rows of a split by length, for metrics of the short and of the long ones."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["length_bins"]


def length_bins(lengths: ArrayLike, edges: Sequence[int]) -> dict[str, NDArray[np.int64]]:
    """Numbers of the rows in each bin of lengths; bins without rows are left out.

    Args:
        lengths (`(rows,)` of int): Letters of each row.
        edges (`Sequence[int]`): Longest row of each bin but the last, rising.

    Raises:
        ValueError: edges that do not rise, or below 1.

    Examples:
        >>> {name: rows.tolist() for name, rows in length_bins([50, 100, 101, 400], [100, 300]).items()}
        {'up to 100': [0, 1], '101 to 300': [2], 'above 300': [3]}
    """
    if list(edges) != sorted(set(edges)) or (len(edges) and edges[0] < 1):
        raise ValueError(f"the ends of length bins must rise and be at least 1, got {list(edges)}")
    if not len(edges):
        return {}
    names = [f"up to {edges[0]}", *(f"{low + 1} to {high}" for low, high in pairwise(edges))]
    names.append(f"above {edges[-1]}")
    place = np.searchsorted(np.asarray(edges), np.asarray(lengths), side="left")
    found = {name: np.flatnonzero(place == number) for number, name in enumerate(names)}
    return {name: rows for name, rows in found.items() if len(rows)}
