"""Random numbers that are a function of their place: seed, epoch, item and use, in any order and in any process.

A generator gives its numbers one after the other, so a stream depends on who drew before. Here a number is the hash of
a counter (the finalizer of SplitMix64: Steele, Lea, Flood 2014): workers, processes and a resumed run need no state.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["keys_of", "uniform"]

_STEP = np.uint64(0x9E3779B97F4A7C15)
_MIX = (np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB))


def _hash(x: NDArray[np.uint64]) -> NDArray[np.uint64]:
    x = (x ^ (x >> np.uint64(30))) * _MIX[0]
    x = (x ^ (x >> np.uint64(27))) * _MIX[1]
    return x ^ (x >> np.uint64(31))


def keys_of(*parts: Any) -> NDArray[np.uint64]:
    """Keys of items named by whole numbers or arrays of them, broadcast against each other; `uint64`.

    Examples:
        >>> one, other = keys_of(7, [0, 1]).tolist()
        >>> one != other, one == keys_of(7, 0).tolist()
        (True, True)
    """
    key = np.zeros((), np.uint64)
    with np.errstate(over="ignore"):
        for part in parts:
            number = np.asarray(part)
            number = number if number.dtype == np.uint64 else number.astype(np.int64).view(np.uint64)
            key = _hash((key ^ number) + _STEP * np.uint64(1 + len(parts)))
    return key


def uniform(keys: NDArray[np.uint64], use: int) -> NDArray[np.float64]:
    """A number in [0, 1) for each key; another `use` gives an independent one. Shape of `keys`."""
    return (keys_of(keys, use) >> np.uint64(11)).astype(np.float64) * 2.0**-53
