"""Protospacers in two bits a letter: 23 letters are 46 bits of a whole number, so that XOR compares two of them.

Letter p, counted from the PAM, lies in bits 2p and 2p + 1: A 0, C 1, G 2, T 3.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from seqformers.guides.sites import PAM_LENGTH, PROTOSPACER, Pam, find_sites

__all__ = [
    "GUIDE_BITS", "LOW_BITS", "PackedSites", "codes_of", "letters_of", "mismatch_bits", "mismatch_table", "pack_codes",
    "pack_sites",
]  # fmt: skip

GUIDE_BITS = np.uint64((1 << 2 * PROTOSPACER) - 1)
LOW_BITS = np.uint64(int("01" * PROTOSPACER, 2))  # the lower bit of every letter
_WINDOW = 1 << 22  # letters packed at once
_TARGET = PAM_LENGTH + PROTOSPACER
_ALL_LETTERS = b"ACGTUacgtu"
_CODE = np.zeros(256, np.uint8)
for _base, _letters in enumerate(("Aa", "Cc", "Gg", "TtUu")):
    _CODE[[ord(letter) for letter in _letters]] = _base
_KNOWN = np.zeros(256, bool)
_KNOWN[list(_ALL_LETTERS)] = True
_SHIFTS = 2 * np.arange(PROTOSPACER, dtype=np.uint64)


@dataclass
class PackedSites:
    """The PAM sites of a sequence whose protospacer lies inside it, in the order of position, forward before reverse.

    Args:
        guides (`np.ndarray` of `uint64`): Protospacers, an unknown letter as A.
        pams (`np.ndarray` of `uint8`): PAMs, letter p in bits 2p and 2p + 1.
        at (`np.ndarray` of `uint32`): Lowest letter of the PAM on the forward strand.
        reverse (`np.ndarray` of `bool`): On the reverse strand.
        odd (`np.ndarray` of `int64`): Which sites hold unknown letters.
        unknown (`np.ndarray` of `uint64`): Of those, the lower bit of every unknown letter.
    """

    guides: np.ndarray
    pams: np.ndarray
    at: np.ndarray
    reverse: np.ndarray
    odd: np.ndarray
    unknown: np.ndarray

    def __len__(self) -> int:
        return len(self.guides)


def pack_sites(sequence: str, pam: Pam) -> Iterator[PackedSites]:
    """The sites of one sequence in parts of a bounded size.

    A letter other than A, C, G, T and U is never part of a PAM, and is unknown in a protospacer: it matches nothing.
    """
    for start in range(0, max(len(sequence) - _TARGET + 1, 0), _WINDOW):
        text = sequence[start : start + _WINDOW + _TARGET - 1]
        letters = np.frombuffer(text.encode("latin-1", "replace"), np.uint8)
        sites = find_sites(letters, pam)
        sites = sites[sites.protospacer_cut == 0]
        lowest, _ = sites.target
        sites = sites[lowest < _WINDOW]  # those that begin later are whole in the next part
        if len(sites):
            yield _pack(letters, sites.at, sites.reverse, start)


def _pack(letters: np.ndarray, at: np.ndarray, reverse: np.ndarray, start: int) -> PackedSites:
    codes = _CODE[letters]
    guides, pams = np.empty(len(at), np.uint64), np.empty(len(at), np.uint8)
    for backwards in (False, True):
        rows = np.flatnonzero(reverse == backwards)
        # Read along the strand, the codes of four letters from each place on lie in one byte.
        strand = (codes ^ 3)[::-1] if backwards else codes
        first = len(codes) - at[rows] - PAM_LENGTH if backwards else at[rows]
        pairs = strand[:-1] | strand[1:] << 2
        fours = pairs[:-2] | pairs[2:] << 4
        pams[rows] = fours[first]
        guides[rows] = _gather(fours, first + PAM_LENGTH)
    odd, unknown = np.empty(0, np.int64), np.empty(0, np.uint64)
    if letters.tobytes().translate(None, _ALL_LETTERS):
        odd, unknown = _unknown_letters(letters, at, reverse)
        guides[odd] &= ~(unknown | unknown << np.uint64(1))
    return PackedSites(guides, pams, (at + start).astype(np.uint32), reverse, odd, unknown)


def _gather(fours: np.ndarray, first: np.ndarray) -> np.ndarray:
    """23 letters from each place on: five bytes of four, and one of the last four, of which three are new."""
    packed = np.zeros(len(first), np.uint64)
    for offset in range(0, PROTOSPACER - 3, 4):
        packed |= fours[first + offset].astype(np.uint64) << np.uint64(2 * offset)
    last = PROTOSPACER - 4
    return packed | fours[first + last].astype(np.uint64) << np.uint64(2 * last)


def _unknown_letters(letters: np.ndarray, at: np.ndarray, reverse: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    known = _KNOWN[letters]
    before = np.concatenate([[0], np.cumsum(~known, dtype=np.int64)])
    lowest = np.where(reverse, at - PROTOSPACER, at + PAM_LENGTH)
    odd = np.flatnonzero(before[lowest + PROTOSPACER] > before[lowest])
    place = np.where(reverse[odd], at[odd] - 1, at[odd] + PAM_LENGTH)[:, None]
    step = np.where(reverse[odd], -1, 1)[:, None] * np.arange(PROTOSPACER)
    return odd, ((~known[place + step]).astype(np.uint64) << _SHIFTS).sum(1, dtype=np.uint64)


def pack_codes(codes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """`(n, 23)` codes 0-3 (4: unknown) packed, and the lower bit of every unknown letter: `(n,)` each.

    Examples:
        >>> packed, unknown = pack_codes(np.array([[3] + [0] * 22, [0, 4] + [1] * 21]))
        >>> packed[0].item(), unknown.tolist()
        (3, [0, 4])
    """
    wide = codes.astype(np.uint64)
    unknown = wide > 3
    packed = (np.where(unknown, np.uint64(0), wide) << _SHIFTS).sum(1, dtype=np.uint64)
    return packed, (unknown.astype(np.uint64) << _SHIFTS).sum(1, dtype=np.uint64)


def mismatch_bits(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """The lower bit of every letter in which two packed protospacers differ."""
    apart = first ^ second
    return (apart | apart >> np.uint64(1)) & LOW_BITS


def mismatch_table(bits: np.ndarray) -> np.ndarray:
    """`(n, 23)` of `bool`: which letters differ, from the PAM on."""
    return (bits[:, None] >> _SHIFTS & np.uint64(1)).astype(bool)


def codes_of(packed: np.ndarray, width: int) -> np.ndarray:
    """`(n, width)` codes 0-3 of packed letters."""
    return (packed[:, None] >> (2 * np.arange(width)).astype(packed.dtype) & 3).astype(np.uint8)


def letters_of(packed: np.ndarray, width: int, lower: np.ndarray | None = None) -> np.ndarray:
    """`(n, width)` ASCII letters of packed ones; small where `lower`, `(n, width)`, says so."""
    letters = np.frombuffer(b"ACGT", np.uint8)[codes_of(packed, width)]
    return letters if lower is None else letters + 32 * lower.astype(np.uint8)
