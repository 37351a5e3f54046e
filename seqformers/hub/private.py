"""What must not leave a machine: access tokens and keys in files, and the folders of their author in texts."""

from __future__ import annotations

import base64
import binascii
import bz2
import contextlib
import gzip
import io
import lzma
import re
import struct
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

__all__ = ["find_secrets", "redact", "without_folders"]

_WANDB = rb"(?i)wandb(?:\.ai|\.login|[_-]?api[_-]?key)[^\n]{0,60}?[\"'=:\s(][0-9a-f]{40}(?![0-9a-f])"
_AWS_SECRET = rb"(?i)secret_?(?:access_?)?key[\"']?\s*[=:,]\s*[\"']?[A-Za-z0-9/+]{40}(?![A-Za-z0-9/+])"
_SK = rb"(?<![A-Za-z0-9_-])sk-(?:[A-Za-z0-9_-]*[A-Za-z0-9]{20,}|(?=[A-Za-z_-]*[0-9])[A-Za-z0-9_-]{20,})"
# What it is, texts of which every instance has one (looked for first: fast), the whole of it.
_SECRETS: tuple[tuple[str, tuple[bytes, ...], re.Pattern[bytes]], ...] = tuple(
    (what, anchors, re.compile(pattern))
    for what, anchors, pattern in (
        ("an access token of the Hub", (b"hf_", b"api_org_"), rb"(?<![A-Za-z0-9])(?:hf|api_org)_[A-Za-z0-9]{30,}"),
        ("an AWS key", (b"AKIA", b"ASIA"), rb"(?<![A-Za-z0-9/+])A[KS]IA[A-Z0-9]{16}(?![A-Za-z0-9/+])"),
        ("an AWS secret", (b"cret", b"CRET"), _AWS_SECRET),
        ("a token of GitHub", (b"ghp_", b"gho_", b"ghu_", b"ghs_", b"ghr_"), rb"gh[pousr]_[A-Za-z0-9]{30,}"),
        ("a token of GitHub", (b"github_pat_",), rb"github_pat_[A-Za-z0-9_]{22,}"),
        ("a token of GitLab", (b"glpat-",), rb"glpat-[A-Za-z0-9_-]{20,}"),
        ("a secret key (sk-...)", (b"sk-",), _SK),
        ("a token of Slack", (b"xox",), rb"(?<![A-Za-z0-9])xox[abeprs]-[A-Za-z0-9-]{10,}"),
        ("a key of Google", (b"AIza",), rb"(?<![A-Za-z0-9])AIza[A-Za-z0-9_-]{35}"),
        ("a key of Weights & Biases", (b"wandb_v1_",), rb"wandb_v1_[A-Za-z0-9_]{20,}"),
        ("a key of Weights & Biases", (b"andb", b"ANDB"), _WANDB),
        ("a password", (b"login",), rb"machine\s+\S+\s+login\s+\S+\s+password\s+\S+"),
        ("a private key", (b"PRIVATE KEY",), rb"-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY(?: BLOCK)?-----"),
        ("a private key", (b"PuTTY-User-Key",), rb"PuTTY-User-Key-File-\d"),
    )
)
_HUB_TOKEN = re.compile(r"\bhf_[A-Za-z0-9]{8,}")
_RESIDUES = set(b"ACDEFGHIKLMNPQRSTVWY")
_DATA = {".parquet", ".csv", ".tsv", ".fa", ".fasta", ".faa", ".fastq"}
_BLOCK, _OVERLAP = 8 << 20, 4096
_UNPACKED, _DECODED, _DEPTH = 64 << 20, 16 << 20, 3
_BASE64 = re.compile(rb"[A-Za-z0-9+/_-]{24,}(?:(?:\r?\n|\\n)[A-Za-z0-9+/_-]{4,})*={0,2}")


def redact(text: str) -> str:
    """`text` without anything that looks like a token of the Hub.

    Examples:
        >>> redact("token hf_abcdefghijkl refused")
        'token hf_*** refused'
    """
    return _HUB_TOKEN.sub("hf_***", text)


_ROOT = r"(?:~|/(?!dev/|proc/|usr/|bin/|etc/|\s)[\w.@+-]+)/|[A-Za-z]:\\"
_PLACES = re.compile(
    rf"(?<=[\"'`])(?:file://)?(?:{_ROOT})[^\"'`\n]+(?=[\"'`])"  # a whole value may hold blanks
    rf"|(?<=: )(?:file://)?(?:{_ROOT})[^\"'`\n]+$"
    rf"|(?<![\w./:~}}\\-])(?:file://)?(?:{_ROOT})[\w.@+/\\-]+",  # not inside a word, an address or a relative path
    re.MULTILINE,
)


def without_folders(text: str) -> str:
    """`text` with every absolute path cut down to its last part: the folders of a machine are its owner's.

    Examples:
        >>> without_folders("finetune /home/anna/thesis/r.yaml data.path=/data/phage/reads --output runs/a")
        'finetune r.yaml data.path=reads --output runs/a'
        >>> without_folders("https://huggingface.co/a/b/c and 3/4 of a/b")
        'https://huggingface.co/a/b/c and 3/4 of a/b'
    """
    return _PLACES.sub(lambda match: re.split(r"[/\\]+", match[0].rstrip("/\\"))[-1], text)


def find_secrets(path: str, source: Path, content: bytes | None = None) -> list[str]:
    """What in a file looks like a secret: `an access token of the Hub in line 3`, never the secret itself.

    Looked through are the bytes as they are, as UTF-16 or UTF-32, in base64 or hexadecimal, in compressed files, and
    in the columns of Parquet tables. Of tensors only the names and what is whole bytes are read.

    Args:
        path (`str`): Its name in the repository.
        source (`Path`): The file.
        content (`bytes`, *optional*): What goes up in its place.
    """
    is_data = Path(path).suffix.lower() in _DATA
    if content is not None:
        found = _in_bytes(content, is_data)
    elif path.endswith(".parquet"):
        found = _in_table(source)
    elif path.endswith(".safetensors"):
        found = _in_tensors(source)
    else:
        found = _in_file(source, is_data)
    return list(dict.fromkeys(f"{what} {where}" for what, where in found))


def _matches(data: bytes, is_data: bool) -> Iterator[tuple[str, int]]:
    """What it is and where it starts. A peptide can spell an AWS key: in data it needs a letter that is no residue."""
    for what, anchors, pattern in _SECRETS:
        for anchor in anchors:
            at = data.find(anchor)
            while at >= 0:
                match = pattern.search(data, max(at - 100, 0), at + 1000)
                if match and not (is_data and what == "an AWS key" and set(match[0]) <= _RESIDUES):
                    yield what, match.start()
                at = data.find(anchor, max(match.end() if match else 0, at + len(anchor)))


def _in_bytes(data: bytes, is_data: bool, depth: int = 0) -> Iterator[tuple[str, str]]:
    for what, start in _matches(data, is_data):
        yield what, f"in line {data.count(bytes([10]), 0, start) + 1}"
    if depth >= _DEPTH:
        return
    if b"\0" in data:  # UTF-16 and UTF-32 are ASCII with zeros between
        narrow = data.replace(b"\0", b"")
        for what, start in _matches(narrow, is_data):
            yield what, f"in line {narrow.count(bytes([10]), 0, start) + 1}"
    for run in _BASE64.finditer(data, 0, _DECODED):
        for form, inner in _decoded(run[0]):
            for what, _ in _in_bytes(inner, False, depth + 1):
                line = data.count(b"\n", 0, run.start()) + 1
                yield what, f"in {form} in line {line}"
    for form, inner in _unpacked(data):
        for what, where in _in_bytes(inner, is_data, depth + 1):
            yield what, f"{where} of its {form} content"


def _decoded(run: bytes) -> Iterator[tuple[str, bytes]]:
    letters = b"".join(run.replace(b"\\n", b"\n").split()).rstrip(b"=")
    standard = letters.replace(b"-", b"+").replace(b"_", b"/")
    standard = standard[: len(standard) // 4 * 4] if len(standard) % 4 == 1 else standard
    yield "base64", base64.b64decode(standard + b"=" * (-len(standard) % 4))
    with contextlib.suppress(binascii.Error):
        yield "hexadecimal", binascii.unhexlify(letters)


def _unpacked(data: bytes) -> Iterator[tuple[str, bytes]]:
    """What a compressed file holds, up to 64 MiB in all; a torn one holds nothing that anybody could read."""
    openers: dict[bytes, tuple[str, Any]] = {
        b"\x1f\x8b": ("gzip", gzip.open),
        b"BZh": ("bzip2", bz2.open),
        b"\xfd7zXZ": ("xz", lzma.open),
    }
    for magic, (form, opener) in openers.items():
        if data.startswith(magic):
            with contextlib.suppress(OSError, EOFError, zlib.error, lzma.LZMAError):
                yield form, opener(io.BytesIO(data)).read(_UNPACKED)
    if not data.startswith(b"PK\x03\x04"):
        return
    room = _UNPACKED
    with contextlib.suppress(
        zipfile.BadZipFile, zlib.error, OSError, EOFError, ValueError, RuntimeError, struct.error
    ):
        archive = zipfile.ZipFile(io.BytesIO(data))
        for name in archive.namelist():
            content = archive.open(name).read(room)
            room -= len(content)
            yield f"zip ({name})", content


def _in_file(source: Path, is_data: bool) -> Iterator[tuple[str, str]]:
    """A file in blocks that overlap; small ones whole, with all that may be inside."""
    if source.stat().st_size <= _UNPACKED:
        yield from _in_bytes(source.read_bytes(), is_data)
        return
    lines, kept = 0, b""
    with source.open("rb") as stream:
        while block := stream.read(_BLOCK):
            data = kept + block
            for what, start in [*_matches(data, is_data), *_matches(data.replace(b"\0", b""), is_data)]:
                yield what, f"near line {lines + data.count(bytes([10]), 0, start) + 1}"
            kept = data[-_OVERLAP:]
            lines += data.count(b"\n", 0, len(data) - len(kept))


def _in_tensors(source: Path) -> Iterator[tuple[str, str]]:
    """The header of a safetensors file, and its tensors of bytes: weights are numbers, not text."""
    with source.open("rb") as stream:
        length = min(int.from_bytes(stream.read(8), "little"), _UNPACKED)
        header = stream.read(length)
        for what, _ in _matches(header, False):
            yield what, "in its metadata"
        for name, start, stop in re.findall(
            rb'"([^"]+)":\s*\{[^{}]*"dtype":\s*"(?:U8|I8)"[^{}]*"data_offsets":\s*\[(\d+),\s*(\d+)\]', header
        ):
            stream.seek(8 + length + int(start))
            for what, _ in _in_bytes(stream.read(min(int(stop) - int(start), _UNPACKED)), True, _DEPTH):
                yield what, f"in the tensor {name.decode(errors='replace')}"


def _in_table(source: Path) -> Iterator[tuple[str, str]]:
    try:
        table = pq.ParquetFile(source)
    except (pa.ArrowException, OSError):  # no table, whatever its name
        yield from _in_file(source, True)
        return
    for key, value in (table.schema_arrow.metadata or {}).items():
        for what, _ in _matches(key + b"=" + value, False):
            yield what, "in its metadata"
    rows = 0
    for batch in table.iter_batches():
        for name, column in zip(batch.schema.names, batch.columns, strict=True):
            if any(_may_hold(buffer) for buffer in _buffers(column)):
                for row, value in enumerate(column.to_pylist(), rows + 1):
                    for what, _ in _matches(_bytes_of(value), True):
                        yield what, f"in column {name}, row {row}"
        rows += batch.num_rows


def _may_hold(data: bytes) -> bool:
    return any(anchor in data for _, anchors, _ in _SECRETS for anchor in anchors)


def _buffers(column: pa.Array) -> Iterator[bytes]:
    """The bytes of all texts of a column, whatever they are nested in, one value directly behind the other."""
    if isinstance(column, pa.DictionaryArray):
        column = column.dictionary
    yield from (buffer.to_pybytes() for buffer in column.buffers() if buffer is not None and buffer.size >= 20)


def _bytes_of(value: Any) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode(errors="replace")
