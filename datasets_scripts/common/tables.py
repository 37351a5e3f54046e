"""Read tables as users have them, row by row in constant memory: the one reader of tables.

Text with tabs, commas or semicolons, JSON lines, Parquet, Excel. Every row of the file comes out as one row, or is
refused (or counted) by its number; a cell is what the file says, never a guess.
"""

from __future__ import annotations

import datetime
import itertools
import json
import math
from collections.abc import Callable, Iterator, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from seqformers.datasets_scripts.common.remarks import OnError, Remarks
from seqformers.datasets_scripts.common.streams import (
    blocks_of,
    check_source,
    is_stream,
    numbered_lines,
    text_of,
    what_it_is,
)
from seqformers.datasets_scripts.common.table_lines import read_text_rows

__all__ = ["TABLE_SUFFIXES", "Table", "cell_text", "is_table", "open_table"]

TABLE_SUFFIXES = (".tsv", ".tab", ".txt", ".csv", ".jsonl", ".ndjson", ".parquet", ".xlsx")
_COMPRESSED = (".gz", ".bz2", ".xz", ".zst")
_MARKS = {b"PK\x03\x04": "xlsx", b"PAR1": "parquet"}
_BATCH = 1024  # rows
_BATCH_BYTES = 4 << 20
_CHUNK = 1 << 15
_EXCEL_ERRORS = {"#N/A", "#REF!", "#VALUE!", "#DIV/0!", "#NAME?", "#NULL!", "#NUM!"}

Row = tuple[int, dict[str, Any]]


class Table:
    """A table opened for reading.

    Attributes:
        columns (`list[str]`): Names, in the order of the file; of JSON lines the keys of the first row.
        format (`str`): `"text"`, `"jsonl"`, `"parquet"` or `"xlsx"`.
    """

    def __init__(
        self,
        source: str | Path,
        format: str,
        columns: list[str],
        read: Callable[[Remarks], Iterator[Row]],
        checks: _Checks,
        remarks: Remarks | None,
        on_error: OnError | None,
    ):
        self.source, self.format, self.columns = source, format, columns
        self._read, self._checks, self._remarks, self._on_error = read, checks, remarks, on_error
        self._types: dict[str, type] | None = None

    @property
    def types(self) -> dict[str, type]:
        """What the cells of each column are: `str`, `int`, `float` or `bool`; any of them may be None.

        All columns of text are `str`; Parquet says it; Excel and JSON lines are looked through once. A column of
        several kinds is `str`, one of whole and other numbers `float`. Once this was asked, [`rows`] gives such cells.
        """
        if self._types is None:
            found: dict[str, type] = {}
            if self.format == "parquet":
                found = {field.name: _type_of(field.type) for field in pq.read_schema(self.source)}
            elif self.format != "text":
                found = _types_in(row for _, row in self._read(Remarks("skip")))
            text = set(self._checks.text)
            self._types = {name: str if name in text else found.get(name, str) for name in self.columns}
        return self._types

    def where(self, number: int) -> str:
        """How a message names a row: `g.tsv line 3`."""
        return f"{self.source} {'row' if self.format in ('parquet', 'xlsx') else 'line'} {number}"

    def rows(self) -> Iterator[Row]:
        """Yield number and cells of each row.

        Yields:
            `tuple[int, dict[str, Any]]`: number of the line (text, JSON lines; the header is a line too) or of the row
            (Excel as it shows them, Parquet from 1); column name -> cell. Cells of text are `str`, as written; others
            keep their type, dates and times are ISO text, an empty cell is None.

        Raises:
            ValueError: a row that cannot be read, or without a required cell; or, with `on_error="skip"`, it is left
                out and counted.
        """
        remarks = Remarks(self._on_error or "raise") if self._remarks is None else self._remarks
        remarks = remarks.with_on_error(self._on_error)
        for number, row in self._read(remarks):
            problem = self._checks.problem(row)
            if problem:
                remarks.problem("rows left out", f"{self.where(number)}: {problem}")
                continue
            yield number, self._typed(self._checks.as_text(row))
        if self._remarks is None:
            remarks.warn()

    def cells(self, name: str) -> Iterator[Any]:
        """The cells of one column, of all rows that can be read; of Parquet nothing else is touched."""
        if self.format != "parquet":
            yield from (row.get(name) for _, row in self._read(Remarks("skip")))
            return
        with pq.ParquetFile(self.source) as file:
            for batch in file.iter_batches(columns=[name]):
                yield from map(_plain, batch.column(0).to_pylist())

    def _typed(self, row: dict[str, Any]) -> dict[str, Any]:
        for name, wanted in ({} if self.format == "text" else self._types or {}).items():
            cell = row.get(name)
            if cell is not None and not isinstance(cell, wanted):
                row[name] = float(cell) if wanted is float else _as_text(cell)
        return row

    def frames(self, size: int = _CHUNK) -> Iterator[pd.DataFrame]:
        """Yield the rows as data frames of at most `size` rows; the index holds their numbers, cells are objects."""
        rows = self.rows()
        while part := list(itertools.islice(rows, size)):
            for number, row in part:
                if extra := [name for name in row if name not in self.columns]:
                    raise ValueError(
                        f"{self.where(number)}: the first row has no {extra[0]!r}; give all rows all names"
                    )
            cells = [[row.get(name) for name in self.columns] for _, row in part]
            yield pd.DataFrame(cells, columns=self.columns, index=[number for number, _ in part], dtype=object)


class _Checks:
    """What a job needs of a row."""

    def __init__(self, required: Sequence[str], text: Sequence[str]):
        self.required, self.text = required, text

    def problem(self, row: dict[str, Any]) -> str:
        for name in self.required:
            if name not in row or _is_null(row[name]):
                known = next((f" (of {row[key]!r})" for key in self.required if not _is_null(row.get(key))), "")
                return f"no {name}{known}: the cell is empty; fill it in or leave the row out"
        return ""

    def as_text(self, row: dict[str, Any]) -> dict[str, Any]:
        for name in self.text:
            if name in row and not isinstance(row[name], str):
                row[name] = cell_text(row[name])
        return row


def _is_null(cell: Any) -> bool:
    return (
        cell is None or (isinstance(cell, float) and math.isnan(cell)) or (isinstance(cell, str) and not cell.strip())
    )


def cell_text(cell: Any) -> str:
    """A cell as a person would write it: `""` for none, no `.0` behind whole numbers.

    Examples:
        >>> [cell_text(cell) for cell in (7.0, 0.5, None, "x", True)]
        ['7', '0.5', '', 'x', 'True']
    """
    if cell is None or (isinstance(cell, float) and math.isnan(cell)):
        return ""
    return str(int(cell)) if isinstance(cell, float) and cell.is_integer() else str(cell)


def _as_text(cell: Any) -> str:
    return json.dumps(cell) if isinstance(cell, (list, dict)) else cell_text(cell)


def _types_in(rows: Iterator[dict[str, Any]]) -> dict[str, type]:
    """The one type that holds all cells of a column."""
    found: dict[str, set[type]] = {}
    for row in rows:
        for name, cell in row.items():
            if cell is not None:
                found.setdefault(name, set()).add(type(cell))
    return {name: _common(kinds) for name, kinds in found.items()}


def _common(kinds: set[type]) -> type:
    if kinds == {int, float}:
        return float
    return next(iter(kinds)) if len(kinds) == 1 and kinds <= {int, float, bool} else str


def _type_of(kind: pa.DataType) -> type:
    if pa.types.is_boolean(kind):
        return bool
    if pa.types.is_integer(kind):
        return int
    return float if pa.types.is_floating(kind) else str


def is_table(source: str | Path) -> bool:
    """Whether `source` is a file whose name ends like a table's, and that does not start like FASTA or FASTQ."""
    suffix = _suffix(source)
    if suffix not in TABLE_SUFFIXES or is_stream(source):
        return False
    if suffix in (".parquet", ".xlsx") or not Path(source).is_file():
        return True
    return next(blocks_of(source), b"").lstrip()[:1] not in (b">", b"@")


def open_table(
    source: str | Path,
    *,
    required: Sequence[str] = (),
    text: Sequence[str] = (),
    on_error: OnError | None = None,
    remarks: Remarks | None = None,
) -> Table:
    """Open a table and read its header.

    The format is told by content, then by the end of the name; the separator of text by the required columns. A byte
    order mark, UTF-16, Latin-1, comment lines (`#`), empty columns at the end, `sep=;`, a header behind `#` are read.
    A tab-separated field has quotes around it only if they are its first and last character.

    Args:
        source (`str` or `Path`): `.tsv`, `.csv`, `.txt` and `.jsonl` (compressed or not, also from a pipe or `-`),
            `.parquet`, `.xlsx` (the first sheet with the required columns).
        required (`Sequence[str]`, *optional*): Columns that must be there, with something in every row.
        text (`Sequence[str]`, *optional*): Columns whose cells are made `str` in every format.
        on_error (`"raise"` or `"skip"`, *optional*): `"skip"` leaves out rows that cannot be used and counts them;
            default: what `remarks` say, else `"raise"`.
        remarks (`Remarks`, *optional*): Told of what was skipped or odd; default: warnings behind the last row.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: a folder, an empty file, no table, a required column missing; the message names what is there.
    """
    check_source(source, "table")
    format = _format(source)
    read = {"text": _text, "jsonl": _json_lines, "parquet": _parquet, "xlsx": _excel}[format]
    first = read(source, required, Remarks("skip"))
    columns = next(first)
    missing = [name for name in required if name not in columns]
    if missing:
        shown = ", ".join(str(name)[:40] for name in columns[:12]) or "nothing"
        raise ValueError(
            f"{source} has no column {' and no column '.join(missing)}; it has {shown}. Expected "
            f"{', '.join(required)} in its header{_it_is(columns)}"
        )

    def rows(told: Remarks) -> Iterator[Row]:
        whole = first if is_stream(source) else read(source, required, told)
        return whole if is_stream(source) else itertools.islice(whole, 1, None)

    return Table(source, format, columns, rows, _Checks(required, text), remarks, on_error)


def _it_is(columns: list[str]) -> str:
    first = columns[0] if columns else ""
    kind = "a file of sequences (FASTA)" if first.startswith(">") else what_it_is(first.encode())
    return f"; this is {kind}" if kind else ""


def _suffix(source: str | Path) -> str:
    suffixes = [suffix.lower() for suffix in Path(source).suffixes]
    if len(suffixes) > 1 and suffixes[-1] in _COMPRESSED:
        suffixes.pop()
    return suffixes[-1] if suffixes else ""


def _format(source: str | Path) -> str:
    suffix = _suffix(source)
    if not is_stream(source):
        with Path(source).open("rb") as file:
            head = file.read(512)
        if head[:4] in _MARKS:
            return _MARKS[head[:4]]
        if suffix in (".parquet", ".xlsx"):
            kind, named = what_it_is(head), "a Parquet file" if suffix == ".parquet" else "an Excel workbook"
            raise ValueError(f"{source} is not {named}" + (f" but {kind}" if kind else "; it is damaged"))
    return "jsonl" if suffix in (".jsonl", ".ndjson") else "text"


def _text(source: str | Path, required: Sequence[str], remarks: Remarks) -> Iterator[Any]:
    """The columns, then the rows; so do all readers here."""
    return read_text_rows(source, required, remarks, comma=_suffix(source) == ".csv")


def _json_lines(source: str | Path, required: Sequence[str], remarks: Remarks) -> Iterator[Any]:
    columns: list[str] | None = None
    for number, line in numbered_lines(source):
        if not line.strip():
            continue
        where = f"{source} line {number}"
        try:
            row = json.loads(text_of(line)[0], parse_constant=lambda name: None if name == "NaN" else float(name))
        except (ValueError, RecursionError) as error:
            raise ValueError(f"{where} is not JSON: {error}") from error
        if not isinstance(row, dict):
            raise ValueError(f"{where} is a {type(row).__name__}, expected an object with named fields")
        if columns is None:
            columns = list(row)
            yield columns
        yield number, row
    if columns is None:
        raise ValueError(f"{source} is empty; expected one JSON object a line")


def _parquet(source: str | Path, required: Sequence[str], remarks: Remarks) -> Iterator[Any]:
    try:
        with pq.ParquetFile(source) as file:
            columns = [name for name in file.schema_arrow.names if not name.startswith("__index_level_")]
            yield _unique(columns, source)
            mended = [
                field.name for field in file.schema_arrow if field.name in columns and _needs_mending(field.type)
            ]
            number = itertools.count(1)
            size = sum(file.metadata.row_group(i).total_byte_size for i in range(file.metadata.num_row_groups))
            batch_rows = _BATCH_BYTES * max(1, file.metadata.num_rows) // max(1, size)
            for batch in file.iter_batches(min(max(batch_rows, 1), _BATCH), columns=columns):
                for row in batch.to_pylist():
                    yield next(number), row | {name: _plain(row[name]) for name in mended}
    except (pa.ArrowException, OSError, OverflowError, ValueError) as error:
        raise ValueError(f"{source} cannot be read as a Parquet table: {error}") from error


def _needs_mending(kind: pa.DataType, *, nested: bool = False) -> bool:
    """Whether values of this type may be none that JSON knows; numbers inside lists stay as they are."""
    if pa.types.is_nested(kind):
        inside = [kind.value_type] if pa.types.is_list(kind) else [kind.field(i).type for i in range(kind.num_fields)]
        return any(_needs_mending(part, nested=True) for part in inside)
    known = pa.types.is_integer(kind) or pa.types.is_boolean(kind) or pa.types.is_string(kind)
    return not (known or (nested and pa.types.is_floating(kind)))


def _excel(source: str | Path, required: Sequence[str], remarks: Remarks) -> Iterator[Any]:
    try:
        import openpyxl
    except ImportError as error:
        raise ValueError(
            f"reading {Path(source).name} needs openpyxl: pip install 'seqformers[tables]', or save it as .tsv"
        ) from error
    file = Path(source).open("rb")  # noqa: SIM115 (closed with the book; a name would have to end in .xlsx)
    try:
        book = openpyxl.load_workbook(file, read_only=True, data_only=True)
    except Exception as error:  # whatever its parsers meet in a damaged or foreign archive
        file.close()
        raise ValueError(f"{source} cannot be read as an Excel workbook: {type(error).__name__}: {error}") from error
    try:
        sheets = [(sheet.title, _sheet(sheet)) for sheet in book.worksheets]
        headers = [(title, next(rows, (0, [])), rows) for title, rows in sheets]
        chosen = next((header for header in headers if set(required) <= set(header[1][1]) and header[1][1]), None)
        title, (_, names), rows = chosen or headers[0]
        if len([header for header in headers if header[1][1]]) > 1:
            remarks.note("workbooks with several sheets, of which one is read", f"{source}: {title!r}")
        columns = _unique(
            [cell_text(name).strip() or f"column_{place}" for place, name in enumerate(names, 1)], source
        )
        if not columns:
            raise ValueError(f"{source} is empty; expected a header and rows")
        yield columns
        for number, cells in rows:
            if len(cells) > len(columns):
                remarks.problem(
                    "rows left out",
                    f"{source} row {number} has {len(cells)} cells, the header {len(columns)}",
                )
                continue
            cells += [None] * (len(columns) - len(cells))
            yield number, dict(zip(columns, cells, strict=True))
    except ValueError:
        raise
    except Exception as error:
        raise ValueError(f"{source} cannot be read as an Excel workbook: {type(error).__name__}: {error}") from error
    finally:
        book.close()
        file.close()


def _sheet(sheet: Any) -> Iterator[tuple[int, list[Any]]]:
    """Number and cells of the rows that hold something, without empty cells at their ends and comment rows above."""
    sheet.reset_dimensions()  # what a workbook says of its size is often wrong
    started = False
    for number, row in enumerate(sheet.iter_rows(values_only=True), 1):
        cells = [None if cell in _EXCEL_ERRORS else _plain(cell) for cell in row]
        while cells and _is_null(cells[-1]):
            cells.pop()
        comment = not started and len(cells) == 1 and str(cells[0]).startswith("#")
        if cells and not comment:
            started = True
            yield number, cells


def _unique(columns: list[str], source: str | Path) -> list[str]:
    for name in columns:
        if columns.count(name) > 1:
            raise ValueError(f"{source} has two columns {name!r}; give each its own name")
    return columns


def _plain(cell: Any) -> Any:
    """A cell as a value that JSON knows: dates and times as ISO text, exact decimals and bytes as text."""
    if cell is None or isinstance(cell, (str, int, float)):
        return None if isinstance(cell, float) and math.isnan(cell) else cell
    if isinstance(cell, datetime.datetime):
        midnight = cell.time() == datetime.time() and cell.tzinfo is None
        return cell.date().isoformat() if midnight else cell.isoformat()
    if isinstance(cell, (datetime.date, datetime.time)):
        return cell.isoformat()
    if isinstance(cell, (Decimal, datetime.timedelta)):
        return str(cell)
    if isinstance(cell, bytes):
        return text_of(cell)[0]
    if isinstance(cell, dict):
        return {name: _plain(value) for name, value in cell.items()}
    return [_plain(value) for value in cell] if isinstance(cell, (list, tuple)) else str(cell)
