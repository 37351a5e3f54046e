"""Read variants from VCF files: one alternative at a time, checked against the genome they are said of."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from seqformers.datasets_scripts.common.remarks import Remarks
from seqformers.datasets_scripts.common.streams import check_source, numbered_lines, text_of, what_it_is

__all__ = ["Variant", "check_contigs", "check_reference", "read_vcf"]

_LETTERS = re.compile("[ACGTNacgtn]+")
_SYMBOLIC = re.compile(r"\*|\.|<.*>|.*[\[\]].*")  # overlapping deletions, no alternative, symbols, breakends


class Variant(NamedTuple):
    """One alternative of a line of a VCF file.

    Args:
        line (`int`): Number of the line.
        contig (`str`): Sequence it lies on.
        position (`int`): Of the first letter of `reference`, from 1.
        id (`str`): Third column; `.` where it has none.
        reference (`str`): Letters of the genome, in capitals.
        alternative (`str`): What stands there instead, in capitals.
    """

    line: int
    contig: str
    position: int
    id: str
    reference: str
    alternative: str

    @property
    def is_substitution(self) -> bool:
        """Whether as many letters come as go."""
        return len(self.reference) == len(self.alternative)

    def __str__(self) -> str:
        return f"{self.contig}:{self.position} {self.reference}>{self.alternative}"


def read_vcf(source: str | Path, remarks: Remarks) -> Iterator[Variant]:
    """Yield the variants of a VCF file, in its order; a line with several alternatives gives as many.

    Alternatives that are no letters (`<DEL>`, `*`, breakends) are counted in `remarks` and left out. Genotypes are not
    read.

    Args:
        source (`str` or `Path`): `.vcf`, compressed or not, or a pipe.
        remarks (`Remarks`): Decides what becomes of a line that is no variant, and counts what is left out.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: a folder, or a line that is no variant; the message names it.
    """
    check_source(source, "VCF file")
    return _variants(source, remarks)


def _variants(source: str | Path, remarks: Remarks) -> Iterator[Variant]:
    for number, line in numbered_lines(source):
        text, _ = text_of(line)
        text = text.rstrip("\r\n")
        if not text.strip() or text.startswith("#"):
            continue
        fields = text.split("\t")
        wrong = _what_is_wrong(fields)
        if wrong:
            remarks.problem("lines left out", f"{source} line {number}: {wrong}{what_it_is(line)}")
            continue
        contig, position, name, reference, alternatives = (field.strip() for field in fields[:5])
        for alternative in alternatives.split(","):
            if _LETTERS.fullmatch(alternative):
                yield Variant(number, contig, int(position), name, reference.upper(), alternative.upper())
            else:
                what = "alternatives that are no letters, left out"
                remarks.note(what, f"{source} line {number}: {alternative}")


def _what_is_wrong(fields: list[str]) -> str:
    """Why a line is no variant; empty where it is one."""
    if len(fields) < 5:
        if len(fields) == 1 and len(fields[0].split()) >= 5:
            return "its columns are separated by spaces; VCF wants tabs (tr -s ' ' '\\t')"
        return f"{len(fields)} of the 5 columns CHROM POS ID REF ALT, separated by tabs"
    if not fields[1].strip().isdecimal() or int(fields[1]) < 1:
        return f"POS is {fields[1]!r}; expected a whole number from 1 on"
    if not _LETTERS.fullmatch(fields[3].strip()):
        return f"REF is {fields[3]!r}; expected letters A, C, G, T or N"
    for alternative in fields[4].strip().split(","):
        if not _LETTERS.fullmatch(alternative) and not _SYMBOLIC.fullmatch(alternative):
            return f"ALT is {fields[4]!r}; expected letters A, C, G, T or N"
    return ""


def check_contigs(wanted: Collection[str], known: Collection[str], vcf: str | Path, fasta: str | Path) -> None:
    r"""Raise `ValueError` for contigs of a VCF file that a FASTA file lacks, with the renaming that would help.

    Examples:
        >>> check_contigs({"1"}, {"chr1", "chr2"}, "a.vcf", "g.fa")
        Traceback (most recent call last):
        ...
        ValueError: a.vcf speaks of '1', which g.fa calls 'chr1': rename them: sed 's/^\([0-9XYM]\)/chr\1/' a.vcf
    """
    missing = sorted(set(wanted) - set(known))
    if not missing:
        return
    for name in missing:
        other = _other_name(name, known)
        if other:
            how = rf"sed 's/^chr//' {vcf}" if name.startswith("chr") else rf"sed 's/^\([0-9XYM]\)/chr\1/' {vcf}"
            raise ValueError(f"{vcf} speaks of {name!r}, which {fasta} calls {other!r}: rename them: {how}")
    some = ", ".join(sorted(known)[:5])
    raise ValueError(f"{fasta} has no sequence {', '.join(missing[:3])} of {vcf}; it has {some}")


def _other_name(name: str, known: Collection[str]) -> str | None:
    """The name in use for a contig that is known by another one: with or without `chr`, MT for M."""
    bare = name.removeprefix("chr")
    mitochondrial = ["M", "MT", "chrM", "chrMT"] if bare in ("M", "MT") else []
    return next((other for other in (bare, f"chr{bare}", *mitochondrial) if other in known), None)


def check_reference(variant: Variant, genome: Mapping[str, str], vcf: str | Path, fasta: str | Path) -> str | None:
    """What speaks against a variant, in words; None where its REF is what the genome has there."""
    letters, start = genome[variant.contig], variant.position - 1
    end = start + len(variant.reference)
    where = f"{vcf} line {variant.line}"
    if end > len(letters):
        return f"{where}: {variant} lies behind the end of {variant.contig!r} in {fasta} ({len(letters):,} letters)"
    found = letters[start:end].upper().replace("U", "T")
    if found != variant.reference:
        return (
            f"{where}: REF of {variant} is {variant.reference}, but {fasta} has {found} there; were the variants "
            "called on another build of the genome?"
        )
    return None
