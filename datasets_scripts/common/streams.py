"""Open what a user names (a file, a pipe, `-`), unpack and decode it, and give it out as numbered lines.

Compression and encoding are told by content, never by name. Memory does not grow with the input.
"""

from __future__ import annotations

import bz2
import codecs
import gzip
import io
import lzma
import stat
import sys
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import pyarrow as pa

__all__ = ["Lines", "blocks_of", "check_source", "is_packed", "is_stream", "numbered_lines", "text_of", "what_it_is"]

_BLOCK = 1 << 20
_LONGEST_MARK = 6  # bytes at the start of a file by which its packing or its encoding is known
_HEAD = 512
_LONG_LINE = 1 << 16  # bytes that no line of a listing has

_UNPACK: dict[bytes, Callable[[Any], Any]] = {
    b"\x1f\x8b": lambda file: gzip.GzipFile(fileobj=file),
    b"BZh": bz2.BZ2File,
    b"\xfd7zXZ\x00": lzma.LZMAFile,
    b"\x28\xb5\x2f\xfd": lambda file: pa.CompressedInputStream(pa.PythonFile(file, "r"), "zstd"),
}
# The longest marks first: the UTF-32 one begins like that of UTF-16.
_BOMS = {
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
_KINDS: tuple[tuple[bytes, str], ...] = (
    (b"PK\x03\x04", "a zip archive or an Excel workbook"),
    (b"PAR1", "a Parquet table"),
    (b"%PDF", "a PDF document"),
    (b"{\\rtf", "an RTF document; save it as plain text"),
    (b"\xd0\xcf\x11\xe0", "an old Excel or Word file; save it as .xlsx or plain text"),
    (b"BAM\x01", "a BAM file; write it as FASTQ first (samtools fastq)"),
    (b"LOCUS ", "a GenBank file; save it as FASTA"),
    (b"ID   ", "an EMBL or UniProt file; save it as FASTA"),
    (b"##gff", "a GFF table of features, without sequences of its own"),
    (b"@HD\t", "a SAM file; write it as FASTQ first (samtools fastq)"),
    (b"CLUSTAL", "an alignment; save it as FASTA without gaps"),
    (b"#NEXUS", "an alignment; save it as FASTA without gaps"),
    (b"# STOCKHOLM", "an alignment; save it as FASTA without gaps"),
    (b"<!doctype html", "a web page, often an error page in place of a download"),
    (b"<html", "a web page, often an error page in place of a download"),
    (b"<?xml", "an XML document"),
)


def what_it_is(head: bytes) -> str:
    """What the first bytes of a file say it is (`"a PDF document"`), or `""`.

    Examples:
        >>> what_it_is(b"%PDF-1.7")
        'a PDF document'
    """
    if head[257:262] == b"ustar":
        return "a tar archive; unpack it first"
    tags = head.lstrip().lower()  # of a page, in either case
    return next((name for mark, name in _KINDS if (tags if mark[:1] == b"<" else head).startswith(mark)), "")


def is_stream(source: str | Path) -> bool:
    """Whether `source` can be read only once: `-` (standard input), a pipe, a terminal."""
    if str(source) == "-":
        return True
    try:
        return not stat.S_ISREG(Path(source).stat().st_mode)
    except OSError:
        return False


def is_packed(path: str | Path) -> bool:
    """Whether a file is compressed, as its first bytes say."""
    with Path(path).open("rb") as file:
        return file.read(_HEAD).startswith(tuple(_UNPACK))


def check_source(source: str | Path, what: str = "file") -> None:
    """Raise if there is nothing to read at `source`.

    Args:
        source (`str` or `Path`): File, named pipe, or `-` for standard input.
        what (`str`): What is expected there, for messages.

    Raises:
        FileNotFoundError: there is nothing of this name.
        ValueError: it is a folder; the message names files in it.
    """
    if str(source) == "-":
        return
    path = Path(source)
    if not path.exists():
        raise FileNotFoundError(f"no such {what}: {source}")
    if path.is_dir():
        inside = sorted(child.name for child in path.iterdir() if child.is_file() and child.name[0] != ".")
        shown = f"it holds {', '.join(inside[:3])}{', ...' if len(inside) > 3 else ''}" if inside else "it is empty"
        raise ValueError(f"{source} is a folder, expected a {what}; name a file ({shown})")


def numbered_lines(source: str | Path) -> Lines:
    r"""Yield line number (from 1) and line of a text, plain or compressed, without its end (`\n`, `\r\n` or `\r`).

    Args:
        source (`str` or `Path`): File, named pipe, or `-`.

    Yields:
        `tuple[int, bytes]`: the line as UTF-8, where the file says so by a byte order mark or zero bytes, else as it
        is ([`text_of`] makes text of it).

    Raises:
        ValueError: the file is cut short or damaged, or not in the encoding that it says; the message names it.
    """
    return Lines(source)


class Lines(Iterator[tuple[int, bytes]]):
    """What [`numbered_lines`] gives.

    Attributes:
        cut (`bytes`): A long line that so far holds nothing but these letters comes in parts, all of its number, none
            of them empty and each beginning with one of the letters. By default no line is cut.
    """

    def __init__(self, source: str | Path):
        self.cut = b""
        self._lines = self._read(source)

    def __next__(self) -> tuple[int, bytes]:
        return next(self._lines)

    def _read(self, source: str | Path) -> Iterator[tuple[int, bytes]]:
        number, pieces = 1, []
        for block in _whole_line_ends(blocks_of(source)):
            first, *more = block.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
            pieces.append(first)
            for line in more:
                yield number, b"".join(pieces)
                number, pieces = number + 1, [line]
            if self.cut and sum(map(len, pieces)) >= _LONG_LINE:
                line = b"".join(pieces)
                pieces = [line]
                if not line.translate(None, self.cut):
                    yield number, line[:-1]
                    pieces = [line[-1:]]
        last = b"".join(pieces)
        if last:
            yield number, last


def _whole_line_ends(blocks: Iterable[bytes]) -> Iterator[bytes]:
    """The same bytes, cut so that no block ends between carriage return and line feed."""
    held = b""
    for block in blocks:
        block = held + block
        held = block[-1:] if block.endswith(b"\r") else b""
        yield block[:-1] if held else block
    yield held


def text_of(line: bytes) -> tuple[str, bool]:
    r"""The line as text, and whether it had to be read as Latin-1 (Windows-1252) because it is no UTF-8.

    Examples:
        >>> text_of(b"caf\xc3\xa9"), text_of(b"caf\xe9")
        (('café', False), ('café', True))
    """
    try:
        return line.decode("utf-8"), False
    except UnicodeDecodeError:
        pass
    try:
        return line.decode("cp1252"), True
    except UnicodeDecodeError:
        return line.decode("latin-1"), True


def blocks_of(source: str | Path) -> Iterator[bytes]:
    """Yield the bytes of `source` in blocks, unpacked, without byte order mark, UTF-16 and UTF-32 made UTF-8.

    Raises:
        ValueError: as [`numbered_lines`].
    """
    try:
        with _opened(source) as raw:
            head = raw.read(_HEAD)
            unpack = next((unpack for mark, unpack in _UNPACK.items() if head.startswith(mark)), None)
            whole = io.BufferedReader(_Rejoined(head, raw), _BLOCK)
            if unpack is None:
                yield from _as_utf8(_read(whole))
                return
            try:
                with unpack(whole) as unpacked:
                    yield from _as_utf8(_refuse_packed_twice(_read(unpacked), source))
            except (EOFError, OSError, zlib.error, lzma.LZMAError, pa.ArrowException) as error:
                raise ValueError(
                    f"{source} cannot be read: the compressed file is cut short or damaged; copy it again ({error})"
                ) from error
    except UnicodeError as error:
        raise ValueError(f"{source} is not the {error.encoding} text that it begins as: {error}") from error  # type: ignore[attr-defined]


@contextmanager
def _opened(source: str | Path) -> Iterator[IO[bytes]]:
    if str(source) == "-":
        yield sys.stdin.buffer
        return
    with Path(source).open("rb") as file:
        yield file


class _Rejoined(io.RawIOBase):
    """A stream whose first bytes were read already."""

    def __init__(self, head: bytes, rest: IO[bytes]):
        self._head, self._rest = head, rest

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data, self._head = self._head[: len(buffer)], self._head[len(buffer) :]
        data = data or self._rest.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)


def _read(file: Any) -> Iterator[bytes]:
    while block := file.read(_BLOCK):
        yield block


def _first_bytes(blocks: Iterator[bytes]) -> bytes:
    """The first block, with as many after it as a mark needs: a pipe may give a letter at a time."""
    first = b""
    for block in blocks:
        first += block
        if len(first) >= _LONGEST_MARK:
            break
    return first


def _refuse_packed_twice(blocks: Iterator[bytes], source: str | Path) -> Iterator[bytes]:
    first = _first_bytes(blocks)
    if first.startswith(tuple(_UNPACK)):
        raise ValueError(f"{source} is compressed twice; unpack it once")
    yield first
    yield from blocks


def _as_utf8(blocks: Iterator[bytes]) -> Iterator[bytes]:
    first = _first_bytes(blocks)
    encoding = next((name for mark, name in _BOMS.items() if first.startswith(mark)), None)
    if encoding is None and len(first) >= 4 and first[0] != 0 == first[1] and first[2] != 0 == first[3]:
        encoding = "utf-16-le"
    elif encoding is None and len(first) >= 4 and first[0] == 0 != first[1] and first[2] == 0 != first[3]:
        encoding = "utf-16-be"
    if encoding in (None, "utf-8-sig"):
        yield first.removeprefix(codecs.BOM_UTF8)
        yield from blocks
        return
    decoder = codecs.getincrementaldecoder(str(encoding))()
    yield decoder.decode(first).encode("utf-8")
    for block in blocks:
        yield decoder.decode(block).encode("utf-8")
    decoder.decode(b"", final=True)
