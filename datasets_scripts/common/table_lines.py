"""Rows of a table in text: separators, quotes, comments, and rows that have more or fewer fields than the header."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from seqformers.datasets_scripts.common.remarks import Remarks
from seqformers.datasets_scripts.common.streams import numbered_lines, text_of

__all__ = ["read_fields", "read_text_rows"]

_SEPARATORS = ("\t", ",", ";")
_NAMES = {"\t": "tab", ",": "comma", ";": "semicolon"}
_LONGEST_FIELD = 200  # lines
_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f]")

Line = tuple[int, str]


def read_text_rows(source: str | Path, required: Sequence[str], remarks: Remarks, *, comma: bool) -> Iterator[Any]:
    """Yield the columns (`list[str]`), then number and cells (`dict[str, str]`) of each row.

    Args:
        source (`str` or `Path`): What [`numbered_lines`] takes.
        required (`Sequence[str]`): Columns by which the separator and a header behind `#` are known.
        remarks (`Remarks`): Told of comments and odd lines; its `on_error` decides what becomes of a row with another
            number of fields than the header.
        comma (`bool`): Try the comma first, not the tab.
    """
    lines = _lines(source, remarks)
    columns, separator, first = _header(source, lines, required, remarks, comma)
    yield columns
    rows = lines if first is None else _and_then(first, lines)
    for number, fields in _split_rows(source, rows, separator, len(columns)):
        while len(fields) > len(columns) and not fields[-1].strip():
            fields.pop()
        if len(fields) == len(columns):
            if any(map(str.strip, fields)):
                yield number, dict(zip(columns, fields, strict=True))
            else:
                remarks.note("rows without any cell, skipped", f"{source} line {number}")
        elif fields[0].startswith("#"):
            remarks.note("comment lines, skipped", f"{source} line {number}")
        else:
            hint = ""
            if len(fields) == len(columns) + 1:
                hint = "; if each row begins with a row name, give that a name in the header too"
            remarks.problem(
                "rows left out",
                f"{source} line {number} has {len(fields)} of {len(columns)} columns (separated by a "
                f"{_NAMES.get(separator, repr(separator))}){hint}",
            )


def read_fields(source: str | Path, remarks: Remarks, *, comma: bool = False) -> Iterator[tuple[int, list[str]]]:
    """Yield line number and fields of each row of a table without a header, comment and blank lines left out."""
    lines = ((number, line) for number, line in _lines(source, remarks) if line.strip() and not line.startswith("#"))
    first = next(lines, None)
    if first is not None:
        separator = _separator(first[1], (), comma)
        columns = len(first[1].split(separator))
        for number, fields in _split_rows(source, _and_then(first, lines), separator, columns):
            yield number, [field.strip() for field in fields]


def _lines(source: str | Path, remarks: Remarks) -> Iterator[Line]:
    """Numbered lines as text."""
    for number, line in numbered_lines(source):
        text, latin = text_of(line)
        if latin:
            remarks.note("lines that are no UTF-8, read as Latin-1 (Windows-1252)", f"{source} line {number}")
        yield number, text


def _and_then(first: Line, lines: Iterator[Line]) -> Iterator[Line]:
    yield first
    yield from lines


def _header(
    source: str | Path, lines: Iterator[Line], required: Sequence[str], remarks: Remarks, comma: bool
) -> tuple[list[str], str, Line | None]:
    """Column names, separator, and the first row where the header was a comment line above it."""
    said = comment = ""
    for number, line in lines:
        if _CONTROL.search(line):
            raise ValueError(f"{source} is no table: line {number} is no text")
        if not line.strip(" "):
            continue
        if line.startswith("#"):
            if comment:
                remarks.note("comment lines, skipped", f"{source} above line {number}")
            comment = line
        elif re.fullmatch(r"sep=.", line.strip('"'), re.IGNORECASE) and not said:
            said = line.strip('"')[4]
        else:
            break
    else:
        number, line = 0, ""
    above = comment.lstrip("#").strip(" ")
    separator = said or _separator(line, required, comma)
    names = _names(line, separator)
    separator_above = said or _separator(above, required, comma)
    names_above = _names(above, separator_above)
    if required:
        is_above = set(required) <= set(names_above) and not set(required) <= set(names)
    else:
        is_above = comment[1:2].strip() != "" and len(names_above) > 1 and len(names_above) == len(names)
    if is_above:
        return _unique(names_above, source), separator_above, (number, line) if line else None
    if comment:
        remarks.note("comment lines, skipped", f"{source} above line {number}")
    if not line:
        expected = f" with the columns {', '.join(required)}" if required else ""
        raise ValueError(f"{source} is empty; expected a header{expected}")
    return _unique(names, source), separator, None


def _separator(header: str, required: Sequence[str], comma: bool) -> str:
    """The one that finds the required columns, else the one that is there, else the one the name says."""
    order = (",", "\t", ";") if comma else _SEPARATORS
    for separator in order:
        if required and set(required) <= set(_names(header, separator)):
            return separator
    return next((separator for separator in order if separator in header), order[0])


def _names(header: str, separator: str) -> list[str]:
    names = [name.strip() for name in _fields(header, separator)]
    while len(names) > 1 and not names[-1]:
        names.pop()
    return [name or f"column_{place}" for place, name in enumerate(names, 1)]


def _unique(names: list[str], source: str | Path) -> list[str]:
    for place, name in enumerate(names):
        if name in names[:place]:
            raise ValueError(f"{source} has two columns {name!r}; give each its own name")
    return names


def _split_rows(
    source: str | Path, lines: Iterator[Line], separator: str, columns: int
) -> Iterator[tuple[int, list[str]]]:
    """Fields of each row; a quoted field may hold line ends, unless what follows looks like a row of its own."""
    for number, line in lines:
        if not line.strip(" "):
            continue
        fields, whole = _fields(line, separator), line
        while not fields:
            last, more = next(lines, (0, ""))
            whole = f"{whole}\n{more}"
            looks_like_a_row = columns > 1 and len(more.split(separator)) == columns
            if not last or looks_like_a_row or last > number + _LONGEST_FIELD:
                raise ValueError(
                    f"{source} line {number}: a quote opens a field and is not closed "
                    + (f"before line {last}, which looks like a row" if looks_like_a_row else "in the lines behind it")
                    + "; close it, or take it away"
                )
            fields = _fields(whole, separator)
        yield number, fields


def _fields(line: str, separator: str) -> list[str]:
    """The fields of a line; none if a quoted field goes on behind its end."""
    if '"' not in line:
        return line.split(separator)
    if separator == "\t":
        return [_unquoted(field) for field in line.split("\t")]
    fields, place = [], 0
    while place <= len(line):
        match = _quoted(separator).match(line, place)
        if match is None and line[place:].lstrip(" ").startswith('"'):
            if re.compile(r' *"(?:[^"]|"")*$').match(line, place):
                return []
            match = None
        if match is None:
            end = line.find(separator, place)
            end = len(line) if end < 0 else end
            fields.append(line[place:end])
            place = end + 1
        else:
            fields.append(match[1].replace('""', '"'))
            place = match.end() + 1
    return fields


def _quoted(separator: str) -> re.Pattern[str]:
    return re.compile(rf' *"((?:[^"]|"")*)" *(?={re.escape(separator)}|$)')


def _unquoted(field: str) -> str:
    """A tab-separated field without the quotes around it; a quote anywhere else is a character like any other."""
    inner = field[1:-1]
    if len(field) >= 2 and field[0] == field[-1] == '"' and '"' not in inner.replace('""', ""):
        return inner.replace('""', '"')
    return field
