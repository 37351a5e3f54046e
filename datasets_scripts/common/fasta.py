"""Read FASTA and FASTQ files, plain or compressed, one record at a time in constant memory.

Parsing is needletail's; this module adds what a user needs when a file is not what its name says, and counts letters.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

__all__ = ["FASTA_SUFFIXES", "FastaRecord", "LetterReport", "check_letters", "fasta_files", "read_fasta"]

Molecule = Literal["dna", "protein"]

FASTA_SUFFIXES = (".fasta", ".fa", ".fna", ".ffn", ".fas", ".faa", ".fastq", ".fq")
_COMPRESSED = (".gz", ".bz2", ".xz", ".zst")

# IUPAC codes; U and T are both accepted for nucleotides, gaps are not letters of a sequence.
_NUCLEOTIDES = b"ACGTUNRYSWKMBDHVacgtunryswkmbdhv"
_PLAIN = b"ACGT"  # most letters of most files, so a look at the others decides
_RESIDUES = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz*"
_ALLOWED = {"dna": _NUCLEOTIDES, "protein": _RESIDUES}


class FastaRecord(NamedTuple):
    """One record: `id` (header up to the first white space), the rest of the header, and the letters as stored."""

    id: str
    description: str
    sequence: str


@dataclass
class LetterReport:
    """What the letters of a nucleotide input were; fill it with `add`, read it with `as_dict` or `warn`.

    Attributes:
        records (`int`): Records seen.
        letters (`int`): Letters in all.
        lower_case (`int`): Lower-case letters (read as upper case).
        uracil (`int`): U, read as T.
        n (`int`): N, an unknown base.
        other_iupac (`int`): R, Y, S, W, K, M, B, D, H, V.
        only_n (`int`): Records without a single A, C, G, T or U.
        empty (`int`): Records without letters.
    """

    records: int = 0
    letters: int = 0
    lower_case: int = 0
    uracil: int = 0
    n: int = 0
    other_iupac: int = 0
    only_n: int = 0
    empty: int = 0

    def add(self, sequence: str | bytes) -> None:
        """Count one sequence."""
        data = sequence.encode("ascii", "replace") if isinstance(sequence, str) else sequence
        self._add(len(data), data.translate(None, _PLAIN))

    def _add(self, length: int, odd: bytes) -> None:
        """Count a sequence of `length` letters of which `odd` are those not in upper-case ACGT."""
        self.records += 1
        self.letters += length
        self.empty += length == 0
        if not odd:
            return
        upper = odd.upper()
        self.lower_case += len(odd.translate(None, b"ABCDEFGHIJKLMNOPQRSTUVWXYZ*-."))
        self.uracil += upper.count(b"U")
        self.n += upper.count(b"N")
        ambiguous = len(upper.translate(None, b"ACGTU"))
        self.other_iupac += ambiguous - upper.count(b"N")
        self.only_n += ambiguous == length

    @property
    def ambiguous_share(self) -> float:
        """Share of the letters that are not A, C, G, T or U."""
        return (self.n + self.other_iupac) / self.letters if self.letters else 0.0

    def as_dict(self) -> dict[str, int]:
        """The counts by name."""
        return dict(vars(self))

    def warn(self, where: str, *, above: float = 0.05) -> None:
        """Warn when the input is likely not what the user means: many unknown bases, empty or all-N records."""
        if self.ambiguous_share > above:
            warnings.warn(f"{where}: {self.ambiguous_share:.1%} of the letters are not A, C, G, T or U", stacklevel=2)
        if self.empty or self.only_n:
            warnings.warn(f"{where}: {self.empty} records are empty and {self.only_n} hold only N", stacklevel=2)


def read_fasta(
    path: str | Path,
    *,
    molecule: Molecule | None = None,
    unique_ids: bool = False,
    report: LetterReport | None = None,
) -> Iterator[FastaRecord]:
    """Yield the records of a FASTA or FASTQ file in file order; line ends and wrapping are removed.

    Args:
        path (`str` or `Path`): Plain, gzip, bzip2, xz or zstandard file.
        molecule (`"dna"` or `"protein"`, *optional*): Check that the letters are those of this molecule (`"dna"`
            takes RNA and IUPAC codes too).
        unique_ids (`bool`, *optional*, defaults to `False`): Refuse an id that comes twice.
        report (`LetterReport`, *optional*): Counts the letters of what is read.

    Yields:
        `FastaRecord`: letters as stored (case kept, nothing translated).

    Raises:
        FileNotFoundError: `path` does not exist.
        ValueError: the file is empty, is not FASTA/FASTQ, breaks off, has letters of another molecule or an id twice;
            the message names the file and the record.
    """
    from needletail import NeedletailError, parse_fastx_file

    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no such FASTA file: {path}")
    if path.stat().st_size == 0:
        raise ValueError(f"{path} is empty; expected at least one FASTA record ('>id' and a sequence line)")
    last = None
    seen: set[str] = set()
    try:
        for parsed in parse_fastx_file(str(path)):
            name, _, description = parsed.id.partition(" ")
            name, _, more = name.partition("\t")
            record = FastaRecord(name, f"{more} {description}".strip(), parsed.seq)
            odd = b"" if molecule is None and report is None else _odd(record.sequence)
            if molecule is not None and odd.translate(None, _ALLOWED[molecule]):
                check_letters(record.sequence, molecule, where=f"{path}, record {name!r}")
            if report is not None:
                report._add(len(record.sequence), odd)
            if unique_ids:
                if name in seen:
                    raise ValueError(f"{path}: the id {name!r} comes twice; give every record its own id")
                seen.add(name)
            last = name
            yield record
    except NeedletailError as error:
        where = f"after record {last!r}" if last is not None else "at its start"
        raise ValueError(f"{path} cannot be read {where}: {_reason(path, error)}") from error


def check_letters(sequence: str, molecule: Molecule, *, where: str) -> None:
    """Raise `ValueError` naming the first letter of `sequence` that `molecule` does not have.

    Args:
        sequence (`str`): Letters in either case.
        molecule (`"dna"` or `"protein"`): `"dna"` has the IUPAC nucleotide codes and U.
        where (`str`): How the message names the sequence.

    Examples:
        >>> check_letters("ACGTN", "dna", where="record 'a'")
        >>> check_letters("MKLV", "dna", where="record 'a'")
        Traceback (most recent call last):
        ValueError: record 'a': letter 'L' at position 3 is no nucleotide; is this a protein? expected DNA or RNA
    """
    data = sequence.encode("ascii", "replace")
    wrong = data.translate(None, _ALLOWED[molecule])
    if not wrong:
        return
    letter = sequence[data.index(wrong[:1])]
    position = sequence.index(letter) + 1
    if molecule == "dna" and letter.isalpha() and letter.isascii():
        hint = "is no nucleotide; is this a protein? expected DNA or RNA"
    elif letter in "-.":
        hint = "is a gap; remove the gaps of the alignment first"
    else:
        hint = f"is not a {'nucleotide' if molecule == 'dna' else 'residue'} code"
    raise ValueError(f"{where}: letter {letter!r} at position {position} {hint}")


def _odd(sequence: str) -> bytes:
    return sequence.encode("ascii", "replace").translate(None, _PLAIN)


def fasta_files(folder: str | Path) -> list[Path]:
    """Return the FASTA and FASTQ files directly in `folder`, plain or compressed, sorted by name."""
    return sorted(path for path in Path(folder).iterdir() if path.is_file() and is_fasta(path))


def is_fasta(path: Path) -> bool:
    """Whether the name says FASTA or FASTQ, plain or compressed."""
    suffixes = [suffix.lower() for suffix in path.suffixes]
    if suffixes and suffixes[-1] in _COMPRESSED:
        suffixes.pop()
    return bool(suffixes) and suffixes[-1] in FASTA_SUFFIXES


def _reason(path: Path, error: Exception) -> str:
    """Say in plain words what a parser error means."""
    text = str(error)
    low = text.lower()
    if path.suffix in _COMPRESSED and any(word in low for word in ("corrupt", "eof", "deflate", "end of file", "io")):
        return f"the compressed file is cut short or damaged; copy it again ({text})"
    if "expected '>'" in low or "fastx" in low or "start" in low:
        return f"it is neither FASTA nor FASTQ ({text})"
    return text
