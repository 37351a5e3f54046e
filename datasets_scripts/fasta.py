"""Read FASTA and FASTQ files, plain or gzip, one record at a time in constant memory.

Parsing is needletail's; this module adds what a user needs when a file is not what its name says.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

__all__ = ["FastaRecord", "read_fasta"]


class FastaRecord(NamedTuple):
    """One record: `id` (header up to the first white space), the rest of the header, and the letters as stored."""

    id: str
    description: str
    sequence: str


def read_fasta(path: str | Path) -> Iterator[FastaRecord]:
    """Yield the records of a FASTA or FASTQ file in file order; line ends and wrapping are removed.

    Args:
        path (`str` or `Path`): Plain, gzip, bzip2 or xz file.

    Yields:
        `FastaRecord`: letters as stored (case kept, nothing translated).

    Raises:
        FileNotFoundError: `path` does not exist.
        ValueError: the file is empty, is not FASTA/FASTQ, or breaks off; the message names the file and the
            last record that was read whole.
    """
    from needletail import NeedletailError, parse_fastx_file

    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no such FASTA file: {path}")
    if path.stat().st_size == 0:
        raise ValueError(f"{path} is empty; expected at least one FASTA record ('>id' and a sequence line)")
    last = None
    try:
        for record in parse_fastx_file(str(path)):
            name, _, description = record.id.partition(" ")
            last = name
            yield FastaRecord(name, description.strip(), record.seq)
    except NeedletailError as error:
        where = f"after record {last!r}" if last is not None else "at its start"
        raise ValueError(f"{path} cannot be read {where}: {error}") from error
