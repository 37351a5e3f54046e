"""DNA at two bits a letter in one memory-mapped file, with the stretches of unknown letters beside it.

Four letters lie in a byte, the first in its lowest bits; A, C, G, T are 0, 1, 2, 3. Every record begins at a whole
byte. A letter that is none of these is stored as A and listed as part of an unknown stretch, so that it reads as N.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["FILES", "TwoBitLetters", "write_two_bit"]

FILES = ("letters.2bit", "unknown.npy", "letters.json")
_LETTERS, _UNKNOWN, _FACTS = FILES
_FORMAT = "2-bit, A C G T = 0 1 2 3, four letters a byte, first in the lowest bits, records at whole bytes"
_BLOCK = 1 << 24  # letters packed at once; a multiple of four
_N = ord("N")

_CODES = np.full(256, 4, np.uint8)
_CODES[list(b"ACGT")] = range(4)
# The four letters of each byte, as one 32-bit number in memory order.
_QUADS = (
    np.frombuffer(b"ACGT", np.uint8)[np.arange(256)[:, None] >> np.arange(0, 8, 2) & 3].copy().view(np.uint32)[:, 0]
)
_COMPLEMENT = np.arange(256, dtype=np.uint8)
_COMPLEMENT[list(b"ACGT")] = list(b"TGCA")


def write_two_bit(records: Iterable[NDArray[np.uint8]], folder: str | Path) -> NDArray[np.int64]:
    """Write records (upper-case ASCII letters) into `folder`; return where each begins, in letters of the file.

    Args:
        records (iterable of `uint8` arrays): Letters of each record; read once, a block at a time.
        folder (`str` or `Path`): Gets `letters.2bit`, `unknown.npy` and `letters.json` (format, sizes, checksums).

    Returns:
        `int64` array of shape `(records,)`: starts, each a multiple of four.
    """
    folder = Path(folder)
    digest, starts, place = hashlib.sha256(), [], 0
    first: list[NDArray[np.int64]] = []
    last: list[NDArray[np.int64]] = []
    letters = 0
    with (folder / _LETTERS).open("wb") as file:
        for record in records:
            starts.append(place)
            for begin in range(0, len(record), _BLOCK):
                codes = _CODES[record[begin : begin + _BLOCK]]
                edges = np.diff((codes == 4).view(np.int8), prepend=np.int8(0), append=np.int8(0))
                first.append(np.flatnonzero(edges == 1) + place + begin)
                last.append(np.flatnonzero(edges == -1) + place + begin)
                data = _pack(codes)
                digest.update(data)
                file.write(data)
            letters += len(record)
            place += -(-len(record) // 4) * 4
    unknown = np.stack([np.concatenate([*first, _NOTHING]), np.concatenate([*last, _NOTHING])])
    np.save(folder / _UNKNOWN, unknown)
    facts = {
        "format": _FORMAT,
        "letters": letters,
        "unknown": int((unknown[1] - unknown[0]).sum()),
        "bytes": place // 4,
        "sha256": {_LETTERS: digest.hexdigest(), _UNKNOWN: _sha256(folder / _UNKNOWN)},
    }
    (folder / _FACTS).write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
    return np.array(starts, dtype=np.int64)


_NOTHING = np.zeros(0, np.int64)


def _pack(codes: NDArray[np.uint8]) -> bytes:
    codes = np.concatenate([codes & 3, np.zeros(-len(codes) % 4, np.uint8)]).reshape(-1, 4)
    return (codes[:, 0] | codes[:, 1] << 2 | codes[:, 2] << 4 | codes[:, 3] << 6).tobytes()


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@dataclass
class TwoBitLetters:
    """Letters that `write_two_bit` wrote; spans are cut for whole batches at once.

    Args:
        packed (`uint8` array of shape `(bytes,)`): The memory map.
        unknown (`int64` array of shape `(2, stretches)`): First letter and end of each unknown stretch, in order.
        facts (`dict`): Content of `letters.json`.
        folder (`Path`): Where the files lie.
    """

    packed: NDArray[np.uint8]
    unknown: NDArray[np.int64]
    facts: dict[str, object]
    folder: Path

    def __post_init__(self) -> None:
        self._before = np.concatenate([[0], np.cumsum(self.unknown[1] - self.unknown[0])])

    @classmethod
    def open(cls, folder: str | Path) -> TwoBitLetters:
        """Map the letters of a folder.

        Raises:
            ValueError: a file is missing or has another size than was written.
        """
        folder = Path(folder)
        missing = [name for name in FILES if not (folder / name).is_file()]
        if missing:
            raise ValueError(f"{folder} has no {missing[0]}; build it again with `seqformers build genomes`")
        facts = json.loads((folder / _FACTS).read_text(encoding="utf-8"))
        size = (folder / _LETTERS).stat().st_size
        if facts.get("format") != _FORMAT or size != facts["bytes"]:
            raise ValueError(
                f"{folder / _LETTERS} is not what {_FACTS} says ({size:,} bytes, not {facts.get('bytes'):,}): an "
                "incomplete copy? copy or build it again"
            )
        packed = np.memmap(folder / _LETTERS, dtype=np.uint8, mode="r") if size else np.zeros(0, np.uint8)
        return cls(packed, np.load(folder / _UNKNOWN), facts, folder)

    def __reduce__(self) -> Any:
        """Worker processes map the file themselves; a pickled memory map would be all letters."""
        return TwoBitLetters.open, (self.folder.resolve(),)

    def verify(self) -> None:
        """Raise `ValueError` for a file whose SHA-256 is not the one written; reads all letters."""
        sums: dict[str, str] = self.facts["sha256"]  # type: ignore[assignment]
        for name, wanted in sums.items():
            if _sha256(self.folder / name) != wanted:
                raise ValueError(f"{self.folder / name} has changed since it was written; build it again")

    def count_unknown(self, starts: NDArray[np.int64], lengths: NDArray[np.int64]) -> NDArray[np.int64]:
        """Letters other than A, C, G, T in each span, shape `(n,)`."""
        return self._unknown_before(starts + lengths) - self._unknown_before(starts)

    def _unknown_before(self, places: NDArray[np.int64]) -> NDArray[np.int64]:
        first, end = self.unknown
        if not len(first):
            return np.zeros(len(places), np.int64)
        stretch = np.searchsorted(first, places, side="right") - 1
        known = np.maximum(stretch, 0)
        inside = np.minimum(places, end[known]) - first[known]
        return np.where(stretch < 0, 0, self._before[known] + inside)

    def take(
        self, starts: NDArray[np.int64], lengths: NDArray[np.int64], reverse: NDArray[np.bool_] | None = None
    ) -> NDArray[np.uint8]:
        """Cut spans out of the file.

        Args:
            starts (`int64` array of shape `(n,)`): First letter of each span, in letters of the file.
            lengths (`int64` array of shape `(n,)`): Letters of each span, at least 1.
            reverse (`bool` array of shape `(n,)`, *optional*): Which spans come as their reverse complement.

        Returns:
            `uint8` array of shape `(n, longest)`: ASCII letters, N where unknown and behind the end of a span.
        """
        width = int(lengths.max(initial=0))
        out = np.empty((len(starts), width), np.uint8)
        if not out.size:
            return out
        # One byte more than the letters need, since a span may begin anywhere in its first byte.
        place = (starts >> 2)[:, None] + np.arange(-(-width // 4) + 1)
        letters = _QUADS[self.packed[np.minimum(place, len(self.packed) - 1)]].view(np.uint8)
        for shift in range(4):
            rows = np.flatnonzero(starts & 3 == shift)
            out[rows] = letters[rows, shift : shift + width]
        unknown = np.flatnonzero(self.count_unknown(starts, lengths))
        if len(unknown):
            places = starts[unknown, None] + np.arange(width)
            stretch = np.maximum(np.searchsorted(self.unknown[0], places, side="right") - 1, 0)
            hidden = (places >= self.unknown[0][stretch]) & (places < self.unknown[1][stretch])
            out[unknown] = np.where(hidden, _N, out[unknown])
        if (lengths < width).any():
            out[np.arange(width) >= lengths[:, None]] = _N
        return out if reverse is None else reverse_complement(out, lengths, reverse)


def reverse_complement(
    letters: NDArray[np.uint8], lengths: NDArray[np.int64], which: NDArray[np.bool_]
) -> NDArray[np.uint8]:
    """Turn some rows of `(n, width)` letters into their reverse complement, in place; ends of short rows stay N."""
    rows = np.flatnonzero(which)
    if len(rows):
        back = lengths[rows, None] - 1 - np.arange(letters.shape[1])
        turned = _COMPLEMENT[np.take_along_axis(letters[rows], np.maximum(back, 0), axis=1)]
        letters[rows] = np.where(back >= 0, turned, _N)
    return letters
