"""Where on an mRNA a miRNA may act: seed matches, and where it pairs best in stretches that a network points out.

A place is the base of the mRNA that faces nucleotide 1 of the miRNA, 0-based; it may lie one behind the mRNA's end.
mRNAs are laid end to end here, each with `BEFORE` and `AFTER` unknown letters around it, so that every place has a
whole window and none sees two mRNAs. A Space takes this file along: it needs NumPy and torch alone.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

__all__ = [
    "AFTER",
    "BEFORE",
    "ONE_PEAK",
    "ONE_SHOWN",
    "SAME_SITE",
    "SITE_TYPES",
    "WINDOW",
    "Laid",
    "join_places",
    "paired_places",
    "seed_places",
    "slide",
    "told_apart",
]

BEFORE, AFTER = 28, 22  # letters of a window before the base that faces nucleotide 1, and from it on
WINDOW = BEFORE + AFTER
SAME_SITE = 6  # places no further apart are one site
ONE_SHOWN = 24  # the window of a place shows the pairing at places no further away, too
ONE_PEAK = 5  # of places no further apart the one that pairs best is looked at
SITE_TYPES = np.array(["non-canonical", "6mer", "7mer-A1", "7mer-m8", "8mer"])
UNKNOWN = 4
# Places read in one go: the longest as often as they fit, then the shortest that holds what is left; the same cuts
# whatever is read beside them, so that no bit depends on that.
_TILES = np.array([256, 384, 512, 768, 1_024, 1_536, 2_048])
_PLACES = 8_192  # a batch: what fits a CPU's cache
_SHORTEST = 6  # nucleotides of an mRNA that can pair with a seed
_SEEN = 8  # a window that scores shows the pairing at places no further from its middle well
# What a pair adds: G-C, A-U and G-U by two letters' codes, more at nucleotides 2-8, less behind nucleotide 16.
_STRENGTH = np.zeros((5, 5), np.int16)
for _one, _other, _value in ((1, 2, 4), (0, 3, 3), (2, 3, 1)):
    _STRENGTH[_one, _other] = _STRENGTH[_other, _one] = _value
_WEIGHT = np.array([1, *[3] * 7, *[1] * 8], np.int16)
_OUTSIDE = -1  # below every sum of pairs


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
def slide(model: Any, mirna_ids: torch.Tensor, laid: Laid, device: torch.device, step: int = 1) -> np.ndarray:
    """Logit of the window around each position, as a network sees it that slides along the mRNA.

    Args:
        model (`PairCnnModel`): A diagonal reader.
        mirna_ids (`torch.Tensor` of shape `(1, m)`): The miRNA.
        laid (`Laid`): mRNAs.
        device (`torch.device`): Where the model is.
        step (`int`): Places from window to window, counted from the mRNA's 5' end; divides 128.

    Returns:
        `np.ndarray`: `(len(laid.codes),)` float32, -inf for positions that are no places or lie between windows.
    """
    values = np.full(len(laid.codes), -np.inf, np.float32)
    counts = np.diff(laid.begins) - WINDOW + 1  # places: one behind the mRNA's end, too
    counts[counts <= _SHORTEST] = 0
    owner, first, widths = _cut(counts)
    reader, beyond = model.reader(mirna_ids), _seen_beyond(model.config, step)
    for width in np.unique(widths):
        alike = np.flatnonzero(widths == width)
        columns, places = np.arange(-beyond, width + WINDOW - 1 + beyond), np.arange(0, width, step)
        shown, rows = slice(beyond // step, (beyond + width) // step), _PLACES // int(width)
        for part in (alike[begin : begin + rows] for begin in range(0, len(alike), rows)):
            at = first[part, None] + columns
            inside = (at >= 0) & (at < np.diff(laid.begins)[owner[part], None])
            at += laid.begins[owner[part], None]
            ids = np.where(inside, laid.codes[np.where(inside, at, 0)] + 1, 0).astype(np.uint8)
            found = reader(torch.from_numpy(ids).to(device), width=WINDOW, step=step)[:, shown].float().cpu().numpy()
            for row, mrna, place in zip(found, owner[part], first[part], strict=True):
                here = places[places < counts[mrna] - place]
                values[laid.begins[mrna] + place + BEFORE + here] = row[: len(here)]
    return values


def _cut(counts: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Tiles of mRNAs with so many places: the mRNA of each, its first place, its width."""
    whole, rest = np.divmod(counts, _TILES[-1])
    tiles = whole + (rest > 0)
    owner = np.repeat(np.arange(len(counts)), tiles)
    number = np.arange(len(owner)) - np.repeat(np.cumsum(tiles) - tiles, tiles)
    width = np.where(number < whole[owner], _TILES[-1], _TILES[np.searchsorted(_TILES, rest[owner])])
    return owner, number * _TILES[-1], width


def _seen_beyond(config: Any, step: int) -> int:
    """Letters beside a window that its registers see, rounded up to whole steps."""
    convolutions = sum(width // 2 for width in config.kernel_sizes)
    seen = config.max_mirna_length - config.min_overlap + config.target_kernel_size // 2 + convolutions
    return -(-seen // step) * step


def paired_places(
    mirna: np.ndarray, laid: Laid, values: np.ndarray, least: float, reach: int = ONE_PEAK
) -> np.ndarray:
    """Places near a window of at least `least` where the miRNA pairs better, without gaps, than beside them.

    A network pools over its window, so windows on both sides of a duplex score as much as that around it; and what
    slides along reads neighbours, too. So its values say where to look, and these places are scored one by one.

    Args:
        mirna (`np.ndarray`): Codes of the miRNA.
        laid (`Laid`): mRNAs.
        values (`np.ndarray`): Of `slide`.
        least (`float`): A logit.
        reach (`int`): How far on both sides a place must pair better than others; less than `AFTER`.

    Returns:
        `np.ndarray`: Positions in `laid.codes`, sorted. Of equally good places the one counts whose place is the
        highest modulo the width, so that a repeat keeps one a width.
    """
    high = np.flatnonzero(values >= least)
    inside = _beside(high, _SEEN, len(values))
    around = np.flatnonzero(_beside(np.flatnonzero(inside), reach, len(values)))
    owner = laid.owners(around)
    real = (around >= laid.begins[owner] + BEFORE) & (around <= laid.begins[owner + 1] - AFTER)
    around, owner = around[real], owner[real]
    width = 2 * reach + 1
    keys = np.full(len(values), _OUTSIDE * width)
    keys[around] = _pairing(mirna, laid.codes, around) * width + (around - laid.begins[owner]) % width
    here = around[inside[around]]
    best = np.full(len(here), _OUTSIDE * width)
    for apart in range(-reach, reach + 1):  # no place is so near an end of all
        np.maximum(best, keys[here + apart], out=best)
    return here[keys[here] == best]


def _beside(at: np.ndarray, reach: int, size: int) -> np.ndarray:
    """Which of `size` positions lie no more than `reach` from one of `at`, sorted: `(size,)` bool."""
    steps = np.zeros(size + 1, np.int32)
    np.add.at(steps, np.maximum(at - reach, 0), 1)
    np.add.at(steps, np.minimum(at + reach + 1, size), -1)
    return np.cumsum(steps[:-1]) > 0


def _pairing(mirna: np.ndarray, codes: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Weighted sum of the pairs of each place, without gaps: `(len(at),)` int."""
    strength = np.zeros(len(at), np.int64)
    for nucleotide in range(min(len(mirna), len(_WEIGHT))):
        strength += (_WEIGHT[nucleotide] * _STRENGTH[mirna[nucleotide]])[codes[at - nucleotide]]
    return strength


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
