"""The table of a target scan on disk: written in blocks, resumable although a pair may have any number of rows.

Beside the unfinished table stands `<output>.progress`: its first line the settings of the run, then one line a block
with the pairs and the rows done so far. A resumed run goes on from the last line that the table has reached, and does
not write again the rows of the block that a kill interrupted.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import Any

from seqformers.tables import TableWriter

__all__ = ["ScanOutput"]


class ScanOutput:
    """A `TableWriter` that knows how many pairs its rows stand for.

    Args:
        path (`str` or `Path`): Table to write.
        columns (`Sequence[str]`): Its columns.
        settings (`dict`): What the rows depend on; a resumed run must have the same.
        overwrite (`bool`): Replace what is there.
        resume (`bool`): Go on with an interrupted run.

    Raises:
        ValueError: the interrupted run had other settings.
    """

    def __init__(
        self,
        path: str | Path,
        columns: Sequence[str],
        settings: dict[str, Any],
        *,
        overwrite: bool = False,
        resume: bool = False,
    ):
        self._table = TableWriter(path, columns, overwrite=overwrite, resume=resume)
        self.finished = self._table.finished
        self._log = self._table.path.with_name(self._table.path.name + ".progress")
        self.pairs, self.rows = 0, 0
        self._skip_rows = 0
        if self.finished:
            return
        header = json.dumps(settings, sort_keys=True)
        if not resume:
            self._log.unlink(missing_ok=True)
        if resume and self._log.exists():
            self._go_on(header)
        elif self._table.rows_done:
            raise ValueError(f"{self._log} is missing, so the run cannot go on; pass --overwrite to start again")
        self._file = self._log.open("a", encoding="utf-8")
        if not self._log.stat().st_size:
            self._file.write(header + "\n")
            self._file.flush()

    def _go_on(self, header: str) -> None:
        found, *blocks = self._log.read_text(encoding="utf-8").splitlines() or [header]
        if found != header:
            raise ValueError(
                f"{self._log}: the interrupted run had other inputs or options; repeat that call, or pass "
                f"--overwrite\n  then: {found}\n  now:  {header}"
            )
        done = [tuple(map(int, block.split())) for block in blocks if len(block.split()) == 2]
        reached = [(pairs, rows) for pairs, rows in done if rows <= self._table.rows_done]
        self.pairs, self.rows = reached[-1] if reached else (0, 0)
        self._skip_rows = self._table.rows_done - self.rows

    def skip(self, pairs: Iterator[Any]) -> int:
        """Drop the pairs that are done already from the front of `pairs`; return how many."""
        return sum(1 for _ in islice(pairs, self.pairs))

    def write(self, rows: list[dict[str, Any]], pairs: int) -> None:
        """Append the rows of the next `pairs` pairs."""
        again = min(self._skip_rows, len(rows))
        self._skip_rows -= again
        self._table.write(rows[again:])
        self.pairs, self.rows = self.pairs + pairs, self.rows + len(rows)
        self._file.write(f"{self.pairs} {self.rows}\n")
        self._file.flush()

    def __enter__(self) -> ScanOutput:
        self._table.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._table.__exit__(kind, error, trace)
        if not self.finished:
            self._file.close()
            if kind is None:
                self._log.unlink()
