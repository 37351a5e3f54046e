"""From scored windows to target sites. It needs NumPy alone, so that a Space can take this file along.

A TargetNet scores windows of 40 nt, one at every place whose ten bases opposite the extended seed hold enough pairs,
so a site is seen in up to nine windows, and one near an end of the mRNA in none. Here the ends are padded, and windows
that show the same site are one.
"""

from __future__ import annotations

import numpy as np

__all__ = ["PADDING", "merge_windows", "pad_ends"]

# A window has 25 nt upstream and 5 downstream of the ten bases opposite the extended seed. With so many unknown
# letters before and after the mRNA, each six bases of it stand somewhere among the ten of a window.
PADDING = 29, 9
_UNKNOWN = 4
_TEN = np.array([25, 35])
_SAME_SITE = 4  # windows no further apart share six or more of their ten bases
_MIDDLE = 27  # of a window whose ten bases have the six of a seed match in their middle


def pad_ends(codes: np.ndarray, step: int = 1) -> tuple[np.ndarray, int]:
    """An mRNA with unknown letters before and after it, and how many stand before.

    Args:
        codes (`np.ndarray`): Codes of the mRNA, 0-3, 4 unknown.
        step (`int`): Distance of windows, counted from the 3' end; the padding there is a multiple of it.
    """
    before, after = PADDING[0], -(-PADDING[1] // step) * step
    return np.pad(codes, (before, after), constant_values=_UNKNOWN), before


def merge_windows(
    pair: np.ndarray, start: np.ndarray, score: np.ndarray, seed_matches: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Make sites of windows.

    Each canonical seed match is a site, seen best in the window of highest score that holds it; it takes in windows
    beside those, as far as they share four of its six bases, that score no more. Of the windows left, the best of
    those that share six or more of their ten bases is a site, then the best of what is left then, and so on. So every
    window belongs to a site that scores as much or more.

    Args:
        pair (`np.ndarray`): `(K,)` number of the pair, sorted.
        start (`np.ndarray`): `(K,)` start of each window on its mRNA, sorted within the pair.
        score (`np.ndarray`): `(K,)` score of each window.
        seed_matches (`np.ndarray`): `(K, 3)` as in `SiteBatch`.

    Returns:
        tuple: `(S,)` window of each site, by pair and then by start of the site; `(S,)` type, 0 non-canonical, 1 6mer,
        2 7mer-A1, 3 7mer-m8, 4 8mer; `(S, 2)` start and end of the seed match, or without one of the ten bases.

    Examples:
        >>> start, score = np.array([0, 1, 2, 9]), np.array([0.1, 0.7, 0.3, 0.2])
        >>> windows, types, place = merge_windows(np.zeros(4, int), start, score, np.zeros((4, 3), np.uint8))
        >>> windows.tolist(), types.tolist(), place.tolist()
        ([1, 3], [0, 0], [[26, 36], [34, 44]])
    """
    canonical, types, place = _seed_sites(pair, start, score, seed_matches)
    middle = place[:, 0] + (types >= 3) - _MIDDLE
    undecided = (seed_matches[:, 0] == 0) & (
        score > _best_beside(pair, start, middle, pair[canonical], score[canonical])
    )
    others = np.zeros(len(pair), dtype=bool)
    while undecided.any():
        best = undecided & ~_has_better_neighbour(pair, start, score, undecided)
        others |= best
        undecided &= ~(best | _has_better_neighbour(pair, start, score, best))
    more = np.flatnonzero(others)
    windows = np.concatenate([canonical, more])
    types = np.concatenate([types, np.zeros(len(more), np.uint8)])
    place = np.concatenate([place, start[more, None] + _TEN])
    order = np.lexsort((place[:, 0], pair[windows]))
    return windows[order], types[order], place[order]


def _seed_sites(
    pair: np.ndarray, start: np.ndarray, score: np.ndarray, seed_matches: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Window, type and place of each canonical seed match."""
    windows, bit = np.nonzero(seed_matches[:, :1] >> np.arange(8, dtype=np.uint8) & 1)
    second = start[windows] + 35 - bit  # the base opposite nucleotide 2
    order = np.lexsort((start[windows], -score[windows], second, pair[windows]))
    windows, bit, second = windows[order], bit[order], second[order]
    first = np.append(True, (np.diff(pair[windows]) != 0) | (np.diff(second) != 0))[: len(windows)]
    windows, bit, second = windows[first], bit[first], second[first]
    a1, m8 = (seed_matches[windows, 1:] >> bit[:, None] & 1).T
    return windows, (1 + a1 + 2 * m8).astype(np.uint8), np.column_stack([second - 5 - m8, second + 1 + a1])


def _best_beside(
    pair: np.ndarray, start: np.ndarray, place: np.ndarray, place_pair: np.ndarray, score: np.ndarray
) -> np.ndarray:
    """The highest `score` of the `place`s no more than four from the start of each window, -inf without one."""
    best = np.full(len(pair), -np.inf)
    width = int(max(start.max(initial=0), place.max(initial=0))) + 2 * _SAME_SITE + 1
    keys = pair * width + start
    for apart in range(-_SAME_SITE, _SAME_SITE + 1):
        wanted = place_pair * width + place + apart
        at = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
        found = keys[at] == wanted if len(keys) else np.zeros(0, dtype=bool)
        np.maximum.at(best, at[found], score[found])
    return best


def _has_better_neighbour(pair: np.ndarray, start: np.ndarray, score: np.ndarray, among: np.ndarray) -> np.ndarray:
    """Which windows have one of `among` at most four places away that scores more, or as much and comes first."""
    found = np.zeros(len(pair), dtype=bool)
    for apart in range(1, min(_SAME_SITE, len(pair) - 1) + 1):
        left, right = slice(None, -apart), slice(apart, None)
        near = (pair[left] == pair[right]) & (start[right] - start[left] <= _SAME_SITE)
        found[right] |= near & among[left] & (score[left] >= score[right])
        found[left] |= near & among[right] & (score[right] > score[left])
    return found
