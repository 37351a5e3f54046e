"""Batches whose scores do not depend on what else is in them.

Matrix kernels treat the last rows of a batch that does not fill their blocks in another order than whole blocks, so
the last bits of a score depend on the batch it came in. In batches of whole blocks every row is computed alike.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

__all__ = ["ROWS", "whole_blocks"]

ROWS = 64  # a multiple of the blocks of all kernels met so far (16)


def whole_blocks(rows: np.ndarray, batch_size: int) -> Iterator[tuple[slice, np.ndarray]]:
    """Cut rows into batches of whole blocks; the last is filled up with copies of its last row.

    Args:
        rows (`np.ndarray`): One row an input.
        batch_size (`int`): Rows a batch; rounded up to whole blocks.

    Yields:
        `tuple[slice, np.ndarray]`: which rows these are, and the batch; only the first `stop - start` count.

    Examples:
        >>> [(part, len(batch)) for part, batch in whole_blocks(np.zeros((70, 3)), 10)]
        [(slice(0, 64, None), 64), (slice(64, 70, None), 64)]
    """
    size = -(-batch_size // ROWS) * ROWS
    for start in range(0, len(rows), size):
        part = rows[start : start + size]
        missing = -len(part) % ROWS
        yield (
            slice(start, start + len(part)),
            np.concatenate([part, part[-1:].repeat(missing, 0)]) if missing else part,
        )
