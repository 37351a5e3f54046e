"""The letters of a record too long to be held: on disk, cut and measured as a text is."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator

__all__ = ["LongLetters"]

_PART = 1 << 20


class LongLetters:
    """Letters in a file without a name, which goes when the object does (where: the `TMPDIR` of the system).

    `len(letters)` and `letters[start:stop]`, which reads that stretch, do what they do of a `str`.

    Args:
        parts (iterable of `bytes`): The first of its letters.

    Examples:
        >>> letters = LongLetters([b"ACGT", b"TTGA"])
        >>> len(letters), letters[2:6], letters[-3:]
        (8, 'GTTT', 'TGA')
    """

    def __init__(self, parts: Iterable[bytes] = ()):
        self._file = tempfile.TemporaryFile()  # noqa: SIM115  # it lives as long as the object
        self._length = 0
        self.extend(parts)

    def extend(self, parts: Iterable[bytes]) -> None:
        """Put letters behind the last one."""
        self._file.seek(self._length)
        for part in parts:
            self._length += self._file.write(part)

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, which: slice) -> str:
        start, stop, step = which.indices(self._length)
        if step != 1:
            raise ValueError(f"letters on disk are read forwards, one after another, not in steps of {step}")
        self._file.seek(start)
        return self._file.read(max(0, stop - start)).decode("ascii")

    def parts(self) -> Iterator[str]:
        """All letters in order, a megabyte at a time."""
        for start in range(0, self._length, _PART):
            yield self[start : start + _PART]
