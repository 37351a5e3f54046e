"""Find Cpf1 (Cas12a) sites in sequences: every PAM on both strands, its context, protospacer and cut.

Coordinates are 0-based on the forward strand, half-open, as in BED. On the forward strand a context is 4 letters
upstream, the PAM, the 23-letter protospacer and 3 letters downstream; on the reverse strand the same, read backwards.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

__all__ = ["CONTEXT", "PAM_LENGTH", "PROTOSPACER", "UPSTREAM", "Pam", "Sites", "find_sites"]

UPSTREAM = 4
PAM_LENGTH = 4
PROTOSPACER = 23
CONTEXT = 34
_DOWNSTREAM = CONTEXT - UPSTREAM - PAM_LENGTH - PROTOSPACER
# Cpf1 nicks the PAM strand after the 18th and the other strand after the 23rd letter of the protospacer.
_NEAR_CUT = 18

_IUPAC = {
    "A": "A", "C": "C", "G": "G", "T": "T", "U": "T", "R": "AG", "Y": "CT", "S": "CG", "W": "AT", "K": "GT",
    "M": "AC", "B": "CGT", "D": "AGT", "H": "ACT", "V": "ACG", "N": "ACGT",
}  # fmt: skip
_COMPLEMENT = np.full(256, ord("N"), dtype=np.uint8)
for _letter, _other in zip("ACGTURYSWKMBDHVN", "TGCAAYRSWMKVHDBN", strict=True):
    _COMPLEMENT[[ord(_letter), ord(_letter.lower())]] = ord(_other)
_UPPER = np.arange(256, dtype=np.uint8)
_UPPER[ord("a") : ord("z") + 1] -= 32
_UPPER[[ord("U"), ord("u")]] = ord("T")

_SCAN_CHUNK = 1 << 17  # letters whose bits stay in the processor's cache
_FORWARD, _REVERSE = 1, 1 << PAM_LENGTH


@dataclass(frozen=True)
class Pam:
    """A PAM in IUPAC letters, or several, compiled to one look-up table a letter each.

    Args:
        pattern (`str`): Four IUPAC letters, `TTTV` for the wild type; several separated by commas for an engineered
            enzyme, for example `VTTV,TTTT,TTCN,TATV`.

    Raises:
        ValueError: not four IUPAC letters each.

    Examples:
        >>> Pam("tttv, tycv").pattern
        'TTTV,TYCV'
    """

    pattern: str = "TTTV"

    def __post_init__(self) -> None:
        """Refuse patterns that the layout of the context has no room for."""
        patterns = [part.strip().upper() for part in self.pattern.split(",")]
        object.__setattr__(self, "pattern", ",".join(dict.fromkeys(patterns)))
        for part in patterns:
            if len(part) != PAM_LENGTH or set(part) - _IUPAC.keys():
                raise ValueError(
                    f"PAM {part!r} must be {PAM_LENGTH} IUPAC letters, for example TTTV or TYCV (several: TTTV,TYCV)"
                )

    def tables(self) -> list[bytes]:
        """256 bytes a pattern: bit j is set where a letter fits at offset j forwards, bit 4 + j where in reverse."""
        return [_compile(pattern) for pattern in self.pattern.split(",")]

    def fits(self, letters: np.ndarray) -> np.ndarray:
        """Which rows of `(n, 4)` ASCII letters are this PAM."""
        found = np.zeros(len(letters), bool)
        for table in self.tables():
            bits = np.frombuffer(table, dtype=np.uint8)[letters]
            found |= (bits >> np.arange(PAM_LENGTH, dtype=np.uint8) & 1).all(axis=1)
        return found


def _compile(pattern: str) -> bytes:
    table = np.zeros(256, dtype=np.uint8)
    for offset, symbol in enumerate(pattern):
        for base in _IUPAC[symbol]:
            table[_spellings(base)] |= 1 << offset
            table[_spellings(chr(_COMPLEMENT[ord(base)]))] |= 1 << (2 * PAM_LENGTH - 1 - offset)
    return table.tobytes()


def _spellings(base: str) -> list[int]:
    return [ord(letter) for letter in (base + base.lower() + ("Uu" if base == "T" else ""))]


@dataclass(frozen=True)
class Sites:
    """Sites of one sequence or of several, in the order of sequence, then of `pam_start`.

    Args:
        letters (`np.ndarray` of `uint8`): The sequences as ASCII, end to end.
        bounds (`np.ndarray` of `int64`, shape `(sequences, 2)`): Where each begins and ends in `letters`.
        record (`np.ndarray` of `int32`): Which sequence a site is on.
        at (`np.ndarray` of `int64`): First letter of its PAM in `letters` (the lowest, on either strand).
        reverse (`np.ndarray` of `bool`): The PAM is on the reverse strand.
    """

    letters: np.ndarray
    bounds: np.ndarray
    record: np.ndarray
    at: np.ndarray
    reverse: np.ndarray

    def __len__(self) -> int:
        return len(self.at)

    def __getitem__(self, rows: slice | np.ndarray) -> Sites:
        return Sites(self.letters, self.bounds, self.record[rows], self.at[rows], self.reverse[rows])

    @property
    def pam_start(self) -> np.ndarray:
        """First letter of the PAM on the forward strand of its sequence (its lowest coordinate, on either strand)."""
        return self.at - self.bounds[self.record, 0]

    @property
    def context_start(self) -> np.ndarray:
        """First letter of the context on the forward strand; negative where the sequence begins too late."""
        return self.pam_start - np.where(self.reverse, PROTOSPACER + _DOWNSTREAM, UPSTREAM)

    @property
    def cut_start(self) -> np.ndarray:
        """First letter of the 5-letter overhang between the two nicks (18 and 23 letters from the PAM)."""
        return self.pam_start + np.where(self.reverse, -PROTOSPACER, PAM_LENGTH + _NEAR_CUT)

    @property
    def target(self) -> tuple[np.ndarray, np.ndarray]:
        """Start and end of PAM and protospacer on the forward strand."""
        start = self.pam_start - np.where(self.reverse, PROTOSPACER, 0)
        return start, start + PAM_LENGTH + PROTOSPACER

    @property
    def protospacer_cut(self) -> np.ndarray:
        """Letters of the protospacer that lie beyond an end of the sequence."""
        return self._beyond(*self.target)

    @property
    def context_cut(self) -> np.ndarray:
        """Letters of the context that lie beyond an end of the sequence."""
        return self._beyond(self.context_start, self.context_start + CONTEXT)

    def _beyond(self, start: np.ndarray, end: np.ndarray) -> np.ndarray:
        lengths = np.diff(self.bounds)[:, 0]
        return np.maximum(-start, 0) + np.maximum(end - lengths[self.record], 0)

    def contexts(self) -> np.ndarray:
        """`(n, 34)` ASCII letters, 5' to 3' on the PAM's strand, upper case, T for U, N beyond the ends."""
        begin, end = self.bounds[self.record].T[..., None]
        index = self.context_start[:, None] + begin + np.arange(CONTEXT)
        inside = (index >= begin) & (index < end)
        letters = self.letters[np.where(inside, index, 0)]
        letters = _UPPER[np.where(inside, letters, ord("N")).astype(np.uint8)]
        letters[self.reverse] = _COMPLEMENT[letters[self.reverse]][:, ::-1]
        return letters


def find_sites(sequences: str | np.ndarray | Sequence[str], pam: Pam | str = "TTTV") -> Sites:
    """Every PAM on both strands; overlapping ones, and those whose protospacer is cut off by an end, included.

    Args:
        sequences (`str`, `np.ndarray` of `uint8` ASCII, or `Sequence[str]`): One sequence or several, DNA or RNA,
            either case. A letter that is not A, C, G, T or U is never part of a PAM.
        pam (`Pam` or `str`, defaults to `"TTTV"`): Four IUPAC letters, or several such PAMs separated by commas.

    Returns:
        `Sites`: sorted by sequence and `pam_start`, forward before reverse.

    Examples:
        >>> sites = find_sites("GGGGTTTACGATCGATCGATCAGCTAGCTACGATGG")
        >>> sites.pam_start.tolist(), sites.cut_start.tolist(), sites.reverse.tolist()
        ([4], [26], [False])
        >>> sites.contexts().tobytes().decode()
        'GGGGTTTACGATCGATCGATCAGCTAGCTACGAT'
        >>> find_sites(["GG", "GGGGTTTACGATCGATCGATCAGCTAGCTACGATGG"]).record.tolist()
        [1]
    """
    pam = Pam(pam) if isinstance(pam, str) else pam
    letters, bounds = _lay_end_to_end(sequences)
    starts, strands = [np.empty(0, np.int64)], [np.empty(0, np.uint8)]
    for offset, found in _scan(letters, pam.tables()):
        hits = np.flatnonzero(found)
        starts.append(hits + offset)
        strands.append(found[hits])
    start, strand = np.concatenate(starts), np.concatenate(strands)
    times = 1 + (strand == (_FORWARD | _REVERSE))  # a PAM of degenerate letters may read the same on both strands
    reverse = np.repeat(strand == _REVERSE, times)
    reverse[np.cumsum(times)[times == 2] - 1] = True
    at = np.repeat(start, times)
    return Sites(letters, bounds, np.searchsorted(bounds[:, 1], at, side="right").astype(np.int32), at, reverse)


def _lay_end_to_end(sequences: str | np.ndarray | Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Letters and bounds of all sequences; between two stands a letter that no PAM has, so that none is across."""
    if isinstance(sequences, np.ndarray):
        return sequences, np.array([[0, len(sequences)]])
    texts = [sequences] if isinstance(sequences, str) else sequences
    ends = np.cumsum([len(text) + 1 for text in texts], dtype=np.int64) - 1
    letters = np.frombuffer("\0".join(texts).encode("latin-1", "replace"), dtype=np.uint8)
    return letters, np.column_stack([np.concatenate([[0], ends[:-1] + 1])[: len(ends)], ends])


def _scan(letters: np.ndarray, tables: Sequence[bytes]) -> Iterator[tuple[int, np.ndarray]]:
    """Chunks of `uint8`: `_FORWARD` where a PAM starts, `_REVERSE` where the lowest letter of a reverse one lies."""
    positions = len(letters) - PAM_LENGTH + 1
    for offset in range(0, max(positions, 0), _SCAN_CHUNK):
        size = min(_SCAN_CHUNK, positions - offset)
        chunk = letters[offset : offset + size + PAM_LENGTH - 1].tobytes()
        either: np.ndarray | None = None
        for table in tables:
            fits = np.frombuffer(chunk.translate(table), dtype=np.uint8)
            found = fits[:size] & (_FORWARD | _REVERSE)
            for index in range(1, PAM_LENGTH):
                found &= fits[index : index + size] >> index
            either = found if either is None else either | found
        assert either is not None
        yield offset, either
