"""Read FASTA and FASTQ line by line, saying what is wrong where, and mending what can only mean one thing.

The reference for what `fasta` reads fast, and its reader for pipes and for files with something odd in them.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple, cast

from seqformers.datasets_scripts.common.letters import LETTERS
from seqformers.datasets_scripts.common.long_letters import LongLetters
from seqformers.datasets_scripts.common.remarks import Remarks
from seqformers.datasets_scripts.common.streams import Lines, numbered_lines, text_of, what_it_is

__all__ = ["FastaRecord", "read_lines", "record_of"]

_BLANKS = b" \t\v\f"
_GROUPS = rb"[A-Za-z*.-]+(?:[ \t]+[A-Za-z*.-]+)*"
_LISTING_FRONT = re.compile(rb"([0-9]{1,12})[ \t]+(" + _GROUPS + rb")")  # GenBank: number of the first letter
_LISTING_END = re.compile(rb"(" + _GROUPS + rb")[ \t]+([0-9]{1,12})")  # EMBL: number of the last letter
_CONTROL = re.compile(rb"[\x00-\x08\x0e-\x1f]")
_SHOWN = 40


class FastaRecord(NamedTuple):
    """One record: `id` (header up to the first white space), the rest of the header, and the letters as stored."""

    id: str
    description: str
    sequence: str


def record_of(header: str, sequence: str) -> FastaRecord:
    """A record from a header line without its `>` and the letters."""
    name, _, description = header.strip(" \t").partition(" ")
    name, _, more = name.partition("\t")
    return FastaRecord(name, f"{more} {description}".strip(), sequence)


def read_lines(source: str | Path, remarks: Remarks, held: int | None = None) -> Iterator[FastaRecord]:
    """Yield the records of a file, pipe or `-` in order.

    Args:
        source (`str` or `Path`): What [`numbered_lines`] takes.
        remarks (`Remarks`): Told of what was mended; its `on_error` decides what becomes of a record with other
            characters than letters, `*`, `-` and `.`.
        held (`int`, *optional*): Letters of a record that are held; the sequence of a longer one is a [`LongLetters`].

    Raises:
        ValueError: no records, a file that breaks off or mixes formats, or (`on_error="raise"`) such a record.
    """
    lines = numbered_lines(source)
    for number, line in lines:
        line = line.removeprefix(codecs.BOM_UTF8)
        mark = line.lstrip(_BLANKS)[:1]
        if mark == b">":
            yield from _Fasta(source, remarks, held).read(number, line.lstrip(_BLANKS), lines)
            return
        if mark == b"@" and not what_it_is(line):
            yield from _Fastq(source, remarks, held).read(number, line.lstrip(_BLANKS), lines)
            return
        if mark in (b"", b";", b"#") and not what_it_is(line):
            remarks.note("blank or comment lines before the first record, skipped", f"{source} line {number}")
            continue
        known = what_it_is(line)
        found = f"it is {known}" if known else f"it is neither FASTA nor FASTQ, it begins with {line[:_SHOWN]!r}"
        raise ValueError(f"{source} cannot be read at its start: {found}")
    raise ValueError(
        f"{source} is empty: it holds neither FASTA nor FASTQ; expected a record or more ('>id' and a sequence line)"
    )


class _Reader:
    """What both formats share."""

    def __init__(self, source: str | Path, remarks: Remarks, held: int | None):
        self.source, self.remarks, self.held = source, remarks, held

    def body(self) -> _Body:
        """What the sequence lines of the next record go to."""
        return _Body(self.held)

    def header(self, number: int, line: bytes) -> str:
        """The header as text, without its mark."""
        if _CONTROL.search(line):
            raise ValueError(f"{self.source} line {number}: a header with control characters; the file is no text")
        header, latin = text_of(line[1:])
        if latin:
            self.remarks.note("headers that are no UTF-8, read as Latin-1", f"{self.source} line {number}")
        return header

    def record(self, header: str, body: _Body) -> Iterator[FastaRecord]:
        """The record, unless something in it was no letter."""
        record = record_of(header, body.sequence())
        for what, number in body.mended.items():
            self.remarks.note(what, f"{self.source} line {number}", body.times[what])
        if body.wrong is None:
            yield record
            return
        number, wrong = body.wrong
        self.remarks.problem("records left out", f"{self.source}, record {record.id!r}: {wrong} (line {number})")


class _Fasta(_Reader):
    def read(self, number: int, line: bytes, lines: Lines) -> Iterator[FastaRecord]:
        """Records from the first header on."""
        header, body = self.header(number, line), self.body()
        lines.cut = LETTERS if self.held is not None else b""
        for number, line in lines:
            if line.startswith(b">") or line.startswith(codecs.BOM_UTF8 + b">"):
                yield from self.record(header, body)
                header, body = self.header(number, line.removeprefix(codecs.BOM_UTF8)), self.body()
            elif line.startswith(b"@"):
                raise ValueError(
                    f"{self.source} line {number} begins with '@', as FASTQ does, in a FASTA file; split the two"
                )
            else:
                body.add(number, line)
        yield from self.record(header, body)


class _Fastq(_Reader):
    def read(self, number: int, line: bytes, lines: Lines) -> Iterator[FastaRecord]:
        """Records from the first header on; a sequence may be wrapped, its qualities into as many lines."""
        while True:
            header, body, rows = self.header(number, line), self.body(), 0
            name = f"{self.source}, record {record_of(header, '').id!r}"
            for number, line in lines:
                if line.startswith(b"+"):
                    break
                body.add(number, line)
                rows += 1
            else:
                raise ValueError(f"{name}: the file breaks off without a '+' line and qualities; copy it again")
            self._check_qualities([next(lines, (number, b""))[1] for _ in range(rows)], body, name, number)
            yield from self.record(header, body)
            number, line = next(((n, found) for n, found in lines if found.strip(_BLANKS)), (number, b""))
            if not line:
                return
            if not line.startswith(b"@"):
                raise ValueError(
                    f"{self.source} line {number} begins with {text_of(line[:1])[0]!r}, expected the '@' of the next "
                    "FASTQ record; "
                    + (
                        "FASTA and FASTQ are mixed, split the two"
                        if line[:1] == b">"
                        else "a quality line is too long or a line was lost"
                    )
                )

    def _check_qualities(self, rows: list[bytes], body: _Body, name: str, number: int) -> None:
        lengths = {sum(map(len, rows)), sum(len(row.strip(_BLANKS)) for row in rows)}
        if body.wrong is None and body.length not in lengths:
            raise ValueError(
                f"{name}: {body.length} letters but {min(lengths)} qualities (line {number + 1}); the file is cut "
                "short or damaged"
            )


class _Body:
    """The sequence lines of one record as they come, mended, up to the first thing that is no letter."""

    def __init__(self, held: int | None) -> None:
        self.length = 0
        self.wrong: tuple[int, str] | None = None  # line, and what is wrong there
        self.mended: dict[str, int] = {}  # what was done, and the first line of it
        self.times: dict[str, int] = {}
        self._held, self._waiting = held, 0
        self._stored: LongLetters | None = None
        self._parts: list[bytes] = []
        self._next: int | None = None  # number of the next letter, in a listing

    def sequence(self) -> str:
        if self._stored is None:
            return b"".join(self._parts).decode("ascii")
        self._store()
        return cast(str, self._stored)  # cut and measured as a text is, which is all that asks for it

    def add(self, number: int, line: bytes) -> None:
        """Take one line."""
        if not line.translate(None, LETTERS):
            self._append(line)
            return
        text = line.strip(_BLANKS)
        if text.startswith(b";"):
            self._mend("comment lines inside records, skipped", number)
        elif not text.translate(None, LETTERS):
            self._mend("lines with blanks at their ends, removed", number)
            self._append(text)
        elif (letters := self._of_listing(text)) is not None:
            self._mend("lines with the numbers or gaps of a listing, removed", number)
            self._append(letters)
        elif not (text == b"//" and self._next is not None):  # the end of a GenBank or EMBL entry
            self._refuse(number, text)

    def _append(self, letters: bytes) -> None:
        self.length += len(letters)
        if self._next is not None:
            self._next += len(letters)
        if self.wrong is None:
            self._parts.append(letters)
            self._waiting += len(letters)
            if self._held is not None and self._waiting > self._held:
                self._store()

    def _store(self) -> None:
        if self._stored is None:
            self._stored = LongLetters()
        self._stored.extend(self._parts)
        self._parts.clear()
        self._waiting = 0

    def _mend(self, what: str, number: int) -> None:
        self.mended.setdefault(what, number)
        self.times[what] = self.times.get(what, 0) + 1

    def _of_listing(self, text: bytes) -> bytes | None:
        """The letters of a line of a GenBank or EMBL listing whose number fits to the line before; else None."""
        if front := _LISTING_FRONT.fullmatch(text):
            groups = front[2].split()
            first = int(front[1])
        elif end := _LISTING_END.fullmatch(text):
            groups = end[1].split()
            first = int(end[2]) - sum(map(len, groups)) + 1
        else:
            groups = text.split()
            in_tens = all(len(group) == 10 for group in groups[:-1]) and len(groups[-1]) <= 10
            return b"".join(groups) if in_tens and not text.translate(None, LETTERS + _BLANKS) else None
        even = len({len(group) for group in groups[:-1]}) <= 1 and len(groups[-1]) <= len(groups[0])
        if not even or first < 1 or self._next not in (None, first):
            return None
        self._next = first
        return b"".join(groups)

    def _refuse(self, number: int, text: bytes) -> None:
        if self.wrong is not None:
            return
        shown, _ = text_of(text)
        at = next(
            place for place, letter in enumerate(shown) if not letter.isascii() or letter.encode() not in LETTERS
        )
        self.wrong = number, _what_is_wrong(shown, at, self.length + at + 1)
        self._parts.clear()
        self._stored = None


def _what_is_wrong(line: str, at: int, position: int) -> str:
    """What the character at index `at` of `line`, at `position` of the record, is, and what to do about it."""
    letter = line[at]
    said = f"letter {letter!r} at position {position} is not a letter of a sequence"
    if "".join(line.split()).casefold() == "sequenceunavailable":
        return f"{said}: the source had none ('{line}'); leave the record out"
    if letter == ">":
        return f"{said}: a line end is missing before {line[at : at + _SHOWN]!r}; put it in"
    if letter.isspace():
        return f"{said}: a blank inside a line; remove it if both sides are one sequence"
    if letter.isdigit():
        return f"{said}; remove numbers from the sequence"
    return said
