"""FASTA as users have it: odd but right, and wrong in every usual way."""

from __future__ import annotations

import bz2
import gzip

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seqformers.datasets_scripts.common.fasta import LetterReport, check_letters, fasta_files, read_fasta

# Archives carry no time, so that every test process names these cases alike.
PLAIN = b">a first record\nACGT\nACG\n>b\nTTTT\n"


def read(folder, content, name="x.fa", **options):
    path = folder / name
    path.write_bytes(content)
    return [tuple(record) for record in read_fasta(path, **options)]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("plain.fa", PLAIN),
        ("crlf.fa", PLAIN.replace(b"\n", b"\r\n")),
        ("no_last_line_end.fa", PLAIN[:-1]),
        ("blank_lines.fa", PLAIN.replace(b">b", b"\n>b")),
        ("gzip.fa.gz", gzip.compress(PLAIN, mtime=0)),
        ("two_members.fa.gz", gzip.compress(PLAIN[:25], mtime=0) + gzip.compress(PLAIN[25:], mtime=0)),
        ("bzip2.fa.bz2", bz2.compress(PLAIN)),
        ("gzip_by_content.fa", gzip.compress(PLAIN, mtime=0)),
    ],
)
def test_records_are_read(tmp_path, name, content):
    expected = [("a", "first record", "ACGTACG"), ("b", "", "TTTT")]
    assert read(tmp_path, content, name, molecule="dna", unique_ids=True) == expected


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"a,b,c\n1,2,3\n", "neither FASTA nor FASTQ"),
        (bytes(range(200)), "neither FASTA nor FASTQ"),
        (b"\n\n", "neither FASTA nor FASTQ"),
        (b">a\nACGT\n>b", "after record 'a'"),
        (b">a\nACGT\n>a\nAC\n", "the id 'a' comes twice"),
        (b">p\nACMKLV\n", "letter 'L' at position 5 is no nucleotide; is this a protein"),
        (b">g\nAC-GT\n", "letter '-' at position 3 is a gap"),
        (b">g\nAC1GT\n", "letter '1' at position 3 is not a nucleotide code"),
    ],
)
def test_bad_files_are_named(tmp_path, content, message):
    with pytest.raises(ValueError, match=message) as error:
        read(tmp_path, content, molecule="dna", unique_ids=True)
    assert "x.fa" in str(error.value)


@pytest.mark.parametrize("keep", [25, 0.5, -4])
def test_truncated_gzip_is_refused(tmp_path, keep):
    packed = gzip.compress(b">a\n" + bytes(b"ACGT"[(i * i + i // 7) % 4] for i in range(50_000)) + b"\n")
    cut = packed[: int(keep * len(packed))] if isinstance(keep, float) else packed[:keep]
    with pytest.raises(ValueError, match=r"cut short or damaged|cannot be read"):
        read(tmp_path, cut, "x.fa.gz")


def test_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nowhere\.fa"):
        list(read_fasta(tmp_path / "nowhere.fa"))


def test_protein_is_read_as_protein(tmp_path):
    assert read(tmp_path, b">p\nMKLV*\n", molecule="protein")[0][2] == "MKLV*"
    with pytest.raises(ValueError, match="not a residue code"):
        read(tmp_path, b">p\nMK1\n", molecule="protein")


def slow_report(sequences):
    report = LetterReport()
    for text in sequences:
        report.records += 1
        report.letters += len(text)
        report.lower_case += sum(letter.islower() for letter in text)
        report.uracil += sum(letter in "uU" for letter in text)
        report.n += sum(letter in "nN" for letter in text)
        report.other_iupac += sum(letter.upper() not in "ACGTUN" for letter in text)
        report.only_n += bool(text) and not any(letter.upper() in "ACGTU" for letter in text)
        report.empty += not text
    return report


@given(st.lists(st.text("ACGTUNRYacgtunry", max_size=20), max_size=5))
def test_letters_are_counted(sequences):
    report = LetterReport()
    for text in sequences:
        report.add(text)
    assert report == slow_report(sequences)


def test_counts_of_a_file(tmp_path):
    report = LetterReport()
    read(tmp_path, b">a\nACgu\n>b\nNNNR\n>c\n>d\nACGT\n", molecule="dna", report=report)
    assert report == LetterReport(records=4, letters=12, lower_case=2, uracil=1, n=3, other_iupac=1, only_n=1, empty=1)
    with pytest.warns(UserWarning, match="33.3% of the letters"), pytest.warns(UserWarning, match="1 hold only N"):
        report.warn("this file")


def test_plain_dna_passes():
    check_letters("ACGTUacgtuNRYSWKMBDHVn", "dna", where="here")


def test_fasta_files_by_name(tmp_path):
    for name in ("b.fasta", "a.fna.gz", "c.txt", "d.fa.bz2", "e.gz"):
        (tmp_path / name).touch()
    assert [path.name for path in fasta_files(tmp_path)] == ["a.fna.gz", "b.fasta", "d.fa.bz2"]
