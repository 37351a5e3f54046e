"""Read FASTA and FASTQ, plain or compressed, one record at a time in constant memory: the one reader of sequences.

Clean files are parsed by needletail. From the first thing it cannot tell (or any other letter than those of sequences)
the reader of `fasta_lines` takes over, which mends what has one meaning and names what has none.
"""

from __future__ import annotations

import re
from collections.abc import Generator, Iterator
from itertools import islice
from pathlib import Path

from needletail import NeedletailError, parse_fastx_file

from seqformers.datasets_scripts.common.fasta_lines import FastaRecord, read_lines, record_of
from seqformers.datasets_scripts.common.letters import (
    ALLOWED,
    BASES,
    LETTERS,
    LetterReport,
    Molecule,
    check_letters,
    odd_letters,
)
from seqformers.datasets_scripts.common.long_letters import LongLetters
from seqformers.datasets_scripts.common.remarks import OnError, Remarks
from seqformers.datasets_scripts.common.streams import check_source, is_packed, is_stream

__all__ = ["FASTA_SUFFIXES", "fasta_files", "genome_name", "is_fasta", "read_fasta"]

FASTA_SUFFIXES = (
    ".fasta", ".fa", ".fna", ".ffn", ".fas", ".faa", ".frn", ".fsa", ".fsa_nt", ".fastq", ".fq"
)  # fmt: skip
_COMPRESSED = (".gz", ".bz2", ".xz", ".zst")
_TELLING = 20  # residues of which one can say that they are all bases
_STRANGE = re.compile("[\x00-\x08\x0a-\x1f\ufffd]")  # of a header: control characters, and what was no UTF-8


def read_fasta(
    source: str | Path,
    *,
    molecule: Molecule | None = None,
    unique_ids: bool = False,
    on_error: OnError | None = None,
    remarks: Remarks | None = None,
    report: LetterReport | None = None,
    held: int | None = None,
) -> Iterator[FastaRecord]:
    """Yield the records of a FASTA or FASTQ file in file order; line ends and wrapping are removed.

    What has one meaning only is read, and counted in `remarks`: a byte order mark, UTF-16, Latin-1 in a header, blank
    and `;` lines, blanks at line ends, the numbers of a GenBank or EMBL listing, the one `*` that ends a protein. All
    else that is no letter of a sequence is refused.

    Args:
        source (`str` or `Path`): A file, plain or compressed (gzip, bzip2, xz, zstandard, told by content), a named
            pipe, or `-` for standard input.
        molecule (`"dna"`, `"rna"` or `"protein"`, *optional*): Check that the letters are those of this molecule
            (`"dna"` and `"rna"` both take T, U and IUPAC codes). `None` takes any letter, `*`, `-` and `.`.
        unique_ids (`bool`, *optional*, defaults to `False`): Refuse an id that comes twice.
        on_error (`"raise"` or `"skip"`, *optional*): `"skip"` leaves out a record that cannot be used and counts it in
            `remarks`; default: what `remarks` say, else `"raise"`. A file whose records cannot be told apart is
            refused in any case.
        remarks (`Remarks`, *optional*): Told of what was mended, skipped or odd; default: warnings at the end.
        report (`LetterReport`, *optional*): Counts the letters of what is read.
        held (`int`, *optional*): Letters of a record that are held: the sequence of a longer one is a
            [`LongLetters`], so that memory does not grow with the record either. By default it is a `str` in any case.

    Yields:
        `FastaRecord`: letters as stored (case kept, nothing translated); `""` for a record without letters.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: a folder; an empty file; no FASTA/FASTQ; a file that breaks off; letters of another molecule; an id
            twice. The message names file, record, position and fix.
    """
    check_source(source, "FASTA file")
    if molecule not in (None, *ALLOWED):
        raise ValueError(f"molecule is one of {', '.join(ALLOWED)} or None, not {molecule!r}")
    told = Remarks(on_error or "raise") if remarks is None else remarks.with_on_error(on_error)
    records = _checked(_records(source, told, held), source, molecule, unique_ids, told, report)
    return _warned(records, source, told) if remarks is None else records


def _warned(records: Iterator[FastaRecord], source: str | Path, remarks: Remarks) -> Iterator[FastaRecord]:
    yield from records
    remarks.warn()


def _checked(
    records: Iterator[FastaRecord],
    source: str | Path,
    molecule: Molecule | None,
    unique_ids: bool,
    remarks: Remarks,
    report: LetterReport | None,
) -> Iterator[FastaRecord]:
    """The records whose letters and ids will do."""
    seen: set[str] = set()
    for record in records:
        if isinstance(record.sequence, LongLetters):
            if not unique_ids and _is_counted(record.sequence, molecule, report):
                yield record
                continue
            record = record._replace(sequence=record.sequence[:])  # what is wrong with it is said below
        odd = b"" if molecule is None and report is None else odd_letters(record.sequence)
        if molecule == "protein":
            if record.sequence.endswith("*"):
                record = record._replace(sequence=record.sequence[:-1])
                remarks.note("proteins end in '*', which was removed", repr(record.id))
            if len(record.sequence) >= _TELLING and not odd.translate(None, BASES):
                remarks.note("records of a protein file hold only A, C, G, T, U and N: is this DNA?", repr(record.id))
        try:
            if molecule is not None and odd.translate(None, ALLOWED[molecule]):
                check_letters(record.sequence, molecule, where=f"{source}, record {record.id!r}")
            if unique_ids and record.id in seen:
                raise ValueError(f"{source}: the id {record.id!r} comes twice; give every record its own id")
        except ValueError as error:
            remarks.problem("records left out", str(error))
            continue
        if unique_ids:
            seen.add(record.id)
        if report is not None:
            report._add(len(record.sequence), odd)
        yield record


def _is_counted(letters: LongLetters, molecule: Molecule | None, report: LetterReport | None) -> bool:
    """Count letters part by part; False, and nothing counted, if they are to be looked at as a whole."""
    if molecule == "protein":
        return False
    counts = LetterReport()
    for part in letters.parts():
        if molecule is not None and odd_letters(part).translate(None, ALLOWED[molecule]):
            return False
        counts.add(part)
    if report is not None:
        report.add_parts(counts)
    return True


def _records(source: str | Path, remarks: Remarks, held: int | None) -> Iterator[FastaRecord]:
    """All records: by needletail as far as the file is clean, from there on by the reader that tells what is wrong."""
    done, whole = 0, False
    # needletail holds a whole record, however long it is; of a packed file nobody knows.
    if not is_stream(source) and (held is None or (Path(source).stat().st_size <= held and not is_packed(source))):
        fast = _clean_records(str(source))
        while True:
            try:
                record = next(fast)
            except StopIteration as end:
                whole = end.value
                break
            done += 1
            yield record
    if not whole:
        yield from islice(read_lines(source, remarks, held), done, None)


def _clean_records(path: str) -> Generator[FastaRecord, None, bool]:
    """Yield records up to the first thing that is not plain FASTA or FASTQ; return whether there was none."""
    try:
        for parsed in parse_fastx_file(path):
            header, sequence = parsed.id, parsed.seq
            if _STRANGE.search(header) or not _is_plain(sequence):
                return False
            yield record_of(header, sequence)
    except (NeedletailError, UnicodeError):
        return False
    return True


def _is_plain(sequence: str) -> bool:
    """Whether a text holds nothing but letters, stops and gaps."""
    return (sequence.isalpha() and sequence.isascii()) or not sequence.encode("ascii", "replace").translate(
        None, LETTERS
    )


def fasta_files(folder: str | Path) -> list[Path]:
    """Return the FASTA and FASTQ files directly in `folder`, plain or compressed, sorted by name.

    Files whose names begin with a dot are what systems leave beside the user's (`._x.fna`), not the user's.
    """
    return sorted(path for path in Path(folder).iterdir() if path.is_file() and is_fasta(path))


def genome_name(path: Path, root: Path) -> str:
    """The name of a file below `root` without the suffixes that say what kind of file it is.

    Examples:
        >>> genome_name(Path("in/E.faecalis_1.fna.gz"), Path("in"))
        'E.faecalis_1'
        >>> genome_name(Path("in/GCF_1/genomic.fa"), Path("in"))
        'GCF_1/genomic'
    """
    name = path.relative_to(root).as_posix()
    for endings in (_COMPRESSED, FASTA_SUFFIXES):
        ending = Path(name).suffix
        if ending.lower() in endings:
            name = name.removesuffix(ending)
    return name


def is_fasta(path: Path) -> bool:
    """Whether the name says FASTA or FASTQ, plain or compressed, and is no hidden one."""
    if path.name.startswith("."):
        return False
    suffixes = [suffix.lower() for suffix in path.suffixes]
    if suffixes and suffixes[-1] in _COMPRESSED:
        suffixes.pop()
    return bool(suffixes) and suffixes[-1] in FASTA_SUFFIXES
