"""The table of a target scan on disk: written in blocks, resumable although a pair may have any number of rows.

Beside the unfinished table stands `<output>.partial.progress`, one line a block: pairs, rows, and pairs above 0.5 so
far. A resumed run goes on from the last line that the table has reached, and does not write again the rows of the
block that a kill interrupted.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from seqformers.tables import TableWriter
from seqformers.targets.records import ScanReport

__all__ = ["ScanOutput"]


class ScanOutput:
    """A `TableWriter` that knows how many pairs its rows stand for.

    Args:
        path (`str` or `Path`): Table to write.
        schema (`dict`): Its columns and their types.
        report (`ScanReport`): Its counts go on with those of the interrupted run.
        options: As of `TableWriter`.
    """

    def __init__(self, path: str | Path, schema: dict[str, type], report: ScanReport, **options: Any):
        path = Path(path)
        self._log = path.with_name(path.name + ".partial.progress")
        self._report, self._file = report, None
        begun = path.with_name(path.name + ".partial").exists()
        self._table = TableWriter(path, schema, job="scan-targets", **options)
        self.finished = report.finished = self._table.finished
        self._rows = self._skip_rows = 0
        if options.get("resume") and begun and not self.finished:
            self._go_on()

    _file: IO[str] | None

    def _go_on(self) -> None:
        lines = self._log.read_text(encoding="utf-8").splitlines(keepends=True) if self._log.exists() else []
        blocks = [tuple(map(int, line.split())) for line in lines if line.endswith("\n")]
        reached = [block for block in blocks if block[1] <= self._table.rows_done]
        report = self._report
        report.pairs, self._rows, report.high = reached[-1] if reached else (0, 0, 0)
        report.resumed = report.pairs
        self._skip_rows = self._table.rows_done - self._rows

    def skip(self, pairs: Iterator[Any]) -> None:
        """Drop the pairs that are done already from the front of `pairs`."""
        next(islice(pairs, self._report.resumed, self._report.resumed), None)

    def write(self, rows: list[dict[str, Any]]) -> None:
        """Append the rows of the pairs that the report has counted since the last call."""
        if self._file is None and not self._report.resumed:
            self._log.unlink(missing_ok=True)  # of a run that this one does not go on with
        again = min(self._skip_rows, len(rows))
        self._skip_rows -= again
        self._table.write(rows[again:])
        self._rows += len(rows)
        if self._file is None:
            self._file = self._log.open("a", encoding="utf-8")
        self._file.write(f"{self._report.pairs} {self._rows} {self._report.high}\n")
        self._file.flush()

    def __enter__(self) -> ScanOutput:
        self._table.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._table.__exit__(kind, error, trace)
        if self._file is not None:
            self._file.close()
        if kind is None:
            self._log.unlink(missing_ok=True)
