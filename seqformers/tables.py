"""Write result tables row by row: TSV, CSV, JSON lines or Parquet, in input order, resumable after a kill.

Columns and their types are known before the first row, so a table is the same whatever its rows are: one whose values
are all missing, one written in two goes, one without any rows. Rows go to `<output>.partial` (Parquet: a folder of
row groups), which becomes `<output>` only when all rows are there, so a finished file is always complete; see
`seqformers.files` for what happens to what was there before.
"""

from __future__ import annotations

import base64
import csv
import json
import math
import shutil
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from seqformers.files import Output

__all__ = ["TABLE_SUFFIXES", "RowFile", "TableWriter", "join_tables"]

TABLE_SUFFIXES = (".tsv", ".csv", ".jsonl", ".parquet")
_ROWS_PER_PART = 50_000
_COPIED_AT_ONCE = 1 << 20


class RowFile:
    """Rows appended to a file of one format; what an earlier writer left whole is kept, what it tore is dropped.

    Args:
        path (`Path`): File that grows; of Parquet a folder of parts, made a file by `join`.
        schema (`Mapping[str, type]`): Column -> `str`, `int`, `float`, `bool` or `list` (of float32 numbers); or an
            Arrow type. Any value may be missing (None).
        format (`str`): `tsv`, `csv`, `jsonl` or `parquet`.

    Attributes:
        rows_done (`int`): Whole rows that were there when it was opened.

    Raises:
        ValueError: what is there has other columns.
    """

    def __init__(self, path: Path, schema: Mapping[str, Any], format: str):
        self.path, self.schema, self.format = path, dict(schema), format
        self._buffer: list[dict[str, Any]] = []
        self._file: IO[str] | None = None
        if format == "parquet":
            self.rows_done = self._open_parts()
        else:
            self.rows_done = self._open_text()

    def write(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Append `rows`, each of which holds every column; text reaches the disk before this returns."""
        if self.format == "parquet":
            self._buffer.extend({name: row[name] for name in self.schema} for row in rows)
            while len(self._buffer) >= _ROWS_PER_PART:
                self._write_part()
            return
        assert self._file is not None
        if self.format == "jsonl":
            lines = (json.dumps({name: row[name] for name in self.schema}, allow_nan=False) for row in rows)
            self._file.writelines(line + "\n" for line in lines)
        else:
            self._csv().writerows([_text(row[name]) for name in self.schema] for row in rows)
        self._file.flush()

    def close(self) -> None:
        """Bring everything to the disk."""
        if self._buffer:
            self._write_part()
        if self._file is not None:
            self._file.close()

    def join(self, whole: Path) -> Path:
        """Write the parts of a closed Parquet table as one file, whose bytes do not tell where it was interrupted."""
        return _join_parquet(self._parts(), arrow_schema(self.schema), whole)

    def _csv(self) -> Any:
        assert self._file is not None
        return csv.writer(self._file, delimiter=self._separator, lineterminator="\n")

    @property
    def _separator(self) -> str:
        return "\t" if self.format == "tsv" else ","

    def _open_text(self) -> int:
        header = 0 if self.format == "jsonl" else 1
        whole = self._cut_torn_row()
        self._file = self.path.open("a", encoding="utf-8", newline="")
        if header and whole == 0:
            self._csv().writerow(self.schema)
            self._file.flush()
        elif header:
            with self.path.open(encoding="utf-8", newline="") as file:
                found = next(csv.reader(file, delimiter=self._separator))
            if found != list(self.schema):
                raise ValueError(
                    f"{self.path} has columns {', '.join(found)}, not {', '.join(self.schema)}; pass --overwrite to "
                    "start again"
                )
        return max(0, whole - header)

    def _cut_torn_row(self) -> int:
        """Drop a last row that a kill left without its end; return how many whole rows remain, the header included.

        A quoted field may hold line ends, so a row ends where a line ends outside quotes.
        """
        if not self.path.exists():
            return 0
        rows = end = place = quotes = 0
        with self.path.open("rb+") as file:
            for line in file:
                place += len(line)
                quotes += line.count(b'"') if self.format != "jsonl" else 0
                if line.endswith(b"\n") and quotes % 2 == 0:
                    rows, end = rows + 1, place
            file.truncate(end)
        return rows

    def _parts(self) -> list[Path]:
        return sorted(self.path.glob("part-*.parquet"))

    def _open_parts(self) -> int:
        """Count the rows of whole parts; the first part that cannot be read, and all after it, are written again."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        self.path.mkdir(exist_ok=True)
        done, broken = 0, False
        for part in self._parts():
            try:
                found = None if broken else pq.read_table(part)
            except (pa.ArrowInvalid, OSError):
                found = None
            if found is None:
                broken = True
                part.unlink()
                continue
            if found.column_names != list(self.schema):
                raise ValueError(
                    f"{part} has columns {', '.join(found.column_names)}, not {', '.join(self.schema)}; pass "
                    "--overwrite in place of --resume to start again"
                )
            done += found.num_rows
        return done

    def _write_part(self) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        rows, self._buffer = self._buffer[:_ROWS_PER_PART], self._buffer[_ROWS_PER_PART:]
        part = self.path / f"part-{len(self._parts()):06d}.parquet"
        torn = part.with_suffix(".torn")
        pq.write_table(pa.Table.from_pylist(rows, schema=arrow_schema(self.schema)), torn)
        torn.replace(part)


class TableWriter:
    """One table as an output; a context manager that finishes it only when it is left without an error.

    Nothing of an earlier or interrupted table is touched before the first row comes.

    Args:
        path (`str` or `Path`): Output; the suffix decides the format: `.tsv`, `.csv`, `.jsonl` or `.parquet`.
        schema (`Mapping[str, type]`): Column -> `str`, `int`, `float`, `bool`, `list` (of float32 numbers) or an Arrow
            type, in order.
        job (`str`): What writes it, for the settings.
        inputs (iterable of `str` or `Path`): What the job reads; the output must be none of it.
        settings (`Mapping`, *optional*): What decides the rows; a resume with others is refused.
        overwrite (`bool`): Replace an existing output once the new one is whole.
        resume (`bool`): Go on after the rows of an earlier, interrupted run; a finished output is left as it is.

    Attributes:
        rows_done (`int`): With `resume`: rows already there; the caller skips that many.
        finished (`bool`): The output is complete already and nothing is left to do.

    Raises:
        FileExistsError: the output is there and neither `overwrite` nor `resume` was given.
        ValueError: unknown suffix, the output is an input, or the interrupted table is of other settings or columns.
        OSError: another process writes it.

    Examples:
        >>> import tempfile, pathlib
        >>> path = pathlib.Path(tempfile.mkdtemp()) / "t.tsv"
        >>> with TableWriter(path, {"id": str, "score": float}) as table:
        ...     table.write([{"id": "a", "score": 0.5}])
        >>> path.read_text().split()
        ['id', 'score', 'a', '0.5']
    """

    def __init__(
        self,
        path: str | Path,
        schema: Mapping[str, Any],
        *,
        job: str = "table",
        inputs: Iterable[str | Path] = (),
        settings: Mapping[str, Any] | None = None,
        overwrite: bool = False,
        resume: bool = False,
    ):
        self.path = Path(path)
        if self.path.suffix not in TABLE_SUFFIXES:
            raise ValueError(f"cannot write {self.path.name}: use a name that ends in {_either(TABLE_SUFFIXES)}")
        self.schema = dict(schema)
        self.output = Output(path, job, inputs=inputs, settings=settings, overwrite=overwrite, resume=resume)
        self.finished = self.output.finished
        self._rows: RowFile | None = None
        self.rows_done = 0
        try:
            if resume and not self.finished:
                self.rows_done = self._opened().rows_done
        except BaseException:
            self.output.__exit__(None, None, None)
            raise

    @property
    def columns(self) -> list[str]:
        """Names of the columns."""
        return list(self.schema)

    def _opened(self) -> RowFile:
        if self._rows is None:
            self._rows = RowFile(self.output.start(), self.schema, self.path.suffix[1:])
        return self._rows

    def write(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Append `rows` (each holds every column); text reaches the disk before this returns.

        Raises:
            ValueError: a number is NaN or infinite, or a value does not fit its column.
        """
        rows = list(rows)
        for row in rows:
            for name, value in row.items():
                if isinstance(value, float) and not math.isfinite(value):
                    raise ValueError(f"the row {_named(row)} has no number in column {name!r} but {value}")
        if rows:
            self._opened().write(rows)

    def __enter__(self) -> TableWriter:
        self.output.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None and not self.finished:
                rows = self._opened()
                rows.close()
                parquet = self.path.suffix == ".parquet"
                self.output.finish(rows.join(self.output.partial / "whole") if parquet else None)
            elif self._rows is not None:
                self._rows.close()
        finally:
            self.output.__exit__(kind, error, trace)


def join_tables(parts: Sequence[Path], whole: Path, format: str) -> Path:
    """Write tables with the same columns one after the other, as the table that one writer of all rows makes.

    Args:
        parts (`Sequence[Path]`): Finished tables, at least one.
        whole (`Path`): File to write.
        format (`str`): `tsv`, `csv`, `jsonl` or `parquet`.

    Raises:
        ValueError: a table has other columns than the first.
    """
    if format == "parquet":
        schemas = [_written_schema(part) for part in parts]
        for part, schema in zip(parts, schemas, strict=True):
            if schema != schemas[0]:
                raise ValueError(f"{part} has other columns than {parts[0]}")
        return _join_parquet(parts, schemas[0], whole)
    header: bytes | None = None
    with whole.open("wb") as file:
        for part in parts:
            with part.open("rb") as rows:
                found = b"" if format == "jsonl" else _header(rows)
                if header is None:
                    file.write(found)
                    header = found
                elif found != header:
                    raise ValueError(f"{part} has other columns than {parts[0]}")
                shutil.copyfileobj(rows, file, _COPIED_AT_ONCE)
    return whole


def _header(rows: IO[bytes]) -> bytes:
    """The first row of a table as it stands there; a quoted name may hold line ends."""
    header = rows.readline()
    while header.count(b'"') % 2 and (line := rows.readline()):
        header += line
    return header


def _written_schema(path: Path) -> Any:
    """The Arrow schema a Parquet file was written with; reading gives the items of lists another name."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    return pa.ipc.read_schema(pa.py_buffer(base64.b64decode(pq.read_metadata(path).metadata[b"ARROW:schema"])))


def _join_parquet(parts: Iterable[Path], schema: Any, whole: Path) -> Path:
    """One file of all rows in row groups of one size, holding no more than a group and a bit in memory."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    waiting = schema.empty_table()
    with pq.ParquetWriter(whole, schema) as writer:
        for part in parts:
            file = pq.ParquetFile(part)
            for group in range(file.num_row_groups):
                waiting = pa.concat_tables([waiting, file.read_row_group(group)]).combine_chunks()
                while len(waiting) >= _ROWS_PER_PART:
                    writer.write_table(waiting.slice(0, _ROWS_PER_PART))
                    waiting = waiting.slice(_ROWS_PER_PART)
        if len(waiting):
            writer.write_table(waiting.combine_chunks())
    return whole


def arrow_schema(schema: Mapping[str, Any]) -> Any:
    """The Arrow schema of columns given as in `RowFile`."""
    import pyarrow as pa

    known = {str: pa.string(), int: pa.int64(), float: pa.float64(), bool: pa.bool_(), list: pa.list_(pa.float32())}
    return pa.schema([(name, known[kind] if isinstance(kind, type) else kind) for name, kind in schema.items()])


def _text(value: Any) -> Any:
    return "" if value is None else value


def _named(row: Mapping[str, Any]) -> str:
    return repr(row.get("id", next(iter(row.values()), "")))


def _either(names: Sequence[str]) -> str:
    return f"{', '.join(names[:-1])} or {names[-1]}"
