"""Variants from VCF files: alternatives one by one, mistakes by line, contigs under another name."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seqformers.datasets_scripts.common.remarks import Remarks
from seqformers.datasets_scripts.common.vcf import Variant, check_contigs, check_reference, read_vcf

HEADER = "##fileformat=VCFv4.2\n#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n"


def written(folder: Path, *lines: str) -> Path:
    path = folder / "calls.vcf"
    path.write_text(HEADER + "".join(line + "\n" for line in lines))
    return path


def test_several_alternatives_become_several_variants(tmp_path: Path) -> None:
    remarks = Remarks()
    lines = ("chr1\t7\trs1\ta\tC,<DEL>,GT\t.\tPASS\t.", "chr2\t1\t.\tAC\tTT", "chr2\t9\t.\tA\t*", "")
    found = list(read_vcf(written(tmp_path, *lines), remarks))
    assert found == [
        Variant(3, "chr1", 7, "rs1", "A", "C"),
        Variant(3, "chr1", 7, "rs1", "A", "GT"),
        Variant(4, "chr2", 1, ".", "AC", "TT"),
    ]
    assert [variant.is_substitution for variant in found] == [True, False, True]
    assert remarks.counts == {"alternatives that are no letters, left out": 2}


def test_compressed_files_are_read(tmp_path: Path) -> None:
    path = tmp_path / "calls.vcf.gz"
    path.write_bytes(gzip.compress((HEADER + "1\t5\t.\tA\tG\n").encode()))
    assert [str(variant) for variant in read_vcf(path, Remarks())] == ["1:5 A>G"]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("chr1 7 rs1 A C", "line 3: its columns are separated by spaces"),
        ("chr1\t7\trs1", "line 3: 3 of the 5 columns"),
        ("chr1\t0\t.\tA\tC", "line 3: POS is '0'"),
        ("chr1\tx\t.\tA\tC", "line 3: POS is 'x'"),
        ("chr1\t7\t.\t-\tC", "line 3: REF is '-'"),
        ("chr1\t7\t.\tA\tC,7", "line 3: ALT is 'C,7'"),
    ],
)
def test_lines_that_are_no_variant_are_named_or_counted(tmp_path: Path, line: str, message: str) -> None:
    path = written(tmp_path, line, "chr1\t8\t.\tA\tC")
    with pytest.raises(ValueError, match=message):
        list(read_vcf(path, Remarks()))
    remarks = Remarks("skip")
    assert [variant.position for variant in read_vcf(path, remarks)] == [8]
    assert remarks.counts == {"lines left out": 1}


@pytest.mark.parametrize(
    ("wanted", "known", "message"),
    [
        ("1", "chr1", r"speaks of '1', which g.fa calls 'chr1': rename them: sed 's/\^\\\(\[0-9XYM\]"),
        ("chr1", "1", r"which g.fa calls '1': rename them: sed 's/\^chr//'"),
        ("MT", "chrM", "which g.fa calls 'chrM'"),
        ("scaffold", "chr1", "has no sequence scaffold of c.vcf; it has chr1"),
    ],
)
def test_contigs_of_another_name(wanted: str, known: str, message: str) -> None:
    check_contigs({known}, {known, "other"}, "c.vcf", "g.fa")
    with pytest.raises(ValueError, match=message):
        check_contigs({wanted}, {known}, "c.vcf", "g.fa")


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.text("ACGTacgt", min_size=1, max_size=20), st.integers(1, 25), st.text("ACGT", min_size=1, max_size=3))
def test_a_reference_is_right_where_a_slice_of_the_genome_says_so(genome: str, position: int, letters: str) -> None:
    wrong = check_reference(Variant(3, "a", position, ".", letters, "A"), {"a": genome}, "c.vcf", "g.fa")
    found = genome.upper()[position - 1 : position - 1 + len(letters)]
    assert (wrong is None) == (found == letters)
    if wrong is not None:
        assert "c.vcf line 3" in wrong and ("lies behind the end" in wrong or f"has {found} there" in wrong)
