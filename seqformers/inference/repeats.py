"""Which ids of a long file come again, in memory that does not grow with it."""

from __future__ import annotations

from array import array
from itertools import islice
from tempfile import SpooledTemporaryFile
from types import TracebackType

import numpy as np

__all__ = ["RepeatedIds"]

_AT_ONCE = 1 << 17  # hashes in memory
_IN_MEMORY = 1 << 20  # bytes of a temporary file before it goes to the disk


class RepeatedIds:
    """Ids in the order they come; asked at the end which have come before.

    Eight bytes of each (a hash) and its letters go to temporary files; the hashes are compared in as many rounds as
    memory asks for, each over those that leave one remainder.

    Examples:
        >>> with RepeatedIds() as ids:
        ...     for name in ("a", "b", "a", "c", "a"):
        ...         ids.add(name)
        ...     ids.found(most=1)
        (2, ['a'])
    """

    def __init__(self) -> None:
        self._hashes = SpooledTemporaryFile(_IN_MEMORY)  # noqa: SIM115, closed by __exit__
        self._names = SpooledTemporaryFile(  # noqa: SIM115
            _IN_MEMORY, "w+", encoding="utf-8", errors="backslashreplace", newline="\n"
        )
        self._waiting = array("q")
        self._total = 0

    def add(self, name: str) -> None:
        """The next id."""
        self._names.write(f"{name}\n")
        self._waiting.append(hash(name))
        self._total += 1
        if len(self._waiting) >= _AT_ONCE:
            self._flush()

    def found(self, most: int) -> tuple[int, list[str]]:
        """How many ids had come before, and the first of them, at most `most`."""
        self._flush()
        rounds = max(1, -(-self._total // _AT_ONCE))
        count, first = 0, np.zeros(0, np.int64)
        for remainder in range(rounds):
            hashes, places = self._hashes_of(remainder, rounds)
            order = np.argsort(hashes, kind="stable")
            again = places[order[1:][hashes[order[1:]] == hashes[order[:-1]]]]
            count += len(again)
            first = np.sort(np.concatenate([first, again]))[:most]
        return count, self._names_at(first.tolist())

    def _flush(self) -> None:
        self._hashes.write(self._waiting.tobytes())
        del self._waiting[:]

    def _hashes_of(self, remainder: int, rounds: int) -> tuple[np.ndarray, np.ndarray]:
        """Hashes with a remainder, and their places in the order they came."""
        self._hashes.seek(0)
        hashes, places, at = [], [], 0
        while block := self._hashes.read(8 * _AT_ONCE):
            values = np.frombuffer(block, np.uint64)
            mine = np.flatnonzero(values % np.uint64(rounds) == remainder)
            hashes.append(values[mine])
            places.append(at + mine)
            at += len(values)
        if not hashes:
            return np.zeros(0, np.uint64), np.zeros(0, np.int64)
        return np.concatenate(hashes), np.concatenate(places)

    def _names_at(self, places: list[int]) -> list[str]:
        self._names.seek(0)
        names, at = [], 0
        for place in places:
            names.append(next(islice(self._names, place - at, None)).rstrip("\n"))
            at = place + 1
        return names

    def __enter__(self) -> RepeatedIds:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for file in (self._hashes, self._names):
            file.close()
