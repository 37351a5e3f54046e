"""Windows over sequences as arrays: where they start, and the letters in them.

One helper for data sets and inference, so both cut a sequence in the same way. Sequences are `uint8` arrays of ASCII
letters (`letters_of`); positions are 0-based; nothing here loops over windows or letters.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

__all__ = [
    "evaluation_starts",
    "letters_of",
    "random_parts_starts",
    "strings_of_spans",
    "take_windows",
    "window_starts",
]

# Nucleotides are folded to the upper-case DNA letters; every other byte stays what it is.
_ROWS_AT_ONCE = 10_000
_FOLD = bytes.maketrans(b"abcdefghijklmnopqrstuvwxyzU", b"ABCDEFGHIJKLMNOPQRSTTVWXYZT")


def letters_of(sequence: str | bytes, *, fold: bool = True) -> NDArray[np.uint8]:
    """Return the letters of a sequence as an array (read-only).

    Args:
        sequence (`str` or `bytes`): ASCII letters.
        fold (`bool`, *optional*, defaults to `True`): Make them upper case and read U as T (nucleotides only).

    Examples:
        >>> letters_of("acgu").tobytes()
        b'ACGT'
    """
    data = sequence.encode("ascii") if isinstance(sequence, str) else sequence
    return np.frombuffer(data.translate(_FOLD) if fold else data, dtype=np.uint8)


def window_starts(
    length: int, window: int, step: int | None = None, *, tail: Literal["cover", "drop"] = "cover"
) -> NDArray[np.int64]:
    """Return the starts of the windows that tile a sequence.

    Args:
        length (`int`): Letters in the sequence.
        window (`int`): Letters in a window.
        step (`int`, *optional*, defaults to `window`): Distance between starts.
        tail (`"cover"` or `"drop"`, *optional*): What becomes of letters behind the last whole window: one more window
            flush with the end covers them, or they are dropped. A sequence shorter than the window gets one (short)
            window with `"cover"` and none with `"drop"`; an empty one gets none.

    Examples:
        >>> window_starts(10, 4).tolist(), window_starts(10, 4, tail="drop").tolist(), window_starts(3, 4).tolist()
        ([0, 4, 6], [0, 4], [0])
    """
    step = window if step is None else step
    if window < 1 or step < 1:
        raise ValueError(f"window and step must be at least 1, not {window} and {step}")
    starts = np.arange(0, max(0, length - window + 1), step, dtype=np.int64)
    if tail == "drop" or length == 0:
        return starts
    last = max(0, length - window)
    return starts if starts.size and starts[-1] == last else np.append(starts, last)


def random_parts_starts(length: int, window: int, parts: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Return `parts` sorted starts of windows that do not overlap, every such choice equally likely.

    Args:
        length (`int`): Letters in the sequence, at least `parts * window`.
        window (`int`): Letters in a window.
        parts (`int`): Number of windows.
        rng (`numpy.random.Generator`): Source of chance.
    """
    if length < parts * window:
        raise ValueError(f"{parts} windows of {window} do not fit into {length} letters without overlap")
    gaps = np.sort(rng.choice(length - (window - 1) * parts, parts, replace=False))
    return gaps + np.arange(parts, dtype=np.int64) * (window - 1)


def evaluation_starts(
    length: int, window: int, rng: np.random.Generator, *, windows: int = 64, legacy_rounding: bool = False
) -> NDArray[np.int64]:
    """Return the starts of the windows that stand for one record in a test set (virBERT thesis, section 3.3).

    A record of at least `windows * window` letters gets `windows` random windows without overlap. A shorter one is
    tiled from a random start within its first tenth; the tail is dropped.

    Args:
        length (`int`): Letters in the record.
        window (`int`): Letters in a window.
        rng (`numpy.random.Generator`): Source of chance.
        windows (`int`, *optional*, defaults to 64): Windows of a long record.
        legacy_rounding (`bool`, *optional*, defaults to `False`): Round the random share to 2 decimals (11 possible
            starts), and let it push a record of barely one window out of the set, as the original does. Otherwise the
            start never costs the last whole window.
    """
    if length >= windows * window:
        return random_parts_starts(length, window, windows, rng)
    share = rng.uniform(0, 0.1)
    first = int(round(share, 2) * length) if legacy_rounding else int(min(share * length, max(0, length - window)))
    return np.arange(first, max(first, length - window + 1), window, dtype=np.int64)


def take_windows(letters: NDArray[np.uint8], starts: NDArray[np.int64], window: int) -> NDArray[np.uint8]:
    """Copy windows out of a sequence.

    Args:
        letters (`uint8` array of shape `(length,)`): The sequence; a memory map will do.
        starts (`int64` array of shape `(n,)`): Every start is at most `length - window`.
        window (`int`): Letters in a window.

    Returns:
        `uint8` array of shape `(n, window)`.
    """
    if len(starts) == 0:
        return np.zeros((0, window), dtype=np.uint8)
    return np.lib.stride_tricks.sliding_window_view(letters, window)[starts]


def strings_of_spans(letters: NDArray[np.uint8], starts: NDArray[np.int64], lengths: NDArray[np.int64]) -> pa.Array:
    """Return spans of different lengths, cut out of `letters`, as an Arrow string array.

    Args:
        letters (`uint8` array of shape `(length,)`): The sequence; a memory map will do.
        starts (`int64` array of shape `(n,)`): First letter of each span.
        lengths (`int64` array of shape `(n,)`): Letters of each span.
    """
    offsets = np.zeros(len(lengths) + 1, dtype=np.int64)
    np.cumsum(lengths, out=offsets[1:])
    # Copying whole rows of the longest length and masking their ends is 20 times faster than an index a letter.
    width = int(lengths.max(initial=0))
    data = np.empty(offsets[-1], dtype=np.uint8)
    inside = np.asarray(starts) + width <= len(letters)
    for first in range(0, len(starts), _ROWS_AT_ONCE):
        part = slice(first, first + _ROWS_AT_ONCE)
        rows = np.zeros((len(starts[part]), width), dtype=np.uint8)
        rows[inside[part]] = take_windows(letters, starts[part][inside[part]], width)
        for i in np.flatnonzero(~inside[part]):  # only spans at the very end of the letters
            end = letters[starts[first + i] :]
            rows[i, : len(end)] = end
        data[offsets[first] : offsets[first + len(rows)]] = rows[np.arange(width) < lengths[part, None]]
    return _strings(offsets, data)


def _strings(offsets: NDArray[np.int64], data: NDArray[np.uint8]) -> pa.Array:
    if offsets[-1] > np.iinfo(np.int32).max:
        return pa.LargeStringArray.from_buffers(len(offsets) - 1, pa.py_buffer(offsets), pa.py_buffer(data))
    small = offsets.astype(np.int32)
    return pa.StringArray.from_buffers(len(offsets) - 1, pa.py_buffer(small), pa.py_buffer(data))
