"""Guides to order: filters against letters counted by hand, ranks, spreading, oligos, gene models."""

from __future__ import annotations

import sys

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seqformers.guides.genes import GeneModels, read_gff3
from seqformers.guides.oligos import Overhangs
from seqformers.guides.restriction import contains_site, recognition_sites
from seqformers.guides.score import guide_table, score_guides
from seqformers.guides.selection import ranking_value, spread
from seqformers.guides.track import plot_guides
from tests.guides.test_score import COMPLEMENT, model

GFF = """##gff-version 3
# a comment
gene1\tsrc\tgene\t11\t400\t.\t+\t.\tID=g1;Name=ABC%3B1
gene1\tsrc\tmRNA\t11\t400\t.\t+\t.\tID=t1;Parent=g1
gene1\tsrc\texon\t11\t200\t.\t+\t.\tID=e1;Parent=t1
gene1\tsrc\tCDS\t51\t200\t.\t+\t0\tID=c1;Parent=t1
other\tsrc\tCDS\t1\t90\t.\t-\t0\tID=c2
##FASTA
>gene1
ACGT
"""


@pytest.fixture(scope="module")
def gene(tmp_path_factory):
    rng = np.random.default_rng(0)
    path = tmp_path_factory.mktemp("gene") / "gene.fa"
    path.write_text(">gene1\n" + "".join(rng.choice(list("ACGT"), 4000)) + "\n")
    return path


@pytest.fixture(scope="module")
def whole(gene):
    table = guide_table(gene, model=model())
    return table[table["rank"].notna()]


def test_filters_keep_what_a_look_at_each_row_keeps(gene, whole, tmp_path):
    (tmp_path / "out.bed").write_text("gene1\t500\t900\ngene1\t850\t1000\n")
    (tmp_path / "in.bed").write_text("gene1\t300\t2500\n")
    found = guide_table(
        gene, model=model(), gc=(0.35, 0.6), no_poly_t=True, exclude=tmp_path / "out.bed", only=tmp_path / "in.bed"
    )
    low = whole.pam_start - np.where(whole.strand == "-", 23, 0)
    share = whole.protospacer.str.count("[GC]") / 23
    kept = share.between(0.35, 0.6) & ~whole.protospacer.str.contains("TTTT")
    kept &= ~((low < 1000) & (low + 27 > 500)) & (whole.cut_start < 2500) & (whole.cut_start + 5 > 300)
    wanted = whole[kept]
    assert 3 < len(wanted) < len(whole) / 2
    assert found.protospacer.tolist() == wanted.protospacer.tolist()
    assert found["rank"].tolist() == list(range(1, len(wanted) + 1))


def test_what_was_left_out_is_counted(gene, whole, tmp_path):
    report = score_guides(gene, tmp_path / "o.tsv", model=model(), gc=(0.35, 0.6), no_poly_t=True, top=4)
    assert report.rows == 4 and sum(report.left_out.values()) == len(whole) - 4
    assert any("guides left out by filters" in line and "gc" in line for line in report.lines())
    again = score_guides(gene, tmp_path / "o.tsv", model=model(), gc=(0.35, 0.6), no_poly_t=True, top=4, resume=True)
    assert again.finished


def test_top_guides_lie_apart_and_keep_their_rank(gene, whole):
    found = guide_table(gene, model=model(), top=5)
    assert len(found) == 5 and found["rank"].is_monotonic_increasing and found["rank"].iloc[0] == 1
    cuts = np.sort(found.cut_start)
    nearest = np.diff(np.sort(whole.nsmallest(5, "rank").cut_start)).min()
    assert np.diff(cuts).min() >= 4000 / 10 / 2 and np.diff(cuts).min() >= nearest
    by_place = guide_table(gene, model=model(), top=5, order="position")
    assert by_place.cut_start.is_monotonic_increasing and set(by_place.protospacer) == set(found.protospacer)


@given(st.lists(st.integers(0, 500), max_size=30), st.integers(1, 8))
def test_spread_takes_as_many_as_there_are(cuts, count):
    taken = spread(np.array(cuts, int), count, 501)
    assert len(taken) == len(set(taken.tolist())) == min(count, len(cuts))
    assert not cuts or 0 in taken, "the best is always taken"


def test_ranking_values():
    scores, specificity = np.array([-5.0, 50.0, 60.0]), np.array([100.0, 90.0, 50.0])
    order = {rank: np.argsort(-ranking_value(rank, scores, specificity)).tolist() for rank in ("efficiency", "both")}
    assert order == {"efficiency": [2, 1, 0], "both": [1, 2, 0]}
    assert ranking_value("specificity", scores, np.full(3, 80.0)).argmax() == 2, "equal ones by score"


class TestRestriction:
    def test_sites_against_looking_at_every_window(self, gene, whole):
        pytest.importorskip("Bio")
        (site,) = recognition_sites(["bsmbi"]).values()
        assert site == "CGTCTC"
        sites = recognition_sites(["BsmBI", "HinfI"])
        found = guide_table(gene, model=model(), avoid=["BsmBI", "HinfI"], oligos="AGAT,AAAA")
        matches = {"BsmBI": "CGTCTC|GAGACG", "HinfI": "GA[ACGT]TC"}
        oligo = "AGAT" + whole.protospacer
        wanted = whole[~np.logical_or.reduce([oligo.str.contains(matches[name]) for name in sites])]
        assert 0 < len(wanted) < len(whole) and found.protospacer.tolist() == wanted.protospacer.tolist()

    def test_an_unknown_letter_is_no_site(self):
        rows = np.frombuffer(b"GANTCGAATC", np.uint8).reshape(2, 5)
        assert contains_site(rows, "GANTC").tolist() == [False, True]

    def test_a_missing_extra_is_named(self, monkeypatch):
        monkeypatch.setitem(sys.modules, "Bio", None)
        with pytest.raises(ValueError, match=r"seqformers\[guides\]"):
            recognition_sites(["BsmBI"])

    def test_an_enzyme_that_is_none(self):
        pytest.importorskip("Bio")
        with pytest.raises(ValueError, match=r"no restriction enzyme 'BsmB1'.*did you mean 'BsmBI'"):
            recognition_sites(["BsmB1"])


class TestOligos:
    def test_top_and_bottom(self, gene, whole):
        found = guide_table(gene, model=model(), oligos="agat,AAAA")
        for row in found[found["rank"].notna()].itertuples():
            assert row.oligo_top == "AGAT" + row.protospacer
            assert row.oligo_bottom == "AAAA" + row.protospacer.translate(COMPLEMENT)[::-1]

    @pytest.mark.parametrize("text", ["AGAT", "AGAT,XX", "A,C,G"])
    def test_what_is_no_pair_of_overhangs(self, text):
        with pytest.raises(ValueError, match="overhangs of the top and the bottom strand"):
            Overhangs.of(text)


class TestGenes:
    def test_exons_and_models(self, gene, whole, tmp_path):
        (tmp_path / "g.gff3").write_text(GFF)
        models = GeneModels(tmp_path / "g.gff3")
        assert models.exons().regions["gene1"].tolist() == [[10, 200]]
        assert models.exons().regions["other"].tolist() == [[0, 90]], "coding parts where there are no exons"
        assert models.drawn("gene1")[0] == ("gene", 10, 400, "+", "ABC;1")
        found = guide_table(gene, model=model(), genes=tmp_path / "g.gff3", in_exons=True)
        assert set(found.protospacer) == set(whole[whole.cut_start.between(6, 199)].protospacer)

    def test_names_that_differ_are_named_with_the_fix(self, tmp_path):
        (tmp_path / "a.fa").write_text(">chr1\nGCGCTTTAGCGCGCGCGCGCGCGCGCGCGCGAAGCC\n")
        (tmp_path / "a.bed").write_text("1\t0\t10\n")
        with pytest.raises(ValueError, match=r"put 'chr' before the names in .*a.bed"):
            guide_table(tmp_path / "a.fa", model=model(), only=tmp_path / "a.bed")
        (tmp_path / "a.fa").write_text(">1\nGCGCTTTAGCGCGCGCGCGCGCGCGCGCGCGAAGCC\n")
        (tmp_path / "a.gff3").write_text("chr1\ts\texon\t1\t20\t.\t+\t.\tID=e\n")
        with pytest.raises(ValueError, match=r"take 'chr' off the names in .*a.gff3"):
            guide_table(tmp_path / "a.fa", model=model(), genes=tmp_path / "a.gff3", in_exons=True)
        with pytest.raises(ValueError, match=r"take 'chr' off the names in .*a.gff3"):
            score_guides(tmp_path / "a.fa", tmp_path / "o.tsv", model=model(), genes=tmp_path / "a.gff3")

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("gene1\tsrc\tgene\t1\t9\n", "line 1: .* has 5 fields"),
            ("gene1\tsrc\tgene\t9\t1\t.\t+\t.\tID=a\n", "9 to 1 is no place"),
            ("gene1\tsrc\tregion\t1\t9\t.\t+\t.\tID=a\n", "holds no gene, exon or CDS"),
            ("", "holds no gene, exon or CDS"),
        ],
    )
    def test_other_files(self, tmp_path, text, message):
        (tmp_path / "g.gff3").write_text(text)
        with pytest.raises(ValueError, match=message):
            GeneModels(tmp_path / "g.gff3")

    def test_exons_need_genes(self, gene):
        with pytest.raises(ValueError, match="name it with --genes"):
            guide_table(gene, model=model(), in_exons=True)

    def test_the_track_draws_them_below_and_says_the_off_targets(self, whole, tmp_path):
        (tmp_path / "g.gff3").write_text(GFF)
        assert len(list(read_gff3(tmp_path / "g.gff3"))) == 5
        counted = whole.assign(off_targets_0=0, off_targets_1=2, specificity=50.0)
        figure = plot_guides(counted, ["gene1"], label_best=2, genes=GeneModels(tmp_path / "g.gff3").drawn)
        above, below = figure.axes
        labels = [text.get_text() for text in above.texts]
        assert len(labels) == 2 and all(label.endswith("\n0/2") for label in labels)
        assert "0 to 1 mismatches" in above.get_title(loc="left")
        assert len(below.collections) == 3 and "ABC;1" in below.texts[0].get_text()


def test_filters_and_limits_that_cannot_be(gene, tmp_path):
    for options, message in (
        ({"gc": (0.8, 0.2)}, "least and the highest share"),
        ({"top": 0}, "top must be 1 or more"),
        ({"rank": "luck"}, "rank must be one of"),
    ):
        with pytest.raises(ValueError, match=message):
            guide_table(gene, model=model(), **options)
    pd.DataFrame({"id": ["a"], "target": ["A" * 34]}).to_csv(tmp_path / "t.csv", index=False)
    with pytest.raises(ValueError, match="filters and ranks go with FASTA input"):
        guide_table(tmp_path / "t.csv", model=model(), top=3)
