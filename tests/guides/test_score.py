"""Guides from FASTA and tables: every site against a slow search, coordinates by hand, bad input by its message."""

from __future__ import annotations

import gzip
import json
import os
import time
import warnings
from threading import Thread

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from seqformers import DeepCpf1Config, DeepCpf1Model, DeepCpf1Processor
from seqformers.cli import app
from seqformers.guides.regions import Regions
from seqformers.guides.rows import GUIDE_COLUMNS
from seqformers.guides.score import guide_table, score_guides
from seqformers.guides.scorer import GuideScorer
from seqformers.guides.sites import Pam, find_sites
from seqformers.modeling.guides.processing_deepcpf1 import UNKNOWN_BASE
from seqformers.tables import RowFile
from tests.kills import run_and_kill

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
        found = Regions({"c": merged}).overlaps("c", start, end)
        assert found.tolist() == expected

    def test_narrow_peaks_with_header_and_gzip(self, tmp_path):
        path = tmp_path / "peaks.narrowPeak.gz"
        with gzip.open(path, "wt") as file:
            file.write("track name=x\n# note\nchr1\t10\t20\tp1\t0\t.\t5.1\t-1\t-1\t4\n\nchr1\t15\t30\tp2\n")
        regions = Regions.from_bed(path)
        assert regions.regions["chr1"].tolist() == [[10, 30]]

    @pytest.mark.parametrize("line", ["chr1\t20\t10", "chr1 a b", "chr1\t5", "chr1\t-3\t5", "chr1\t7\t7"])
    def test_wrong_lines_are_named(self, tmp_path, line):
        (tmp_path / "x.bed").write_text(f"chr1\t1\t2\n{line}\n")
        with pytest.raises(ValueError, match="line 2"):
            Regions.from_bed(tmp_path / "x.bed")

    def test_an_empty_file_is_refused(self, tmp_path):
        (tmp_path / "x.bed").write_text("# nothing\n")
        with pytest.raises(ValueError, match="holds no regions"):
            Regions.from_bed(tmp_path / "x.bed")


class TestFasta:
    def test_columns_and_scores(self, fasta):
        table = guide_table(fasta(f">g one gene\n{TARGET[:20].lower()}\n{TARGET[20:]}\n"), model=model())
        assert list(table.columns) == list(GUIDE_COLUMNS)
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

    @pytest.mark.parametrize("suffix", ["tsv", "parquet"])
    @pytest.mark.parametrize("rows", [0, 3, 25])
    def test_resume_gives_the_same_file_and_counts(self, fasta, tmp_path, monkeypatch, suffix, rows):
        monkeypatch.setattr("seqformers.guides.rows._CHUNK", 10)
        monkeypatch.setattr("seqformers.guides.score._LETTERS", 600)
        monkeypatch.setattr("seqformers.tables._ROWS_PER_PART", 7)
        rng = np.random.default_rng(2)
        path = fasta("".join(f">r{i}\n{''.join(rng.choice(list('ACGTTTN'), 500))}\n" for i in range(3)))
        whole = score_guides(path, tmp_path / f"whole.{suffix}", model=model())
        assert whole.rows > 40 and whole.records == 3 and whole.guides["unknown_letters"] > 10
        with monkeypatch.context() as patch:
            write, left = RowFile.write, [rows]

            def killed(self, chunk):
                write(self, chunk[: left[0]])
                left[0] -= len(chunk)
                if left[0] <= 0:
                    raise KeyboardInterrupt

            patch.setattr(RowFile, "write", killed)
            with pytest.raises(KeyboardInterrupt):
                score_guides(path, tmp_path / f"o.{suffix}", model=model())
        if suffix == "tsv":
            with (tmp_path / "o.tsv.partial").open("a") as file:
                file.write("r9\t+\t")  # a torn last line, too
        resumed = score_guides(path, tmp_path / f"o.{suffix}", model=model(), resume=True)
        assert (tmp_path / f"o.{suffix}").read_bytes() == (tmp_path / f"whole.{suffix}").read_bytes()
        assert (resumed.rows, resumed.guides, resumed.lines()) == (whole.rows, whole.guides, whole.lines())
        assert score_guides(path, tmp_path / f"o.{suffix}", model=model(), resume=True).finished

    @pytest.mark.parametrize("what", ["input", "model", "pam", "order"])
    def test_resume_goes_on_with_the_same_work_only(self, fasta, tmp_path, monkeypatch, what):
        path = fasta(f">g\n{TARGET * 3}\n")
        options = {"model": model(), "pam": "TTTV", "order": "rank"}
        with monkeypatch.context() as patch:
            patch.setattr(RowFile, "close", lambda self: 1 / 0)
            with pytest.raises(ZeroDivisionError):
                score_guides(path, tmp_path / "o.tsv", **options)
        if what == "input":
            path = fasta(f">g\n{TARGET * 3}A\n")
        else:
            options[what] = {"model": model(output_scale=2), "pam": "TTTN", "order": "position"}[what]
        with pytest.raises(ValueError, match=f"was started with other settings \\({what}: then"):
            score_guides(path, tmp_path / "o.tsv", **options, resume=True)

    @pytest.mark.parametrize("batch_size", [1, 7, 64, 1000])
    def test_the_batch_changes_no_bit(self, batch_size):
        rng = np.random.default_rng(3)
        codes = rng.integers(0, 4, (333, 34)).astype(np.uint8)
        codes[::9, 5] = UNKNOWN_BASE
        expected = GuideScorer(device="cpu").score(codes)
        order = rng.permutation(333)
        found = GuideScorer(device="cpu", batch_size=batch_size).score(codes[order])
        assert np.array_equal(np.array(found), np.array(expected)[:, order])
        assert np.array_equal(GuideScorer(device="cpu").score(codes[:5]), np.array(expected)[:, :5])

    def test_records_are_searched_together_as_each_alone(self, fasta, monkeypatch):
        rng = np.random.default_rng(4)
        lengths = [40, 3, 200, 1, 36, 60, 90]
        texts = {f"r{i}": "".join(rng.choice(list("ACGTTT"), length)) for i, length in enumerate(lengths)}
        together = guide_table(fasta("".join(f">{name}\n{text}\n" for name, text in texts.items())), model=model())
        alone = [guide_table(fasta(f">{name}\n{text}\n", f"{name}.fa"), model=model()) for name, text in texts.items()]
        alone = pd.concat([table for table in alone if len(table)], ignore_index=True)
        assert together.to_csv() == alone.to_csv()
        assert together.record_id.nunique() > 3


class TestBadFasta:
    """Inputs of the kinds that labs really have: read where they have one meaning, else refused by record."""

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            (f">a\n{TARGET[:20]}---{TARGET[20:]}\n", "'a'.*'-' at position 21 is a gap"),
            (f">a\n{TARGET}>b\n{OTHER}\n", "a.*'>'"),
            (f">a\n{TARGET}\n@r1\n{TARGET}\n+\n{'I' * 34}\n", "line 3 begins with '@'"),
            (">p\nMKTAYIAKQRQISFVKSHFSRQLEERLGLIEVQAPILSRVGDGTQDNLSGAEKAV\n", "'p'.*protein"),
        ],
    )
    def test_refused_and_skipped(self, fasta, tmp_path, text, message):
        path = fasta(text)
        with pytest.raises(ValueError, match=message):
            score_guides(path, tmp_path / "o.tsv", model=model())
        assert not list(tmp_path.glob("*o.tsv*"))
        with (tmp_path / "gene.fasta").open("a") as file:
            file.write(f">good\n{TARGET}\n")
        if "@r1" not in text:  # behind that nothing can be told apart
            report = score_guides(path, tmp_path / "o.tsv", model=model(), on_error="skip")
            table = pd.read_csv(tmp_path / "o.tsv", sep="\t")
            assert set(table.record_id) == {"good"} and report.lines()

    @pytest.mark.parametrize(
        "text",
        [
            ">g\n{0}   \n{1} \n",
            ">g\n        1 {0}\n       21 {1}\n",
            "\ufeff>g\n{0}\n{1}\n",
            ">g\r{0}\r{1}\r",
            "\n\n>g\n{0}\n{1}\n",
            ">g\r\n{0}\r\n{1}\r\n",
        ],
    )
    def test_what_has_one_meaning_is_read(self, fasta, text):
        expected = guide_table(fasta(f">g\n{TARGET}\n"), model=model())
        path = fasta("", "odd.fa")
        path.write_bytes(text.format(TARGET[:20], TARGET[20:]).encode())
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            pd.testing.assert_frame_equal(guide_table(path, model=model()), expected)

    def test_an_empty_last_record_is_a_record_without_a_site(self, fasta, tmp_path):
        report = score_guides(fasta(f">g\n{TARGET}\n>e\n"), tmp_path / "o.tsv", model=model())
        assert report.records == 2 and "1 of 2 records have no TTTV site" in report.notes[0]

    def test_a_pipe_and_standard_input(self, fasta, tmp_path):
        text, pipe = f">g\n{TARGET}\n", tmp_path / "pipe"
        os.mkfifo(pipe)
        writer = Thread(target=pipe.write_text, args=[text])
        writer.start()
        assert guide_table(pipe, model=model()).context.tolist() == [TARGET]
        writer.join()
        result = CliRunner().invoke(app, ["score-guides", "-"], input=text)
        assert result.exit_code == 0 and result.stdout.splitlines()[1].startswith("g\t+\t4\t26\tTTTG\t")
        with pytest.raises(ValueError, match="can be read only once"):
            score_guides("-", tmp_path / "p.tsv", model=model(), resume=True)


class TestOutputs:
    def test_the_input_is_never_the_output(self, tmp_path):
        source = tmp_path / "g.tsv"
        source.write_text(f"id\ttarget\na\t{TARGET}\n")
        (tmp_path / "link.tsv").symlink_to(source)
        for output in (source, tmp_path / "link.tsv"):
            with pytest.raises(ValueError, match="is the input"):
                score_guides(source, output, model=model(), overwrite=True)
        assert source.read_text() == f"id\ttarget\na\t{TARGET}\n"

    def test_a_mistake_leaves_the_earlier_table(self, fasta, tmp_path):
        (tmp_path / "o.tsv").write_text("yesterday")
        for source, options in (
            (tmp_path / "typo.fa", {}),
            (fasta(f">g\n{TARGET}\n"), {"model": "no-such-model"}),
            (fasta(f">g\n{TARGET}\n"), {"pam": "TT"}),
            (fasta(f">g\n{TARGET}\n"), {"track": tmp_path / "picture.bmp"}),
            (fasta(f">g\n{TARGET}\n>p\nMKLV\n", "bad.fa"), {}),
        ):
            with pytest.raises((ValueError, FileNotFoundError, OSError)):
                score_guides(source, tmp_path / "o.tsv", overwrite=True, **options)
            assert (tmp_path / "o.tsv").read_text() == "yesterday"

    def test_ids_with_dollars_and_long_ones_are_drawn(self, fasta, tmp_path):
        path = fasta(f">../../evil$x_1$\n{TARGET}\n>{'x' * 300}\n{TARGET}\n>a_$b_{{\n{TARGET}\n>NA\n{TARGET}\n")
        score_guides(path, tmp_path / "o.tsv", model=model(), track=tmp_path / "t.svg")
        assert "evil$x_1$ (1 guides)" in (tmp_path / "t.svg").read_text()
        with pytest.raises(FileExistsError, match=r"t.svg exists"):
            score_guides(path, tmp_path / "p.tsv", model=model(), track=tmp_path / "t.svg")

    def test_killed_at_random_and_resumed(self, tmp_path, monkeypatch):
        rng = np.random.default_rng(5)
        text = "".join(f">r{i}\n{''.join(rng.choice(list('ACGTTT'), 400))}\n" for i in range(600))
        (tmp_path / "g.fa").write_text(text)
        score_guides(tmp_path / "g.fa", tmp_path / "whole.tsv", model="fast")
        # Many small blocks with a pause after each, so that a kill hits in the middle.
        write = RowFile.write
        monkeypatch.setattr("seqformers.guides.score._LETTERS", 4000)
        monkeypatch.setattr(RowFile, "write", lambda self, rows: (write(self, rows), time.sleep(0.01)))

        def job():
            score_guides(tmp_path / "g.fa", tmp_path / "o.tsv", model="fast", resume=True)

        assert run_and_kill(job, tmp_path / "o.tsv.partial", rng.uniform(0, 0.3, 3)) == 3
        job()
        assert (tmp_path / "o.tsv").read_bytes() == (tmp_path / "whole.tsv").read_bytes()


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

    @pytest.mark.parametrize(
        ("name", "data"),
        [
            ("q.tsv", f'id\ttarget\tnote\ng1\t{TARGET}\t"3 prime\ng2\t{OTHER}\tlast "one"\n'.encode()),
            ("t.tsv", f"id\ttarget\ng1\t{TARGET}\t\ng2\t{OTHER}\t\n".encode()),
            ("l.tsv", f"id\ttarget\tnote\ng1\t{TARGET}\tcaf\xe9\ng2\t{OTHER}\t\n".encode("latin-1")),
            ("u.tsv", f"id\ttarget\ng1\t{TARGET}\ng2\t{OTHER}\n".encode("utf-16")),
            ("s.csv", f"id;target\ng1;{TARGET}\ng2;{OTHER}\n".encode()),
            ("c.tsv", f"# of Monday\nid\ttarget\ng1\t{TARGET}\ng2\t{OTHER}\n".encode()),
            ("b.tsv", f"id\ttarget\tnote\ng1\t{TARGET} \t{'x' * 200_000}\ng2\t{OTHER}\t\n".encode()),
        ],
    )
    def test_tables_as_labs_have_them(self, tmp_path, name, data):
        (tmp_path / name).write_bytes(data)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            table = guide_table(tmp_path / name, model=model())
        assert table.id.tolist() == ["g1", "g2"] and table.target.tolist() == [TARGET, OTHER]
        expected = model()(**DeepCpf1Processor()([TARGET, OTHER], return_tensors="pt")).logits.tolist()
        assert table.score.tolist() == pytest.approx(expected, abs=1e-5)

    @pytest.mark.parametrize("target", ["MKTAYIAKQRQISFVKSHFSRQLEERLGLIEVQA", "ACGTTTTACCGATCGATGCCAGCTAGCT-CGATC"])
    def test_targets_of_other_letters_are_refused_or_left_out(self, tmp_path, target):
        path = self.table(tmp_path, f"id\ttarget\na\t{TARGET}\ng1\t{target}\nb\t{OTHER}\n")
        with pytest.raises(ValueError, match=r"targets.tsv line 3: target of 'g1': letter"):
            guide_table(path, model=model())
        report = score_guides(path, tmp_path / "o.tsv", model=model(), on_error="skip")
        assert pd.read_csv(tmp_path / "o.tsv", sep="\t").id.tolist() == ["a", "b"]
        assert report.counts["targets left out"] == 1 and report.rows == 2

    def test_dates_and_nulls(self, tmp_path):
        rows = pd.DataFrame({"id": ["a", "b"], "target": [TARGET, None], "n": [1, 2], "nothing": None})
        rows["day"] = pd.Timestamp("2024-05-01")
        rows.to_parquet(tmp_path / "t.parquet")
        with pytest.raises(ValueError, match=r"no target \(of 'b'\)"):
            score_guides(tmp_path / "t.parquet", tmp_path / "o.jsonl", model=model())
        rows[:1].to_parquet(tmp_path / "t.parquet")
        for suffix, read in (("jsonl", lambda path: pd.read_json(path, lines=True)), ("parquet", pd.read_parquet)):
            score_guides(tmp_path / "t.parquet", tmp_path / f"o.{suffix}", model=model())
            row = read(tmp_path / f"o.{suffix}").iloc[0]
            assert (str(row.day)[:10] == "2024-05-01" and row.n == 1 and row.nothing is None) or pd.isna(row.nothing)

    def test_a_number_that_comes_late_fits_its_column(self, tmp_path, monkeypatch):
        monkeypatch.setattr("seqformers.tables._ROWS_PER_PART", 2)
        lines = [{"id": f"g{i}", "target": TARGET, "reads": None if i < 4 else i} for i in range(5)]
        (tmp_path / "t.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
        score_guides(tmp_path / "t.jsonl", tmp_path / "o.parquet", model=model())
        assert pd.read_parquet(tmp_path / "o.parquet").reads.dropna().tolist() == [4]

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
