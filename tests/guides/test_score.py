"""Guides from FASTA and tables: every site against a slow search, coordinates by hand, bad input by its message."""

from __future__ import annotations

import gzip

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from seqformers import DeepCpf1Config, DeepCpf1Model, DeepCpf1Processor
from seqformers.guides.regions import AccessibleRegions
from seqformers.guides.score import GUIDE_COLUMNS, guide_table, score_guides
from seqformers.guides.scorer import GuideScorer
from seqformers.guides.sites import Pam, find_sites
from seqformers.modeling.guides.processing_deepcpf1 import UNKNOWN_BASE

TARGET = "TGACTTTGAATGGAGTCGTGAGCGCAAGAACGCT"
OTHER = "GTTATTTGAGCAATGCCACTTAATAAACATGTAA"
COMPLEMENT = str.maketrans("ACGTURYSWKMBDHVN", "TGCAAYRSWMKVHDBN")
IUPAC = {"T": "T", "V": "ACG", "N": "ACGT", "Y": "CT", "C": "C", "A": "A", "W": "AT"}


def model(**options):
    torch.manual_seed(0)
    return DeepCpf1Model(DeepCpf1Config(**{"num_filters": 6, "hidden_sizes": [5, 4], **options})).eval()


@pytest.fixture
def fasta(tmp_path):
    def write(text, name="gene.fasta"):
        (tmp_path / name).write_text(text)
        return tmp_path / name

    return write


def slow_sites(sequence, pam):
    """(pam_start, strand, context), window by window and letter by letter."""
    found = []
    sequence = sequence.upper().replace("U", "T")
    for start in range(len(sequence) - 3):
        window = sequence[start : start + 4]
        back = window.translate(COMPLEMENT)[::-1]
        padded = "N" * 40 + sequence + "N" * 40
        if all(letter in IUPAC[symbol] for letter, symbol in zip(window, pam, strict=True)):
            found.append((start, "+", padded[start + 36 : start + 70]))
        if all(letter in IUPAC[symbol] for letter, symbol in zip(back, pam, strict=True)):
            found.append((start, "-", padded[start + 14 : start + 48].translate(COMPLEMENT)[::-1]))
    return found


def as_tuples(sites):
    letters = sites.contexts()
    return [
        (int(start), "-" if reverse else "+", letters[row].tobytes().decode())
        for row, (start, reverse) in enumerate(zip(sites.pam_start, sites.reverse, strict=True))
    ]


class TestScorer:
    @pytest.mark.parametrize(
        "shape",
        [
            {"output_scale": 30},
            {"use_accessibility": True, "accessibility_scale": 100.0, "hidden_sizes": [5]},
            {"kernel_size": 4, "pool_size": 3},  # letters left over at the end
            {"kernel_size": 7, "pool_size": 1},
            {"kernel_size": 9},  # too many words for a table
            {"num_filters": 0},
        ],
    )
    def test_scores_are_those_of_the_network(self, shape):
        network = model(**shape)
        for parameter in network.parameters():
            torch.nn.init.normal_(parameter)
        rng = np.random.default_rng(0)
        codes = rng.integers(0, 4, (50, 34)).astype(np.uint8)
        codes[::7, 3:6] = UNKNOWN_BASE
        access = rng.integers(0, 2, 50)
        scorer = GuideScorer(network, device="cpu", batch_size=16)
        assert (scorer.known_letters == scorer.whole_network) == (shape in ({"kernel_size": 9}, {"num_filters": 0}))
        given = torch.from_numpy(access) if "use_accessibility" in shape else None
        with torch.no_grad():
            expected = network(torch.from_numpy(codes), accessibility=given)
        sequence, final = scorer.score(codes, access)
        np.testing.assert_allclose(sequence, expected.sequence_scores, rtol=1e-4, atol=1e-3)
        np.testing.assert_allclose(final, expected.logits, rtol=1e-4, atol=1e-3)
        assert len(set(sequence)) > 30


class TestSites:
    @given(st.text("ACGTTTacgtunNRK", max_size=150), st.sampled_from(["TTTV", "TYCV", "TTTN", "NNNN", "WAAT"]))
    def test_both_strands_against_a_slow_search(self, sequence, pam):
        assert as_tuples(find_sites(sequence, pam)) == slow_sites(sequence, pam)

    def test_chunks_meet_without_a_seam(self, monkeypatch):
        from seqformers.guides import sites as guide_sites

        sequence = "".join(np.random.default_rng(0).choice(list("ACGTTN"), 3000))
        whole = as_tuples(find_sites(sequence))
        monkeypatch.setattr(guide_sites, "_SCAN_CHUNK", 7)
        assert as_tuples(find_sites(sequence)) == whole == slow_sites(sequence, "TTTV")

    def test_cut_coordinates_by_hand(self):
        upstream, protospacer = "GGGG", "CCCCCCCCCCCCCCCCCCGGGGG"  # 18 letters, then the overhang
        sequence = upstream + "TTTA" + protospacer + "CCC"
        assert len(sequence) == 34
        forward = find_sites(sequence)
        assert (forward.pam_start.tolist(), forward.cut_start.tolist()) == ([4], [26])
        assert sequence[26:31] == "GGGGG"
        reverse = find_sites(sequence.translate(COMPLEMENT)[::-1])
        assert (reverse.pam_start.tolist(), reverse.cut_start.tolist()) == ([26], [3])
        assert forward.contexts().tolist() == reverse.contexts().tolist()

    @pytest.mark.parametrize("pam", ["TTT", "TTTVV", "TTTX", ""])
    def test_wrong_pams_are_refused(self, pam):
        with pytest.raises(ValueError, match="must be 4 IUPAC letters"):
            Pam(pam)


class TestRegions:
    @given(
        st.lists(st.tuples(st.integers(0, 60), st.integers(1, 20)), min_size=1, max_size=8),
        st.lists(st.tuples(st.integers(-5, 70), st.integers(1, 9)), min_size=1, max_size=8),
    )
    def test_overlap_against_sets_of_positions(self, regions, asked):
        from seqformers.guides.regions import _merge

        open_letters = {p for start, size in regions for p in range(start, start + size)}
        merged = _merge(np.array([(start, start + size) for start, size in regions]))
        start = np.array([a for a, _ in asked])
        end = start + np.array([size for _, size in asked])
        expected = [bool(open_letters & set(range(a, b))) for a, b in zip(start, end, strict=True)]
        found = AccessibleRegions({"c": merged}).overlaps("c", start, end)
        assert found.tolist() == expected

    def test_narrow_peaks_with_header_and_gzip(self, tmp_path):
        path = tmp_path / "peaks.narrowPeak.gz"
        with gzip.open(path, "wt") as file:
            file.write("track name=x\n# note\nchr1\t10\t20\tp1\t0\t.\t5.1\t-1\t-1\t4\n\nchr1\t15\t30\tp2\n")
        regions = AccessibleRegions.from_bed(path)
        assert regions.regions["chr1"].tolist() == [[10, 30]]

    @pytest.mark.parametrize("line", ["chr1\t20\t10", "chr1 a b", "chr1\t5", "chr1\t-3\t5", "chr1\t7\t7"])
    def test_wrong_lines_are_named(self, tmp_path, line):
        (tmp_path / "x.bed").write_text(f"chr1\t1\t2\n{line}\n")
        with pytest.raises(ValueError, match="line 2"):
            AccessibleRegions.from_bed(tmp_path / "x.bed")

    def test_an_empty_file_is_refused(self, tmp_path):
        (tmp_path / "x.bed").write_text("# nothing\n")
        with pytest.raises(ValueError, match="holds no regions"):
            AccessibleRegions.from_bed(tmp_path / "x.bed")


class TestFasta:
    def test_columns_and_scores(self, fasta):
        table = guide_table(fasta(f">g one gene\n{TARGET[:20].lower()}\n{TARGET[20:]}\n"), model=model())
        assert tuple(table.columns) == GUIDE_COLUMNS
        row = table.iloc[0]
        assert (row.record_id, row.strand, row.pam_start, row.cut_start) == ("g", "+", 4, 26)
        assert (row.pam, row.protospacer, row.context) == ("TTTG", TARGET[8:31], TARGET)
        assert (row["rank"], row.warnings) == (1, "")
        assert row.gc == pytest.approx(sum(letter in "GC" for letter in TARGET[8:31]) / 23, abs=5e-4)
        expected = model()(**DeepCpf1Processor()([TARGET], return_tensors="pt")).logits.item()
        assert row.seq_score == row.score == pytest.approx(expected, abs=1e-5)

    def test_ranks_count_within_a_record_and_order_is_a_choice(self, fasta):
        rng = np.random.default_rng(1)
        records = "".join(f">r{i}\n{''.join(rng.choice(list('ACGTTT'), 600))}\n" for i in range(2))
        path = fasta(records)
        ranked = guide_table(path, model=model())
        for _, rows in ranked.groupby("record_id"):
            whole = rows.dropna(subset="rank")
            assert whole["rank"].tolist() == list(range(1, len(whole) + 1))
            assert whole.score.is_monotonic_decreasing
        placed = guide_table(path, model=model(), order="position")
        for _, rows in placed.groupby("record_id"):
            assert rows.pam_start.is_monotonic_increasing
        columns = list(GUIDE_COLUMNS)
        assert sorted(map(str, ranked[columns].values.tolist())) == sorted(map(str, placed[columns].values.tolist()))

    def test_cut_and_ambiguous_contexts_are_marked_and_kept(self, fasta):
        sequence = "TTTA" + "CCCCCTTTTCCCRCCCCCCCCCC" + "C" + "GGTAAAGG"
        table = guide_table(fasta(f">g\n{sequence}\n"), model=model()).set_index(["strand", "pam_start"])
        first = table.loc[("+", 0)]
        assert first.context == "NNNN" + sequence[:30]
        assert first.warnings == "context_cut:4;unknown_letters:1;poly_t"
        last = table.loc[("-", 30)]
        assert last.protospacer == sequence[7:30].translate(COMPLEMENT)[::-1]
        cut = guide_table(fasta(">g\nAAAATTTACCC\n", "short.fa"), model=model()).iloc[0]
        assert cut.warnings == "protospacer_cut;context_cut:23"
        assert cut.score is None and cut["rank"] is None

    def test_rna_reads_as_dna(self, fasta):
        dna = guide_table(fasta(f">g\n{TARGET}\n"), model=model())
        rna = guide_table(fasta(f">g\n{TARGET.replace('T', 'U')}\n", "rna.fa"), model=model())
        pd.testing.assert_frame_equal(dna, rna)

    def test_accessible_regions(self, fasta, tmp_path):
        path = fasta(f">chr1\n{TARGET}{'G' * 40}{TARGET}\n")
        (tmp_path / "open.bed").write_text("chr1\t0\t5\n")
        table = guide_table(path, model=model(use_accessibility=True), accessible=tmp_path / "open.bed")
        table = table.set_index("pam_start")
        assert table.accessible.to_dict() == {4: 1, 78: 0}
        assert table.seq_score[4] == table.seq_score[78] and table.score[4] != table.score[78]

    def test_other_chromosome_names_are_an_error_some_a_warning(self, fasta, tmp_path):
        bed = tmp_path / "open.bed"
        bed.write_text("chr1\t0\t5\n")
        with pytest.raises(ValueError, match=r"names chromosomes chr1.* sequences are called 1;"):
            guide_table(fasta(f">1\n{TARGET}\n"), model=model(use_accessibility=True), accessible=bed)
        path = fasta(f">chr1\n{TARGET}\n>2\n{TARGET}\n")
        report = score_guides(path, tmp_path / "o.tsv", model=model(use_accessibility=True), accessible=bed)
        assert report.notes == [f"1 of 2 sequences have no region in {bed} (first: 2)"]

    def test_a_model_without_the_layer_says_so(self, fasta, tmp_path):
        (tmp_path / "open.bed").write_text("g\t0\t5\n")
        report = score_guides(
            fasta(f">g\n{TARGET}\n"), tmp_path / "o.tsv", model=model(), accessible=tmp_path / "open.bed"
        )
        assert "no accessibility layer" in report.notes[0]

    def test_records_without_a_site_are_counted(self, fasta, tmp_path):
        report = score_guides(fasta(">a\nGGGG\n>b\nCC\n"), tmp_path / "o.tsv", model=model())
        assert report.notes == ["2 of 2 records have no TTTV site on either strand (first: a)"]
        assert (tmp_path / "o.tsv").read_text().split() == list(GUIDE_COLUMNS)

    def test_resume_gives_the_same_file(self, fasta, tmp_path, monkeypatch):
        from seqformers.guides import rows as guide_rows

        monkeypatch.setattr(guide_rows, "_CHUNK", 10)
        rng = np.random.default_rng(2)
        path = fasta("".join(f">r{i}\n{''.join(rng.choice(list('ACGTTT'), 500))}\n" for i in range(3)))
        score_guides(path, tmp_path / "whole.tsv", model=model())
        lines = (tmp_path / "whole.tsv").read_text().splitlines(keepends=True)
        for done in (1, 5, len(lines) // 2, len(lines) - 1):
            (tmp_path / "o.tsv.partial").write_text("".join(lines[:done]) + lines[done][:3])
            (tmp_path / "o.tsv").unlink(missing_ok=True)
            score_guides(path, tmp_path / "o.tsv", model=model(), resume=True)
            assert (tmp_path / "o.tsv").read_text() == "".join(lines)


class TestTable:
    def table(self, tmp_path, text, name="targets.tsv"):
        (tmp_path / name).write_text(text)
        return tmp_path / name

    def test_order_and_columns_are_kept(self, tmp_path):
        path = self.table(tmp_path, f"note\tid\ttarget\n007\tb\t{OTHER}\nx\ta\t{TARGET.lower()}\n")
        score_guides(path, tmp_path / "out.csv", model=model())
        table = pd.read_csv(tmp_path / "out.csv", dtype={"note": str})
        assert list(table.columns) == ["note", "id", "target", "seq_score", "score"]
        assert table.id.tolist() == ["b", "a"] and table.note.tolist() == ["007", "x"]
        expected = model()(**DeepCpf1Processor()([OTHER, TARGET], return_tensors="pt")).logits.tolist()
        assert table.score.tolist() == pytest.approx(expected, abs=1e-5)

    def test_accessibility_moves_the_score_alone(self, tmp_path):
        path = self.table(tmp_path, f"id,target,accessible\na,{TARGET},0\nb,{TARGET},1\n", "t.csv")
        table = guide_table(path, model=model(use_accessibility=True))
        assert table.seq_score.nunique() == 1 and table.score.nunique() == 2

    @pytest.mark.parametrize("value", ["2", "", "yes", "0.5"])
    def test_other_accessibilities_name_the_row(self, tmp_path, value):
        path = self.table(tmp_path, f"id,target,accessible\na,{TARGET},0\nb,{TARGET},{value}\n", "t.csv")
        with pytest.raises(ValueError, match=f"accessible of 'b' is '{value}', expected 1"):
            guide_table(path, model=model(use_accessibility=True))

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("", "is empty"),
            ("id\ttarget\n", "has no rows"),
            (f"name\ttarget\na\t{TARGET}\n", "has no column id; it has name, target"),
            ("id\ttarget\na\tACGT\n", "target of 'a' has 4 letters"),
        ],
    )
    def test_wrong_tables_say_what_to_do(self, tmp_path, text, message):
        with pytest.raises(ValueError, match=message):
            guide_table(self.table(tmp_path, text), model=model())

    def test_targets_without_the_pam_and_unknown_letters_are_counted(self, tmp_path):
        odd = "N" + TARGET[1:4] + "GGGG" + TARGET[8:]
        path = self.table(tmp_path, f"id\ttarget\na\t{TARGET}\nb\t{odd}\n")
        report = score_guides(path, tmp_path / "o.tsv", model=model())
        assert report.notes[0].startswith("1 of 2 targets do not have TTTV")
        assert report.notes[1].startswith("1 of 2 targets hold letters")

    def test_parquet_and_excel(self, tmp_path):
        rows = pd.DataFrame({"id": ["a"], "target": [TARGET]})
        rows.to_parquet(tmp_path / "t.parquet")
        scores = guide_table(tmp_path / "t.parquet", model=model()).score.tolist()
        pytest.importorskip("openpyxl")
        rows.to_excel(tmp_path / "t.xlsx", index=False)
        assert guide_table(tmp_path / "t.xlsx", model=model()).score.tolist() == scores

    def test_fasta_called_txt_is_read_as_fasta(self, tmp_path):
        path = self.table(tmp_path, f">g\n{TARGET}\n", "gene.txt")
        assert guide_table(path, model=model()).record_id.tolist() == ["g"]


class TestCommand:
    def run(self, *arguments):
        from seqformers.cli import app

        return CliRunner().invoke(app, ["score-guides", *map(str, arguments)])

    def test_standard_output_is_the_table_and_notes_go_to_stderr(self, fasta, tmp_path):
        from seqformers.hub.repository import write_model_repository

        folder = write_model_repository(tmp_path / "model", model(), processor=DeepCpf1Processor())
        result = self.run(fasta(f">g\n{TARGET}\n>none\nGGGG\n"), "--model", folder)
        assert result.exit_code == 0
        lines = result.stdout.splitlines()
        assert lines[0].split("\t") == list(GUIDE_COLUMNS) and len(lines) == 2
        assert "1 of 2 records have no TTTV site" in result.stderr

    def test_a_wrong_table_leaves_standard_output_empty(self, tmp_path):
        (tmp_path / "t.tsv").write_text(f"id\ttarget\na\t{TARGET}\nb\tACGT\n")
        result = self.run(tmp_path / "t.tsv")
        assert "target of 'b' has 4 letters" in str(result.exception) and result.stdout == ""
        (tmp_path / "none.fa").write_text(">none\nGGGG\n")
        assert self.run(tmp_path / "none.fa").stdout.split("\t")[0] == "record_id"

    def test_the_packaged_model_ranks_guides_and_draws_them(self, fasta, tmp_path):
        gene = "".join(np.random.default_rng(5).choice(list("ACGT"), 1500))
        result = self.run(fasta(f">gene\n{gene}\n"), "--output", tmp_path / "g.tsv", "--track", tmp_path / "g.png")
        assert result.exit_code == 0, result.stderr
        table = pd.read_csv(tmp_path / "g.tsv", sep="\t")
        ranks = table["rank"].dropna().tolist()
        assert ranks == list(range(1, len(ranks) + 1)) and len(ranks) > 10
        assert table.score.dropna().is_monotonic_decreasing and table.score.std() > 3
        assert (tmp_path / "g.png").stat().st_size > 1000

    def test_the_packaged_model_knows_that_tttt_is_hardly_cut(self, tmp_path):
        rng = np.random.default_rng(6)
        bodies = ["".join(rng.choice(list("ACGT"), 26)) for _ in range(100)]
        rows = pd.DataFrame(
            {"id": range(200), "target": [f"ACGT{pam}{b}" for pam in ("TTTC", "TTTT") for b in bodies]}
        )
        rows.to_csv(tmp_path / "t.csv", index=False)
        scores = guide_table(tmp_path / "t.csv").score
        assert scores[:100].mean() > scores[100:].mean() + 15

    def test_another_kind_of_model_is_refused(self, fasta, tmp_path):
        (tmp_path / "bert").mkdir()
        (tmp_path / "bert" / "config.json").write_text('{"model_type": "bert"}')
        result = self.run(fasta(f">g\n{TARGET}\n"), "--model", tmp_path / "bert")
        assert isinstance(result.exception, ValueError) and "is a bert model" in str(result.exception)

    def test_help_shows_a_complete_call(self):
        assert "seqformers score-guides gene.fasta --output guides.tsv" in self.run("--help").stdout
