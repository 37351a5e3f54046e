"""Read regions of a genome from BED and narrowPeak files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from seqformers.datasets_scripts.common.streams import check_source, numbered_lines, text_of, what_it_is

__all__ = ["read_bed"]

_NOT_DATA = ("#", "track", "browser")


def read_bed(source: str | Path) -> Iterator[tuple[int, str, int, int]]:
    """Yield line number, chromosome, start and end (0-based, half-open) of each region.

    Comment, `track` and `browser` lines and one header line (`chrom start end`) are passed over. The columns behind
    the third are not read, whatever their encoding.

    Args:
        source (`str` or `Path`): A BED or narrowPeak file, plain or compressed, or a pipe.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: a folder, or a line that is no region; the message names it.
    """
    check_source(source, "BED file")
    return _regions(source)


def _regions(source: str | Path) -> Iterator[tuple[int, str, int, int]]:
    first = True
    for number, line in numbered_lines(source):
        text, _ = text_of(line)
        fields = text.split("\t") if text.count("\t") >= 2 else text.split()
        if not text.strip() or text.startswith(_NOT_DATA):
            continue
        names = [field.strip().lower() for field in fields[1:3]]
        is_header = first and len(names) == 2 and not any(name.lstrip("+-").isdecimal() for name in names)
        first = False
        if is_header and all(name.replace("_", "").isalpha() for name in names):
            continue
        try:
            start, end = int(fields[1]), int(fields[2])
        except (IndexError, ValueError):
            start, end = 0, 0
        if not 0 <= start < end:
            kind = what_it_is(line)
            raise ValueError(
                f"{source} line {number}: {' '.join(fields[:4])[:80]!r} is no region; expected chromosome, start, end "
                "with 0 <= start < end, separated by tabs" + (f"; the file is {kind}" if kind else "")
            )
        yield number, fields[0].strip(), start, end
