"""Split by group, nested label fractions, and rows of both classes brought to the same distribution.

Everything is seeded and depends on names, not on the order of the input.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = ["fraction_ranks", "match_histograms", "split_groups", "spread_ranks"]


def split_groups(
    groups: Sequence[str],
    strata: Sequence[int],
    sizes: Sequence[float],
    fractions: Sequence[float] = (0.7, 0.1, 0.2),
    *,
    seed: int = 0,
) -> NDArray[np.int64]:
    """Assign whole groups to splits so that every stratum comes close to the wanted fractions.

    Groups of a stratum are taken in a seeded order of their names; each goes to a split drawn with the letters it
    still lacks as weights, among the splits that can hold it whole (none: the one that lacks most). No split is left
    without a group of a stratum that has enough of them.

    Args:
        groups (`Sequence[str]`): Group of each item; items of a group stay together.
        strata (`Sequence[int]`): Class of each item; groups that hold several classes are a stratum of their own.
        sizes (`Sequence[float]`): Weight of each item, for instance its letters; or all 1.
        fractions (`Sequence[float]`, *optional*, defaults to `(0.7, 0.1, 0.2)`): Share of each split, summing to 1.
        seed (`int`, *optional*, defaults to 0): Another seed gives another split.

    Returns:
        `int64` array: split index of each item.

    Raises:
        ValueError: the fractions do not sum to 1 or a stratum has fewer groups than there are splits to fill.
    """
    if abs(sum(fractions) - 1) > 1e-6 or min(fractions) < 0:
        raise ValueError(f"split fractions must be positive and sum to 1, not {tuple(fractions)}")
    names, group_of = np.unique(np.asarray(groups, dtype=object).astype(str), return_inverse=True)
    weight: NDArray[np.float64] = np.bincount(group_of, weights=np.asarray(sizes, dtype=float)).astype(np.float64)
    stratum = _stratum_of_groups(group_of, np.asarray(strata), len(names))
    wanted = np.asarray(fractions, dtype=float)
    assigned = np.zeros(len(names), dtype=np.int64)
    for value in np.unique(stratum):
        members = np.flatnonzero(stratum == value)
        members = members[np.argsort([_hash(names[i], seed) for i in members], kind="stable")]
        mixed = value == _MIXED
        assigned[members] = _fill(weight[members], wanted, np.random.default_rng([seed, 1]), demand_all=not mixed)
    return assigned[group_of]


_MIXED = np.iinfo(np.int64).max


def _stratum_of_groups(group_of: NDArray[np.int64], strata: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    low = np.full(count, _MIXED, dtype=np.int64)
    high = np.full(count, np.iinfo(np.int64).min, dtype=np.int64)
    np.minimum.at(low, group_of, strata)
    np.maximum.at(high, group_of, strata)
    return np.where(low == high, low, _MIXED)


def _fill(
    weight: NDArray[np.float64], wanted: NDArray[np.float64], rng: np.random.Generator, *, demand_all: bool
) -> NDArray[np.int64]:
    needed = int((wanted > 0).sum())
    if demand_all and len(weight) < needed:
        raise ValueError(
            f"a class has {len(weight)} groups, too few for {needed} splits that share none; "
            "give more genomes, finer groups, or other split_fractions"
        )
    lacking = wanted * weight.sum()
    split = np.zeros(len(weight), dtype=np.int64)
    for i, size in enumerate(weight):
        room = np.where(lacking >= size, lacking, 0.0)
        split[i] = rng.choice(len(wanted), p=room / room.sum()) if room.sum() > 0 else int(np.argmax(lacking))
        lacking[split[i]] -= size
    if demand_all:
        for empty in set(np.flatnonzero(wanted > 0)) - set(split):
            donor = np.flatnonzero(split == np.bincount(split, minlength=len(wanted)).argmax())
            split[donor[np.argmin(weight[donor])]] = empty
    return split


def fraction_ranks(
    names: Sequence[str], strata: Sequence[int], weights: Sequence[float] | None = None, *, seed: int = 0
) -> NDArray[np.float64]:
    """Rank items within their class so that `rank < f` picks a share `f` of each class, nested in any larger share.

    The order is a seeded one of the names, whatever the weights; an item is picked whole, so a share may be exceeded
    by part of one item.

    Args:
        names (`Sequence[str]`): Item names, for instance genomes.
        strata (`Sequence[int]`): Class of each item.
        weights (`Sequence[float]`, *optional*): What the share counts, for instance rows of each item; default: items.
        seed (`int`, *optional*, defaults to 0): Another seed gives another order.

    Returns:
        `float64` array of values in `[0, 1]`; the first item of each class has 0, so no fraction is empty.
    """
    classes = np.asarray(strata)
    rank = np.zeros(len(names))
    for value in np.unique(classes):
        members = np.flatnonzero(classes == value)
        order = members[np.argsort([_hash(names[int(i)], seed + 1_000_003) for i in members], kind="stable")]
        weight = np.ones(len(order)) if weights is None else np.asarray(weights, dtype=float)[order]
        rank[order] = (np.cumsum(weight) - weight) / max(weight.sum(), 1e-300)
    return rank


def spread_ranks(keys: NDArray[np.integer], rng: np.random.Generator) -> NDArray[np.int64]:
    """Random rank of each row among the rows of its key; taking low ranks first spreads a sample over the keys.

    Examples:
        >>> import numpy as np
        >>> spread_ranks(np.array([5, 5, 7]), np.random.default_rng(0)).tolist()
        [1, 0, 0]
    """
    order = np.lexsort((rng.random(len(keys)), keys))
    ordered = keys[order]
    first = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]]) if len(keys) else np.zeros(0, np.int64)
    counts = np.diff(np.r_[first, len(keys)])
    rank = np.empty(len(keys), dtype=np.int64)
    rank[order] = np.arange(len(keys)) - np.repeat(first, counts)
    return rank


def match_histograms(
    bins: NDArray[np.integer],
    classes: NDArray[np.integer],
    priority: NDArray[np.float64],
    *,
    rows: int | None = None,
) -> NDArray[np.bool_]:
    """Choose rows so that every class has the same number in every bin, as many as the scarcest class allows.

    Args:
        bins (`int` array of shape `(n,)`): Bin of each row, for instance of its GC content.
        classes (`int` array of shape `(n,)`): Class of each row.
        priority (`float` array of shape `(n,)`): Within a bin and class, rows of low priority value are taken first.
        rows (`int`, *optional*): At most so many rows in all; every bin shrinks in proportion.

    Returns:
        `bool` array of shape `(n,)`: rows chosen.
    """
    values = np.unique(classes)
    counts = np.stack(
        [np.bincount(bins[classes == value], minlength=int(bins.max(initial=0)) + 1) for value in values]
    )
    quota = counts.min(axis=0)
    if rows is not None and quota.sum() * len(values) > rows:
        quota = _shrink(quota, rows // len(values))
    order = np.lexsort((priority, bins, classes))
    cell = classes[order].astype(np.int64) * (len(quota) + 1) + bins[order]
    start = np.searchsorted(cell, cell, side="left")
    chosen = np.zeros(len(bins), dtype=bool)
    chosen[order] = np.arange(len(bins)) - start < quota[bins[order]]
    return chosen


def _shrink(quota: NDArray[np.int64], total: int) -> NDArray[np.int64]:
    """Scale counts down to `total`, the largest remainders rounded up."""
    exact = quota * (total / quota.sum())
    small = np.floor(exact).astype(np.int64)
    extra = np.argsort(small - exact, kind="stable")[: total - small.sum()]
    small[extra] += 1
    return small


def _hash(name: str, seed: int) -> int:
    return zlib.crc32(name.encode(), zlib.crc32(str(seed).encode()))
