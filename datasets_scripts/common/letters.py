"""The letters of molecules: what each may hold, what a sequence holds, and what to say of a letter that is none."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Literal

__all__ = ["ALLOWED", "BASES", "LETTERS", "PLAIN", "LetterReport", "Molecule", "check_letters", "odd_letters"]

Molecule = Literal["dna", "rna", "protein"]

PLAIN = b"ACGT"  # most letters of most files, so a look at the others decides
BASES = b"ACGTUNacgtun"
# IUPAC codes; U and T are both accepted for nucleotides, gaps and stops are not letters of a sequence.
_NUCLEOTIDES = b"ACGTUNRYSWKMBDHVacgtunryswkmbdhv"
_RESIDUES = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
ALLOWED: dict[str, bytes] = {"dna": _NUCLEOTIDES, "rna": _NUCLEOTIDES, "protein": _RESIDUES}
LETTERS = _RESIDUES + b"*-."  # what sequence files of any kind hold


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
        self._add(len(data), data.translate(None, PLAIN))

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

    def add_parts(self, parts: LetterReport) -> None:
        """Count one sequence whose parts another report has counted, one by one."""
        for name in ("letters", "lower_case", "uracil", "n", "other_iupac"):
            setattr(self, name, getattr(self, name) + getattr(parts, name))
        self.records += 1
        self.empty += parts.letters == 0
        self.only_n += 0 < parts.letters == parts.n + parts.other_iupac

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


def odd_letters(sequence: str) -> bytes:
    """The letters of a sequence other than A, C, G, T, in their order; each letter outside ASCII is a `?`."""
    return sequence.encode("ascii", "replace").translate(None, PLAIN)


def check_letters(sequence: str, molecule: Molecule, *, where: str) -> None:
    """Raise `ValueError` naming the first letter of `sequence` that `molecule` does not have, and what to do.

    Args:
        sequence (`str`): Letters in either case.
        molecule (`"dna"`, `"rna"` or `"protein"`): Nucleotides are the IUPAC codes with T and U, residues all 26
            letters.
        where (`str`): How the message names the sequence.

    Examples:
        >>> check_letters("ACGTN", "dna", where="record 'a'")
        >>> check_letters("MKLV", "dna", where="record 'a'")
        Traceback (most recent call last):
        ValueError: record 'a': letter 'L' at position 3 is no nucleotide; is this a protein? expected DNA or RNA
    """
    data = sequence.encode("ascii", "replace")
    wrong = data.translate(None, ALLOWED[molecule])
    if not wrong:
        return
    allowed = frozenset(ALLOWED[molecule].decode())
    position = next(place for place, letter in enumerate(sequence, 1) if letter not in allowed)
    raise ValueError(
        f"{where}: letter {sequence[position - 1]!r} at position {position} {_fix(sequence, position, molecule)}"
    )


def _fix(sequence: str, position: int, molecule: Molecule) -> str:
    """What the letter at `position` is, and what to do about it."""
    letter = sequence[position - 1]
    nucleic = molecule != "protein"
    kind = "nucleotide" if nucleic else "residue"
    if nucleic and letter.isalpha() and letter.isascii():
        rest = sequence.upper().encode("ascii", "replace").translate(None, ALLOWED[molecule])
        if set(rest) == {ord("X")}:
            return "is no nucleotide; write N for an unknown base"
        return "is no nucleotide; is this a protein? expected DNA or RNA"
    if letter in "-.":
        return "is a gap; remove the gaps of the alignment first"
    if letter == "*":
        return "is a stop codon; " + (
            "is this a translated protein? expected DNA or RNA" if nucleic else "cut the protein there, or write X"
        )
    return f"is not a {kind} code"
