"""FASTA as users have it: odd but right, and wrong in every usual way."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import threading
import warnings

import pyarrow as pa
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from seqformers.datasets_scripts.common import streams
from seqformers.datasets_scripts.common.fasta import _checked, fasta_files, read_fasta
from seqformers.datasets_scripts.common.fasta_lines import read_lines
from seqformers.datasets_scripts.common.letters import LetterReport, check_letters
from seqformers.datasets_scripts.common.long_letters import LongLetters
from seqformers.datasets_scripts.common.remarks import Remarks

# Archives carry no time, so that every test process names these cases alike.
PLAIN = b">a first record\nACGT\nACG\n>b\nTTTT\n"
READ = [("a", "first record", "ACGTACG"), ("b", "", "TTTT")]


def read(folder, content, name="x.fa", **options):
    path = folder / name
    path.write_bytes(content)
    return [tuple(record) for record in read_fasta(path, **options)]


def zstd(data):
    return pa.Codec("zstd").compress(data, asbytes=True)


def outcome(records):
    """What a reader gives: its records up to the end or the error."""
    got = []
    try:
        for record in records:
            got.append(tuple(record))
    except ValueError as error:
        return got, str(error)
    return got, None


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("plain.fa", PLAIN),
        ("crlf.fa", PLAIN.replace(b"\n", b"\r\n")),
        ("no_last_line_end.fa", PLAIN[:-1]),
        ("blank_lines.fa", PLAIN.replace(b">b", b"\n>b")),
        ("blank_lines_at_the_end.fa", PLAIN + b"\n\n\n"),
        ("gzip.fa.gz", gzip.compress(PLAIN, mtime=0)),
        ("two_members.fa.gz", gzip.compress(PLAIN[:25], mtime=0) + gzip.compress(PLAIN[25:], mtime=0)),
        ("bzip2.fa.bz2", bz2.compress(PLAIN)),
        ("xz.fa.xz", lzma.compress(PLAIN)),
        ("zstandard.fa.zst", zstd(PLAIN[:25]) + zstd(PLAIN[25:])),
        ("gzip_by_content.fa", gzip.compress(PLAIN, mtime=0)),
        ("utf8_mark.fa", b"\xef\xbb\xbf" + PLAIN),
        ("utf16.fa", PLAIN.decode().encode("utf-16")),
        ("utf16_be.fa", b"\xfe\xff" + PLAIN.decode().encode("utf-16-be")),
        ("utf16_without_mark.fa", PLAIN.decode().encode("utf-16-le")),
        ("utf32.fa", PLAIN.decode().encode("utf-32")),
        ("utf16_crlf.fa.gz", gzip.compress(PLAIN.replace(b"\n", b"\r\n").decode().encode("utf-16"), mtime=0)),
        ("old_mac.fa", PLAIN.replace(b"\n", b"\r")),
        ("fastq.fq", b"@a first record\nACGTACG\n+\nIIII@II\n@b\nTTTT\n+b\n>III\n"),
        ("wrapped.fq", b"@a first record\nACGT\nACG\n+\n@III\nIII\n@b\nTTTT\n+\nIIII\n\n"),
    ],
)
def test_records_are_read(tmp_path, name, content):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert read(tmp_path, content, name, molecule="dna", unique_ids=True) == READ


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"\n \n" + PLAIN, "2 blank or comment lines before the first record"),
        (b"; Lab 3\n# exported\n" + PLAIN, "2 blank or comment lines before the first record"),
        (PLAIN.replace(b"TTTT", b"; checked\nTTTT"), "1 comment lines inside records"),
        (PLAIN.replace(b"ACGT\n", b" ACGT \t\n").replace(b"TTTT", b"TTTT  "), "2 lines with blanks at their ends"),
        (PLAIN.replace(b"ACGT\nACG\n", b"   1 acgt\n   5 acg\n//\n".upper()), "2 lines with the numbers"),
        (PLAIN.replace(b"ACGT\nACG\n", b"  ACGT      4\n  ACG       7\n//\n"), "2 lines with the numbers"),
        (PLAIN.replace(b"ACGT\nACG\n", b" 5401 ACGT\n 5405 ACG\n"), "2 lines with the numbers"),
    ],
)
def test_what_has_one_meaning_is_mended_and_counted(tmp_path, content, said):
    remarks = Remarks()
    assert read(tmp_path, content, molecule="dna", remarks=remarks) == READ
    assert len(remarks.lines()) == 1 and remarks.lines()[0].startswith(said)
    with pytest.warns(UserWarning, match=said):
        assert read(tmp_path, content, molecule="dna") == READ


def test_groups_of_ten_are_one_sequence(tmp_path):
    remarks = Remarks()
    text = b">a\n        1 CCGTAATGCC TTTCCCTAAC AGAG\n       25 ACGTTT\n>b\nCCGTAATGCC TTTCCCTAAC AG\n"
    got = read(tmp_path, text, molecule="dna", remarks=remarks)
    assert [record[2] for record in got] == ["CCGTAATGCCTTTCCCTAACAGAGACGTTT", "CCGTAATGCCTTTCCCTAACAG"]
    assert list(remarks.counts.values()) == [3]


@pytest.mark.parametrize(
    ("header", "name"),
    [
        (b">caf\xe9 M\xfcller", "café"),
        (b">caf\xc3\xa9 M\xc3\xbcller", "café"),
        ("café Müller".encode("utf-16-le"), "café"),
    ],
)
def test_ids_keep_their_letters(tmp_path, header, name):
    content = header + b"\nACGT\n"
    if not header.startswith(b">"):
        content = ">café Müller\nACGT\n".encode("utf-16")
    remarks = Remarks()
    assert read(tmp_path, content, remarks=remarks) == [(name, "Müller", "ACGT")]
    assert ("read as Latin-1" in str(remarks.lines())) == (b"\xe9" in content and b"\xff" not in content)


def test_a_name_after_a_blank_is_the_id(tmp_path):
    assert read(tmp_path, b"> a  b\tc\nAC\n>\nAC\n") == [("a", "b\tc", "AC"), ("", "", "AC")]


@pytest.mark.parametrize(
    "content", [b">a\nAC\n>e\n>b\nGT\n", b">a\nAC\n>b\nGT\n>e", b">e\n", b">a\nAC\n>e x\r\n\r\n\r\n"]
)
def test_an_empty_record_is_a_record(tmp_path, content):
    ids = [line[:1].decode() for line in content.split(b">")[1:]]
    got = read(tmp_path, content, molecule="dna")
    assert [(record[0], len(record[2])) for record in got] == [(name, 0 if name == "e" else 2) for name in ids]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"\n\n", "is empty"),
        (b"a,b,c\n1,2,3\n", "neither FASTA nor FASTQ"),
        (bytes(range(200)), "neither FASTA nor FASTQ"),
        (b"PK\x03\x04" + bytes(99), "it is a zip archive or an Excel workbook"),
        (b"LOCUS       NC_1\n", "it is a GenBank file"),
        (b"<!DOCTYPE html><html>", "it is a web page"),
        (b"@HD\tVN:1.6\n", "it is a SAM file"),
        (b">a\nACGT\n>a\nAC\n", "the id 'a' comes twice"),
        (b">p\nACMKLV\n", "record 'p': letter 'L' at position 5 is no nucleotide; is this a protein"),
        (b">p\nACGTXXX\n", "letter 'X' at position 5 is no nucleotide; write N"),
        (b">p\nACGT*\n", r"letter '\*' at position 5 is a stop codon; is this a translated protein"),
        (b">g\nAC-GT\n", "record 'g': letter '-' at position 3 is a gap"),
        (b">g\nACGT\nAC1GT\n", r"record 'g': letter '1' at position 7 .* remove numbers .*\(line 3\)"),
        (b">g\n1 ACGT\n9 ACGT\n", "letter '9' at position 5"),
        (b">g\n1 ACGT 2 ACGT\n", "letter '1' at position 1"),
        (b">g\nACGT\nAC>b\nGG\n", r"letter '>' at position 7 .* a line end is missing before '>b'; .*\(line 3\)"),
        (b">g\nAC GT\n", "letter ' ' at position 3 .* a blank inside a line"),
        (b">g\nSequence unavailable\n", "record 'g'.* the source had none"),
        (b">g\nSequence unavailable 20\n", "record 'g'"),
        (b">g\nAC\xc3\x84GT\n", "letter 'Ä' at position 3"),
        (b">g\nAC\x00GT\n", r"letter '\\x00' at position 3"),
        (b">g\x00\nACGT\n", "line 1: a header with control characters"),
        (b">a\nACGT\n@r\nACGT\n+\nIIII\n", "line 3 begins with '@', as FASTQ does, in a FASTA file; split the two"),
        (b"@r\nACGT\n+\nIIII\n>a\nACGT\n", "line 5 begins with '>'.*mixed, split the two"),
        (b"@r\nACGT\n+\nIIII\nIIII\n", "line 5 begins with 'I'.*a quality line is too long"),
        (b"@r\nACGT\n+\nIII\n@s\nACGT\n+\nIIII\n", "record 'r': 4 letters but 3 qualities"),
        (b"@r\nACGT\n+\nIIII\n@s\nAC", "record 's': the file breaks off"),
        (gzip.compress(gzip.compress(PLAIN, mtime=0), mtime=0), "compressed twice"),
        (b"a.fa".ljust(257, b"\0") + b"ustar" + bytes(200), "a tar archive; unpack it first"),
        (b"\xff\xfe>\x00a\x00\x00\xd8", "not the utf-16"),
    ],
)
def test_bad_files_are_named(tmp_path, content, message):
    with pytest.raises(ValueError, match=message) as error:
        read(tmp_path, content, molecule="dna", unique_ids=True)
    assert "x.fa" in str(error.value)


@pytest.mark.parametrize("bad", [b"MKLV", b"A-C", b"AC GT", b"AC>x", b"A1", b"Sequence unavailable"])
def test_skip_leaves_out_what_cannot_be_used_and_counts_it(tmp_path, bad):
    content = b">a\nAC\n>bad\n" + bad + b"\n>c\n>a\nGT\n>d\nGT\n"
    remarks = Remarks("skip")
    got = read(tmp_path, content, molecule="dna", unique_ids=True, remarks=remarks)
    assert [record[0] for record in got] == ["a", "c", "d"]
    assert remarks.counts == {"records left out": 2}
    assert "record 'bad'" in remarks.lines()[0] and "'a' comes twice" in remarks.lines()[0]
    with pytest.warns(UserWarning, match="2 records left out"):
        assert len(read(tmp_path, content, molecule="dna", unique_ids=True, on_error="skip")) == 3


@pytest.mark.parametrize("keep", [25, 0.5, -4])
@pytest.mark.parametrize("pack", [lambda data: gzip.compress(data, mtime=0), bz2.compress, lzma.compress, zstd])
def test_truncated_archives_are_refused(tmp_path, keep, pack):
    packed = pack(b">a\n" + bytes(b"ACGT"[(i * i + i // 7) % 4] for i in range(50_000)) + b"\n")
    cut = packed[: int(keep * len(packed))] if isinstance(keep, float) else packed[:keep]
    with pytest.raises(ValueError, match=r"x\.fa\.gz cannot be read: .*cut short or damaged"):
        read(tmp_path, cut, "x.fa.gz")


def test_missing_files_and_folders_are_named_before_the_first_record(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no such FASTA file: .*nowhere\.fa"):
        read_fasta(tmp_path / "nowhere.fa")
    (tmp_path / "genomes").mkdir()
    (tmp_path / "genomes" / "a.fna").write_bytes(PLAIN)
    with pytest.raises(ValueError, match=r"genomes is a folder.*it holds a\.fna"):
        read_fasta(tmp_path / "genomes")
    with pytest.raises(ValueError, match="molecule is one of"):
        read_fasta(tmp_path / "genomes" / "a.fna", molecule="DNA")


def test_a_name_that_is_no_text_is_a_name(tmp_path):
    path = os.fsencode(tmp_path) + b"/caf\xe9.fa"
    with open(path, "wb") as file:  # noqa: PTH123
        file.write(PLAIN)
    assert [tuple(record) for record in read_fasta(os.fsdecode(path))] == READ


@pytest.mark.parametrize("content", [PLAIN, gzip.compress(PLAIN, mtime=0)])
def test_pipes_and_standard_input(tmp_path, monkeypatch, content):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_bytes, args=(content,))
    writer.start()
    assert [tuple(record) for record in read_fasta(pipe)] == READ
    writer.join()
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(content)))
    assert [tuple(record) for record in read_fasta("-")] == READ


class TestProteins:
    def test_the_stop_at_the_end_goes(self, tmp_path):
        remarks = Remarks()
        got = read(tmp_path, b">p\nMKLV*\n>q\nMKLX\n", molecule="protein", remarks=remarks)
        assert [record[2] for record in got] == ["MKLV", "MKLX"]
        assert remarks.lines() == ["1 proteins end in '*', which was removed: 'p'"]
        assert read(tmp_path, b">p\nMKLV*\n")[0][2] == "MKLV*"

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            (b">p\nMK*LV\n", r"record 'p': letter '\*' at position 3 is a stop codon; cut the protein there"),
            (b">p\nMKLV**\n", r"letter '\*' at position 5"),
            (b">p\nMK-LV\n", "letter '-' at position 3 is a gap"),
            (b">p\nMK1\n", "letter '1' at position 3"),
            (b">p\nSequence unavailable\n", "the source had none"),
            (b">p\nMKVV>b desc\nMK\n", "a line end is missing before '>b desc'"),
        ],
    )
    def test_what_is_no_residue_is_refused(self, tmp_path, content, message):
        with pytest.raises(ValueError, match=message):
            read(tmp_path, content, molecule="protein")

    def test_dna_is_told(self, tmp_path):
        with pytest.warns(UserWarning, match="1 records of a protein file hold only A, C, G, T, U and N: is this DNA"):
            read(tmp_path, b">d\n" + b"ACGTN" * 10 + b"\n>p\n" + b"MKVL" * 10 + b"\n>short\nGAT\n", molecule="protein")


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
    names = ("b.fasta", "a.fna.gz", "c.txt", "d.fa.bz2", "e.gz", "f.fsa", "g.fsa_nt.gz", "._b.fasta", ".DS_Store")
    for name in names:
        (tmp_path / name).touch()
    assert [path.name for path in fasta_files(tmp_path)] == [
        "a.fna.gz",
        "b.fasta",
        "d.fa.bz2",
        "f.fsa",
        "g.fsa_nt.gz",
    ]


# Pieces that real files are made of, right and wrong: random joins of them reach what random bytes never do.
PIECES = st.sampled_from(
    [
        b">", b">a", b">b x y\n", b"@r\n", b"@r", b"+\n", b"+", b"\n", b"\r", b"\r\n", b"ACGT", b"acgu", b"MKLV", b"N",
        b"*", b"-", b".", b" ", b"\t", b";", b"; c\n", b"#", b"1", b"  61 ACGT ACGT\n", b"ACGT 4\n", b"//\n",
        b"IIII\n", b"IIII", b"\x00", b"\xff\xfe", b"\xef\xbb\xbf", b"\xe9", b"\xc3\xa9", b"Sequence unavailable\n",
        b">a\nACGT\n", b"@r\nACGT\n+\nIIII\n", b"\x1f\x8b", b"\xef\xbf\xbd", b"\x85", b"\x0b", b"\x0c",
    ]
)  # fmt: skip


WITHOUT_LISTINGS = PIECES.filter(lambda piece: not any(48 <= byte < 58 for byte in piece))


def read_lines_as(molecule, path, remarks):
    """The slow version of `read_fasta`: a record at a time, from lines."""
    return _checked(read_lines(path, remarks), path, molecule, False, remarks, None)


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return tmp_path_factory.mktemp("fuzz") / "x.fa"


@pytest.mark.filterwarnings("ignore::UserWarning")
class TestAnyBytes:
    @given(st.binary(max_size=80) | st.lists(PIECES, max_size=14).map(b"".join))
    def test_records_or_an_error_that_names_the_file(self, path, content):
        path.write_bytes(content)
        for molecule in (None, "dna", "protein"):
            records, error = outcome(read_fasta(path, molecule=molecule))
            assert error is None or "x.fa" in error
            assert error is not None or records

    @given(st.lists(PIECES, max_size=14).map(b"".join))
    def test_the_fast_way_and_the_careful_way_agree(self, path, content):
        path.write_bytes(content)
        for on_error in ("raise", "skip"):
            fast, slow = Remarks(on_error), Remarks(on_error)
            assert outcome(read_fasta(path, remarks=fast)) == outcome(read_lines(path, slow))
            assert fast.counts["records left out"] == slow.counts["records left out"]

    @given(st.lists(WITHOUT_LISTINGS, max_size=20).map(b"".join), st.integers(0, 20), st.integers(1, 40))
    @example(b"\xff\xfe", 0, 1)  # a mark of two bytes, of which the first block holds one
    @example(b"\xff\xfe>\0a\0\n\0A\0C\0", 0, 1)
    def test_letters_on_disk_are_those_held(self, path, content, held, block):
        """However the file comes in blocks, and its long lines in parts."""
        path.write_bytes(content)
        for on_error in ("raise", "skip"):
            plain, cut = Remarks(on_error), Remarks(on_error)
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(streams, "_BLOCK", block)
                patch.setattr(streams, "_LONG_LINE", 8)
                got, error = outcome(read_fasta(path, molecule="dna", remarks=cut, held=held))
                assert all(isinstance(row[2], LongLetters) == (len(row[2]) > held) for row in got) or not held
            expected = outcome(read_lines_as("dna", path, plain))
            assert ([(*row[:2], row[2][:]) for row in got], error) == expected
            assert cut.counts == plain.counts

    @given(st.binary(min_size=1, max_size=60), st.sampled_from([gzip.compress, bz2.compress, lzma.compress, zstd]))
    def test_damaged_archives(self, path, noise, pack):
        packed = pack(PLAIN)
        at = len(noise) * 7 % len(packed)
        path.write_bytes(packed[:at] + noise + packed[at + len(noise) :])
        records, error = outcome(read_fasta(path))
        if error is not None:
            assert "x.fa" in error
        elif pack is not zstd:  # written without a checksum, so that a changed letter is a letter
            assert records == READ


ID = st.text(st.characters(codec="utf-8", exclude_categories=("C", "Z")), min_size=1, max_size=8)
RECORD = st.tuples(ID, st.sampled_from(["", "some words", "x=1"]), st.text("ACGTUNRYacgt", max_size=90))


def test_letters_on_disk_are_counted_as_those_held(tmp_path):
    (tmp_path / "x.fa").write_text(">a\nACGTN\nacguR\n>n\nNNNNNNNN\n>e\n>b\nACG\n")
    held, stored = LetterReport(), LetterReport()
    plain = list(read_fasta(tmp_path / "x.fa", molecule="dna", report=held))
    disk = list(read_fasta(tmp_path / "x.fa", molecule="dna", report=stored, held=4))
    assert held == stored and [row.sequence[:] for row in disk] == [row.sequence for row in plain]
    assert [isinstance(row.sequence, LongLetters) for row in disk] == [True, True, False, False]


@given(
    st.lists(RECORD, min_size=1, max_size=6),
    st.sampled_from(["\n", "\r\n", "\r"]),
    st.integers(1, 70),
    st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]),
)
def test_what_was_written_is_read(path, records, line_end, width, encoding):
    rows = []
    for name, words, sequence in records:
        rows.append(f">{name} {words}".rstrip())
        rows.extend(sequence[start : start + width] for start in range(0, len(sequence), width))
    path.write_bytes(line_end.join([*rows, ""]).encode(encoding))
    got = outcome(read_fasta(path, molecule="dna"))
    assert got == ([(name, words, sequence) for name, words, sequence in records], None)
