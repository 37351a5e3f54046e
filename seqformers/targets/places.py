"""Where on an mRNA a miRNA may act: seed matches, and places that a network sees as it slides along.

A place is the base of the mRNA that faces nucleotide 1 of the miRNA, 0-based; it may lie one behind the mRNA's end.
mRNAs are laid end to end here, each with `BEFORE` and `AFTER` unknown letters around it, so that every place has a
whole window and none sees two mRNAs.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from scipy.ndimage import maximum_filter1d

from seqformers.modeling.targets.targetnet_sites import UNKNOWN

__all__ = [
    "AFTER",
    "BEFORE",
    "ONE_SHOWN",
    "SAME_SITE",
    "WINDOW",
    "Laid",
    "join_places",
    "seed_places",
    "settle",
    "slide",
    "strongest_places",
    "told_apart",
]

BEFORE, AFTER = 28, 22  # letters of a window before the base that faces nucleotide 1, and from it on
WINDOW = BEFORE + AFTER
SAME_SITE = 6  # places no further apart are one site
ONE_SHOWN = 24  # the window of a place shows the pairing at places no further away, too
_TILE = 512  # places read in one go; the same cuts whatever is read beside them, so that no bit depends on that
_MARGIN = 64  # what a window's score sees beyond it is less
_TILES = 16
_SHORTEST = 6  # nucleotides of an mRNA that can pair with a seed
_STEPS = 1 << 16  # of a value in one logit, where equal values are told apart
_REACH = 14  # how far the pairing that a window shows may lie from its middle
# What a pair adds: G-C, A-U and G-U by two letters' codes, more at nucleotides 2-8, less behind nucleotide 16.
_STRENGTH = np.zeros((5, 5), np.int16)
for _one, _other, _value in ((1, 2, 4), (0, 3, 3), (2, 3, 1)):
    _STRENGTH[_one, _other] = _STRENGTH[_other, _one] = _value
_WEIGHT = np.array([1, *[3] * 7, *[1] * 8], np.int16)


class Laid:
    """mRNAs laid end to end.

    Args:
        segments (`Sequence[np.ndarray]`): Codes of each mRNA, padded with `BEFORE` and `AFTER` unknown letters.

    Attributes:
        codes (`np.ndarray`): All of them, 0-3, 4 unknown.
        begins (`np.ndarray`): `(n + 1,)` where each begins, its padding included, and the end.
    """

    def __init__(self, segments: Any):
        lengths = [len(segment) for segment in segments]
        self.codes = np.concatenate(segments)
        self.begins = np.concatenate([[0], np.cumsum(lengths)])

    def owners(self, at: np.ndarray) -> np.ndarray:
        """The mRNA that each position lies on."""
        return np.searchsorted(self.begins, at, side="right") - 1

    def windows(self, at: np.ndarray) -> np.ndarray:
        """Letters around each position: `(n, 50)` uint8 codes."""
        return self.codes[at[:, None] + np.arange(-BEFORE, AFTER)]


def seed_places(mirna: np.ndarray, laid: Laid) -> tuple[np.ndarray, np.ndarray]:
    """Canonical seed matches (Bartel 2009).

    Args:
        mirna (`np.ndarray`): Codes of the miRNA, 8 or more.
        laid (`Laid`): mRNAs.

    Returns:
        tuple: `(S,)` positions in `laid.codes` that face nucleotide 1; `(S,)` type, 1 6mer (nucleotides 2-7), 2
        7mer-A1, 3 7mer-m8, 4 8mer.

    Examples:
        >>> from seqformers.modeling.targets.targetnet_sites import encode_rna
        >>> mrna = np.pad(encode_rna("GGCUACCUCA"), (BEFORE, AFTER), constant_values=4)
        >>> at, types = seed_places(encode_rna("UGAGGUAGUAGGUUGUAUAGUU"), Laid([mrna]))
        >>> (at - BEFORE).tolist(), types.tolist()
        ([9], [4])
    """
    codes = laid.codes
    found = np.ones(len(codes), dtype=bool)
    for nucleotide in range(1, 7):  # position p faces nucleotide 1, so p - i faces nucleotide i + 1
        letter = 3 - int(mirna[nucleotide]) if mirna[nucleotide] < UNKNOWN else 255
        found[nucleotide:] &= codes[: len(codes) - nucleotide] == letter
    found[:BEFORE] = False
    at = np.flatnonzero(found)
    m8 = (codes[at - 7].astype(int) + int(mirna[7]) == 3) & (mirna[7] < UNKNOWN)
    return at, (1 + (codes[at] == 0) + 2 * m8).astype(np.uint8)


@torch.inference_mode()
def slide(model: Any, mirna_ids: torch.Tensor, laid: Laid, device: torch.device) -> np.ndarray:
    """Logit of the window around each position, as a network sees it that slides along the mRNA.

    Args:
        model (`PairCnnModel`): A diagonal reader.
        mirna_ids (`torch.Tensor` of shape `(1, m)`): The miRNA.
        laid (`Laid`): mRNAs.
        device (`torch.device`): Where the model is.

    Returns:
        `np.ndarray`: `(len(laid.codes),)` float32, -inf for positions that are no places.
    """
    values = np.full(len(laid.codes), -np.inf, np.float32)
    counts = np.diff(laid.begins) - WINDOW + 1  # places: one behind the mRNA's end, too
    counts[counts <= _SHORTEST] = 0
    tiles = -(-counts // _TILE)
    owner = np.repeat(np.arange(len(counts)), tiles)
    number = np.arange(len(owner)) - np.repeat(np.cumsum(tiles) - tiles, tiles)
    first = number * _TILE  # place of each tile's first window
    columns = np.arange(-_MARGIN, _TILE + WINDOW - 1 + _MARGIN)
    for begin in range(0, len(owner), _TILES):
        part = slice(begin, begin + _TILES)
        at = first[part, None] + columns
        inside = (at >= 0) & (at < np.diff(laid.begins)[owner[part], None])
        at += laid.begins[owner[part], None]
        ids = np.where(inside, laid.codes[np.where(inside, at, 0)] + 1, 0).astype(np.uint8)
        found = model.score_windows(mirna_ids, torch.from_numpy(ids).to(device), width=WINDOW)
        found = found[:, _MARGIN : _MARGIN + _TILE].float().cpu().numpy()
        for row, mrna, place in zip(found, owner[part], first[part], strict=True):
            count = min(_TILE, int(counts[mrna] - place))
            start = int(laid.begins[mrna] + place) + BEFORE
            values[start : start + count] = row[:count]
    return values


def settle(mirna: np.ndarray, laid: Laid, at: np.ndarray) -> np.ndarray:
    """Move positions to where the miRNA pairs best without gaps, at most 14 nt away and on the same mRNA.

    A network pools over its window, so windows on both sides of a duplex score as much as that around it.

    Args:
        mirna (`np.ndarray`): Codes of the miRNA.
        laid (`Laid`): mRNAs.
        at (`np.ndarray`): Positions in `laid.codes`.

    Returns:
        `np.ndarray`: As many; of equal ones the nearest, then the first.
    """
    by = np.array(sorted(range(-_REACH, _REACH + 1), key=abs))
    moved = at[:, None] + by
    length = min(len(mirna), len(_WEIGHT))
    strength = np.zeros(moved.shape, np.int16)
    for nucleotide in range(length):
        facing = laid.codes[np.maximum(moved - nucleotide, 0)]
        strength += _WEIGHT[nucleotide] * _STRENGTH[mirna[nucleotide]][facing]
    owner = laid.owners(at)
    first, last = laid.begins[owner] + BEFORE, laid.begins[owner + 1] - AFTER
    strength[(moved < first[:, None]) | (moved > last[:, None])] = -1
    return moved[np.arange(len(at)), strength.argmax(1)]


def strongest_places(values: np.ndarray, laid: Laid, least: float, reach: int = SAME_SITE) -> np.ndarray:
    """Positions of at least `least` whose value is the highest no more than `reach` away on both sides.

    Of equal ones that with the highest place modulo the width counts, so that a repeat keeps one a width.
    """
    width = 2 * reach + 1
    high = np.flatnonzero(values >= least)
    keys = np.full(len(values), -1e18)
    places = high - laid.begins[laid.owners(high)]
    keys[high] = np.floor(values[high].astype(np.float64) * _STEPS) * width + places % width
    return high[keys[high] == maximum_filter1d(keys, width)[high]]


def join_places(seeds: np.ndarray, types: np.ndarray, others: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Seed matches, and those of the others that are more than `SAME_SITE` from each of them, sorted; with types."""
    if len(seeds):
        right = np.searchsorted(seeds, others)
        after = np.abs(seeds[np.minimum(right, len(seeds) - 1)] - others)
        before = np.abs(seeds[np.maximum(right - 1, 0)] - others)
        others = others[(after > SAME_SITE) & (before > SAME_SITE)]
    at = np.concatenate([seeds, others])
    order = np.argsort(at, kind="stable")
    return at[order], np.concatenate([types, np.zeros(len(others), np.uint8)])[order]


def told_apart(pair: np.ndarray, place: np.ndarray, canonical: np.ndarray, logit: np.ndarray) -> np.ndarray:
    """Which sites are sites of their own.

    A canonical seed match always is. Another place is one unless a site that scores as much lies so near that its
    window shows that one's pairing, too.

    Args:
        pair (`np.ndarray`): `(S,)` pair of each site, sorted.
        place (`np.ndarray`): `(S,)` place, sorted within the pair.
        canonical (`np.ndarray`): `(S,)` bool.
        logit (`np.ndarray`): `(S,)`.

    Returns:
        `np.ndarray`: `(S,)` bool.

    Examples:
        >>> place, seed = np.array([10, 20, 30, 80]), np.array([False, True, False, False])
        >>> told_apart(np.zeros(4, int), place, seed, np.array([1.0, 0.5, 0.2, 0.1])).tolist()
        [True, True, False, True]
    """
    kept = canonical.copy()
    others = np.flatnonzero(~canonical)
    for at in others[np.argsort(-logit[others], kind="stable")]:
        clear = True
        for step in (-1, 1):
            near = at + step
            while (
                clear
                and 0 <= near < len(pair)
                and pair[near] == pair[at]
                and abs(place[near] - place[at]) <= ONE_SHOWN
            ):
                clear = not (kept[near] and logit[near] >= logit[at])
                near += step
        kept[at] = clear
    return kept
