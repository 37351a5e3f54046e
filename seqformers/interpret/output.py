"""Tables in the folder that `explain` writes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from seqformers.tables import RowFile

__all__ = ["ResumedTable"]


class ResumedTable:
    """A TSV table that skips the rows an interrupted run has written. Rows come in the same order each time.

    Args:
        path (`Path`): In the unfinished folder.
        schema (`Mapping[str, type]`): As in `RowFile`.
    """

    def __init__(self, path: Path, schema: Mapping[str, type]):
        self._rows, self._passed = RowFile(path, schema, "tsv"), 0

    def is_due(self, rows: int) -> bool:
        """Whether any of the next `rows` rows is missing."""
        return self._passed + rows > self._rows.rows_done

    def put(self, count: int, rows: Sequence[dict[str, Any]]) -> None:
        """Write those of the next `count` rows that are missing; `rows` may be empty when none is."""
        if self.is_due(count):
            assert len(rows) == count
            self._rows.write(rows[max(self._rows.rows_done - self._passed, 0) :])
        self._passed += count

    def __enter__(self) -> ResumedTable:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._rows.close()
