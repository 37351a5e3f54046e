"""Write result tables row by row: TSV, JSON lines or Parquet, in input order, resumable after a kill.

Rows go to `<output>.partial` (Parquet: a folder of row groups of that name), which becomes `<output>` only when all
rows are there, so a finished file is always complete.
"""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Any

__all__ = ["TableWriter", "refuse_existing"]

_ROWS_PER_PART = 50_000


def refuse_existing(path: str | Path, *, overwrite: bool = False, resume: bool = False) -> Path:
    """Return `path`, or raise `FileExistsError` saying how to go on when it is already there.

    Args:
        path (`str` or `Path`): File or folder about to be written.
        overwrite (`bool`): Delete what is there.
        resume (`bool`): Keep what is there.
    """
    path = Path(path)
    if path.exists() and not resume:
        if not overwrite:
            raise FileExistsError(f"{path} exists; pass --overwrite to replace it or --resume to go on with it")
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    return path


class TableWriter:
    """Append rows to a table; a context manager that finishes the file only when it is left without an error.

    Args:
        path (`str` or `Path`): Output; the suffix decides the format: `.tsv`, `.csv`, `.jsonl` or `.parquet`.
        columns (`Sequence[str]`): Column names, in order.
        overwrite (`bool`): Replace an existing output.
        resume (`bool`): Go on after the rows of an earlier, interrupted run; a finished output is left as it is.

    Attributes:
        rows_done (`int`): Rows already there when opened; the caller skips that many.
        finished (`bool`): The output is complete already and nothing is left to do.

    Raises:
        FileExistsError: the output is there and neither `overwrite` nor `resume` was given.
        ValueError: unknown suffix, or the interrupted table has other columns.

    Examples:
        >>> import tempfile, pathlib
        >>> path = pathlib.Path(tempfile.mkdtemp()) / "t.tsv"
        >>> with TableWriter(path, ["id", "score"]) as table:
        ...     table.write([{"id": "a", "score": 0.5}])
        >>> path.read_text().split()
        ['id', 'score', 'a', '0.5']
    """

    def __init__(self, path: str | Path, columns: Sequence[str], *, overwrite: bool = False, resume: bool = False):
        self.path = refuse_existing(path, overwrite=overwrite, resume=resume)
        self.columns = list(columns)
        self.format = self.path.suffix.lstrip(".")
        if self.format not in ("tsv", "csv", "jsonl", "parquet"):
            raise ValueError(f"cannot write {self.path.name}: use a name that ends in .tsv, .csv, .jsonl or .parquet")
        self.finished = resume and self.path.exists()
        self.partial = self.path.with_name(self.path.name + ".partial")
        self.rows_done = 0
        self._buffer: list[dict[str, Any]] = []
        self._file: IO[str] | None = None
        if not resume:
            self._discard_partial()
        if not self.finished:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._open_parts() if self.format == "parquet" else self._open_text()

    def write(self, rows: Iterable[dict[str, Any]]) -> None:
        """Append `rows` (dicts that hold every column); text reaches the disk before this returns."""
        if self.format == "parquet":
            self._buffer.extend(rows)
            if len(self._buffer) >= _ROWS_PER_PART:
                self._write_part()
            return
        assert self._file is not None
        if self.format == "jsonl":
            self._file.writelines(json.dumps({name: row[name] for name in self.columns}) + "\n" for row in rows)
        else:
            self._csv().writerows([_text(row[name]) for name in self.columns] for row in rows)
        self._file.flush()

    def __enter__(self) -> TableWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.finished:
            return
        if self._buffer:
            self._write_part()
        if self._file is not None:
            self._file.close()
        if kind is None:
            self._join_parts() if self.format == "parquet" else self.partial.replace(self.path)

    def _csv(self) -> Any:
        return csv.writer(self._file, delimiter="\t" if self.format == "tsv" else ",", lineterminator="\n")  # type: ignore[arg-type]

    def _discard_partial(self) -> None:
        if self.partial.is_dir():
            shutil.rmtree(self.partial)
        else:
            self.partial.unlink(missing_ok=True)

    def _open_text(self) -> None:
        header = 0 if self.format == "jsonl" else 1
        whole = self._cut_torn_line()
        self._file = self.partial.open("a", encoding="utf-8", newline="")
        if header and whole == 0:
            self._csv().writerow(self.columns)
        elif header:
            with self.partial.open(encoding="utf-8", newline="") as file:
                found = next(csv.reader(file, delimiter="\t" if self.format == "tsv" else ","))
            if found != self.columns:
                raise ValueError(
                    f"{self.partial} has columns {found}, not {self.columns}; pass --overwrite to restart"
                )
        self.rows_done = max(0, whole - header)

    def _cut_torn_line(self) -> int:
        """Drop a last line that a kill left without its end; return how many whole lines remain."""
        if not self.partial.exists():
            return 0
        lines = end = 0
        with self.partial.open("rb+") as file:
            for line in file:
                if line.endswith(b"\n"):
                    lines, end = lines + 1, end + len(line)
            file.truncate(end)
        return lines

    def _parts(self) -> list[Path]:
        return sorted(self.partial.glob("part-*.parquet"))

    def _open_parts(self) -> None:
        import pyarrow.parquet as pq

        self.partial.mkdir(exist_ok=True)
        self.rows_done = sum(pq.read_metadata(part).num_rows for part in self._parts())

    def _write_part(self) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        rows = [{name: row[name] for name in self.columns} for row in self._buffer]
        part = self.partial / f"part-{len(self._parts()):06d}.parquet"
        torn = part.with_suffix(".torn")
        pq.write_table(pa.Table.from_pylist(rows), torn)
        torn.replace(part)
        self._buffer.clear()

    def _join_parts(self) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        parts = self._parts()
        whole = self.path.with_name(self.path.name + ".whole")
        if not parts:
            pq.write_table(pa.table({name: pa.array([], pa.string()) for name in self.columns}), whole)
        else:
            with pq.ParquetWriter(whole, pq.read_schema(parts[0])) as writer:
                for part in parts:
                    writer.write_table(pq.read_table(part))
        whole.replace(self.path)
        shutil.rmtree(self.partial)


def _text(value: Any) -> Any:
    return "" if value is None else value
