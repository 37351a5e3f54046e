"""Scanning for miRNA targets: the table, its order, resuming, and what happens to bad input."""

from __future__ import annotations

import resource
import time
import warnings

import numpy as np
import pandas as pd
import pytest
import torch
from typer.testing import CliRunner

import seqformers.targets.scan as scan_module
from seqformers import PairCnnConfig, PairCnnModel, TargetNetConfig, TargetNetModel
from seqformers.modeling.targets.processing_targetnet import TargetNetProcessor
from seqformers.tables import RowFile
from seqformers.targets.engines import open_scanner
from seqformers.targets.records import ScanReport
from seqformers.targets.results import PAIR_COLUMNS, SITE_COLUMNS, RankedPair, ScoredPair
from seqformers.targets.scan import scan_target_files, scan_targets
from seqformers.targets.scanner import TargetScanner
from tests.conftest import golden_cases
from tests.kills import run_and_kill

LET7 = "UGAGGUAGUAGGUUGUAUAGUU"
CASES = [case for case in golden_cases("targetnet") if case["kind"] == "pair"]


@pytest.fixture(scope="module")
def published(checkpoints, tmp_path_factory):
    from seqformers.convert import convert

    folder = tmp_path_factory.mktemp("scan") / "published"
    return convert("targetnet", checkpoints / "targetnet" / "TargetNet.pt", folder)


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return TargetNetModel(TargetNetConfig()).eval()


def pair_cnn():
    """A small pair CNN whose scores differ."""
    torch.manual_seed(0)
    small = {"pair_size": 8, "target_size": 4, "channels": [8], "kernel_sizes": [3], "num_heads": 2, "hidden_size": 8}
    model = PairCnnModel(PairCnnConfig(**small)).eval()
    model.members[0].classifier.weight.data *= 8
    return model


class BothModels:
    """Tests of what holds for the default, a pair CNN, and for a TargetNet."""

    @pytest.fixture(scope="class", params=["pair_cnn", "targetnet"])
    def model(self, request):
        torch.manual_seed(0)
        return pair_cnn() if request.param == "pair_cnn" else TargetNetModel(TargetNetConfig()).eval()


def is_targetnet(model):
    return isinstance(model, TargetNetModel)


@pytest.fixture(scope="module")
def sequences():
    rng = np.random.default_rng(0)

    def random_rna(length):
        return "".join(rng.choice(list("ACGU"), length))

    mirnas = {f"mir-{i}": random_rna(n) for i, n in enumerate((22, 18, 24))}
    mrnas = {f"utr-{i}": random_rna(n) for i, n in enumerate((300, 39, 1200, 40, 80))}
    for name in ("utr-0", "utr-4"):  # seed matches, whatever a network says
        for mirna in mirnas.values():
            mrnas[name] += mirna[:8].translate(str.maketrans("ACGU", "UGCA"))[::-1] + random_rna(9)
    return mirnas, mrnas


def write_fasta(path, records):
    path.write_text("".join(f">{name} described\n{sequence}\n" for name, sequence in records.items()))
    return path


@pytest.fixture
def files(tmp_path, sequences):
    return write_fasta(tmp_path / "mirnas.fa", sequences[0]), write_fasta(tmp_path / "utrs.fa", sequences[1])


def quiet_scan(*args, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return scan_targets(*args, **options)


class TestTable:
    def test_reference_scores(self, published):
        mirnas = {f"m{i}": case["mirna"] for i, case in enumerate(CASES)}
        mrnas = {f"u{i}": case["mrna"] for i, case in enumerate(CASES)}
        pairs = [(f"m{i}", f"u{i}") for i in range(len(CASES))]
        table = quiet_scan(mirnas, mrnas, pairs, published, windows=True)
        assert list(table.columns) == list(PAIR_COLUMNS)
        for case, row in zip(CASES, table.itertuples(), strict=True):
            assert row.score == pytest.approx(case["pair_score"], abs=2e-6)
            assert row.num_sites == case["n_cts"]
            if case["n_cts"]:
                highest = max(cts["logit"] for cts in case["cts"])
                best = min((c for c in case["cts"] if c["logit"] == highest), key=lambda c: c["mrna_start_5p"])
                assert (row.best_start, row.best_end) == (best["mrna_start_5p"], best["mrna_start_5p"] + 40)
                assert row.alignment.split("/")[::2] == [best["mirna_aln"], best["cts_rev_aln"]]
            else:
                assert row.site_type == "too-short" and row.alignment == "" and pd.isna(row.best_start)

    def test_windows_against_the_model_pair_by_pair(self, model, sequences):
        mirnas, mrnas = sequences
        table = quiet_scan(mirnas, mrnas, model=model, windows=True)
        assert list(zip(table.mirna_id, table.mrna_id, strict=True)) == [(a, b) for a in mirnas for b in mrnas]
        processor = TargetNetProcessor()
        for row in table.itertuples():
            inputs = processor(mirnas[row.mirna_id], mrnas[row.mrna_id])
            with torch.inference_mode():
                output = model(inputs["input_ids"], pair_index=inputs["pair_index"], num_pairs=1)
            assert row.score == pytest.approx(output.logits.sigmoid().item(), abs=2e-6)
            assert row.num_sites == len(inputs["site_start"])
            if row.num_sites:
                assert row.best_start == inputs["site_start"][output.best_site[0]]

    @pytest.mark.parametrize("windows", [False, True])
    @pytest.mark.parametrize("job_windows", [64, 333])
    def test_jobs_threads_and_batches_change_no_bit(self, model, sequences, job_windows, windows, monkeypatch):
        whole = quiet_scan(*sequences, model=model, sites=True, windows=windows)
        pairs = quiet_scan(*sequences, model=model, windows=windows)
        original = TargetScanner.__init__

        def smaller(self, *args, **options):
            original(self, *args, **options, batch_size=job_windows)
            self.job_windows = job_windows

        monkeypatch.setattr(TargetScanner, "__init__", smaller)
        again = quiet_scan(*sequences, model=model, sites=True, windows=windows, threads=3)
        pd.testing.assert_frame_equal(whole, again, check_exact=True)
        again = quiet_scan(*sequences, model=model, windows=windows, threads=3)
        pd.testing.assert_frame_equal(pairs, again, check_exact=True)

    @pytest.mark.parametrize("windows", [False, True])
    def test_sites(self, model, sequences, windows):
        sites = quiet_scan(*sequences, model=model, sites=True, windows=windows)
        table = quiet_scan(*sequences, model=model, windows=windows)
        assert list(sites.columns) == list(SITE_COLUMNS)
        grouped = sites.groupby(["mirna_id", "mrna_id"], sort=False)
        found = table[table.num_sites > 0].reset_index(drop=True)
        assert grouped.size().tolist() == found.num_sites.tolist()
        assert grouped.score.max().tolist() == found.score.tolist()
        assert grouped.start.apply(lambda s: s.is_monotonic_increasing).all()
        assert (sites.end - sites.start == 40).all() if windows else (sites.end - sites.start).between(1, 10).all()
        marks = sites.alignment.str.split("/").str[1]
        assert (marks.str.count(r"[|:]") == sites.pairings).all() and (sites.pairings >= 6).all()
        some = quiet_scan(*sequences, model=model, sites=True, windows=windows, min_score=0.5)
        assert len(some) == (sites.score >= 0.5).sum() and 0 < len(some) < len(sites)

    def test_pairs_as_data_frame(self, model, sequences):
        pairs = pd.DataFrame({"mrna_id": ["utr-4", "utr-0"], "mirna_id": ["mir-2", "mir-0"]})
        table = scan_targets(*sequences, pairs, model)
        assert table[["mirna_id", "mrna_id"]].to_numpy().tolist() == [["mir-2", "utr-4"], ["mir-0", "utr-0"]]

    def test_is_what_the_package_exports(self):
        import seqformers

        assert seqformers.scan_targets is scan_targets and scan_module.__name__ == "seqformers.targets.scan"


class TestFiles(BothModels):
    def scan(self, files, output, model, **options):
        return scan_target_files(*files, output, model=model, progress=False, **options)

    @pytest.mark.parametrize("suffix", ["tsv", "jsonl", "parquet"])
    def test_same_as_the_function(self, files, sequences, model, tmp_path, suffix):
        report = self.scan(files, tmp_path / f"t.{suffix}", model)
        blank = {"best_start": "", "best_end": ""}
        readers = {
            "tsv": lambda path: pd.read_csv(path, sep="\t", keep_default_na=False, na_values=blank),
            "jsonl": lambda path: pd.read_json(path, lines=True),
            "parquet": pd.read_parquet,
        }
        expected = quiet_scan(*sequences, model=model).astype({"best_start": float, "best_end": float})
        found = readers[suffix](tmp_path / f"t.{suffix}")
        assert list(found) == list(expected)
        found, expected = (table.drop(columns="energy", errors="ignore") for table in (found, expected))
        pd.testing.assert_frame_equal(found, expected, check_dtype=False)
        assert report.pairs == 15 and report.high == (expected.score > 0.5).sum()
        names = {path.name for path in tmp_path.iterdir() if not path.name.startswith(".")}
        assert names == {"mirnas.fa", f"t.{suffix}", "utrs.fa"}

    @pytest.mark.parametrize("sites", [False, True])
    @pytest.mark.parametrize("kill_at", [1, 7, 14])
    def test_resume_gives_the_same_file(self, files, model, tmp_path, monkeypatch, sites, kill_at):
        monkeypatch.setattr(scan_module, "_PAIRS_A_BLOCK", 2)
        monkeypatch.setattr(scan_module, "_PAIRS_A_BLOCK_OF_SITES", 3)
        whole = self.scan(files, tmp_path / "whole.tsv", model, sites=sites)
        kind = ScoredPair if is_targetnet(model) else RankedPair
        method, calls = kind.rows, []

        def killed(self, *args):
            calls.append(1)
            if len(calls) == kill_at + 1:
                raise KeyboardInterrupt
            return method(self, *args)

        with monkeypatch.context() as patch:
            patch.setattr(kind, "rows", killed)
            with pytest.raises(KeyboardInterrupt):
                self.scan(files, tmp_path / "cut.tsv", model, sites=sites)
        partial = tmp_path / "cut.tsv.partial"
        if partial.exists():  # nothing is begun before the first row
            partial.write_bytes(partial.read_bytes()[:-3])  # a torn last line, too
        report = self.scan(files, tmp_path / "cut.tsv", model, sites=sites, resume=True)
        assert (tmp_path / "cut.tsv").read_bytes() == (tmp_path / "whole.tsv").read_bytes()
        assert (report.pairs, report.high) == (15, whole.high) and report.lines() == whole.lines()
        assert (report.resumed > 0) == (kill_at > 3)
        again = self.scan(files, tmp_path / "cut.tsv", model, sites=sites, resume=True)
        assert again.finished and not list(tmp_path.glob("*.progress"))

    def test_killed_at_random_and_resumed(self, files, model, tmp_path, monkeypatch):
        self.scan(files, tmp_path / "whole.tsv", model, sites=True)
        monkeypatch.setattr(scan_module, "_PAIRS_A_BLOCK_OF_SITES", 1)
        write = RowFile.write
        monkeypatch.setattr(RowFile, "write", lambda self, rows: (time.sleep(0.01), write(self, rows)))

        def job():
            self.scan(files, tmp_path / "cut.tsv", model, sites=True, resume=True, threads=1)

        waits = np.random.default_rng(0).uniform(0, 0.05, 3)
        assert run_and_kill(job, tmp_path / "cut.tsv.partial", waits) > 0
        job()
        assert (tmp_path / "cut.tsv").read_bytes() == (tmp_path / "whole.tsv").read_bytes()

    @pytest.mark.parametrize(
        ("what", "options"),
        [("on_error", {"on_error": "skip"}), ("windows", {"windows": True}), ("min_score", {"min_score": 0.1}),
         ("model", {"model": TargetNetModel(TargetNetConfig()).eval()})],
    )  # fmt: skip
    def test_resume_goes_on_with_the_same_work_only(self, files, model, tmp_path, monkeypatch, what, options):
        if what == "windows" and not is_targetnet(model):
            what, options = "model", {"exhaustive": True}
        with monkeypatch.context() as patch:
            patch.setattr(RowFile, "close", lambda self: 1 / 0)
            with pytest.raises(ZeroDivisionError):
                self.scan(files, tmp_path / "t.tsv", model)
        with pytest.raises(ValueError, match=rf"was started with other settings \({what}: then"):
            self.scan(files, tmp_path / "t.tsv", **({"model": model} | options), resume=True)
        files[1].write_text(files[1].read_text() + ">more\nACGU\n")
        with pytest.raises(ValueError, match=r"was started with other settings \(mrna: then"):
            self.scan(files, tmp_path / "t.tsv", model, resume=True)

    @pytest.mark.parametrize("score", [50, -0.1, float("nan")])
    def test_a_score_is_between_0_and_1(self, files, model, tmp_path, score):
        with pytest.raises(ValueError, match="min_score is a score, 0 to 1"):
            self.scan(files, tmp_path / "t.tsv", model, min_score=score)

    @pytest.mark.parametrize("which", [0, 1, "pairs"])
    def test_an_input_is_never_an_output(self, files, model, tmp_path, which):
        pairs = tmp_path / "p.tsv"
        pairs.write_text("mirna_id\tmrna_id\nmir-0\tutr-0\n")
        given = pairs if which == "pairs" else files[which].rename(tmp_path / "fasta.tsv")
        inputs = [given if index == which else file for index, file in enumerate(files)]
        before = given.read_text()
        with pytest.raises(ValueError, match="is the input"):
            self.scan(inputs, given, model, pairs=pairs, overwrite=True)
        assert given.read_text() == before

    @pytest.mark.parametrize("sites", [False, True])
    def test_only_what_scores_enough(self, files, model, tmp_path, sites):
        self.scan(files, tmp_path / "all.tsv", model, sites=sites)
        whole = pd.read_csv(tmp_path / "all.tsv", sep="\t", dtype=str)
        scores = whole.score.astype(float)
        least = scores[scores > 0].median() - 1e-6  # scores are rounded to six places
        self.scan(files, tmp_path / "few.tsv", model, sites=sites, min_score=least)
        few = pd.read_csv(tmp_path / "few.tsv", sep="\t", dtype=str)
        pd.testing.assert_frame_equal(few, whole[scores >= least].reset_index(drop=True))
        assert 0 < len(few) < len(whole)

    def test_existing_output_is_kept(self, files, model, tmp_path):
        (tmp_path / "t.tsv").write_text("mine")
        with pytest.raises(FileExistsError, match="--overwrite"):
            self.scan(files, tmp_path / "t.tsv", model)
        assert (tmp_path / "t.tsv").read_text() == "mine"
        self.scan(files, tmp_path / "t.tsv", model, overwrite=True)

    def test_pictures(self, files, model, tmp_path, monkeypatch):
        monkeypatch.setattr(scan_module, "_PICTURES", 4)
        self.scan(files, tmp_path / "t.tsv", model, plot=tmp_path / "pictures")
        pictures = sorted((tmp_path / "pictures").glob("*-mir-*__utr-*.png"))
        assert len(pictures) == 4 and all(path.read_bytes().startswith(b"\x89PNG") for path in pictures)
        best = pd.read_csv(tmp_path / "t.tsv", sep="\t").sort_values("score", ascending=False, kind="stable").iloc[0]
        assert pictures[0].name == f"01-{best.mirna_id}__{best.mrna_id}.png"
        (tmp_path / "mine").mkdir()
        (tmp_path / "mine" / "thesis.txt").write_text("years")
        with pytest.raises(FileExistsError, match="mine"):
            self.scan(files, tmp_path / "u.tsv", model, plot=tmp_path / "mine", overwrite=True)
        assert not (tmp_path / "u.tsv").exists()

    def test_pictures_of_odd_ids(self, model, tmp_path):
        utr = "GGAGCAAUCUCAACUGACUUAGUUAGUAAGCAUUCAAACUACCUCAUUUAAGC"
        mrnas = dict.fromkeys(["../../evil/UTR:1", "a$b$c", "a_$b_{", "x/y", "x_y", "u" * 300], utr)
        files = write_fasta(tmp_path / "m.fa", {"hsa/let-7a|$x": LET7}), write_fasta(tmp_path / "u.fa", mrnas)
        self.scan(files, tmp_path / "t.tsv", model, plot=tmp_path / "pictures", sites=True)
        assert len(list((tmp_path / "pictures").glob("*.png"))) == 6

    def test_a_last_record_without_letters_is_a_row(self, files, model, tmp_path):
        with files[1].open("a") as file:
            file.write(">empty\n")
        report = self.scan(files, tmp_path / "t.tsv", model)
        last = pd.read_csv(tmp_path / "t.tsv", sep="\t", keep_default_na=False).iloc[-1]
        assert (last.mrna_id, last.score, last.num_sites, last.site_type) == ("empty", 0, 0, "none")
        assert report.counts["mRNAs are empty, so they have no site and score 0"] == 1

    def test_memory_does_not_grow_with_the_pairs(self, model, tmp_path):
        rng = np.random.default_rng(1)
        mirnas = write_fasta(tmp_path / "m.fa", {"m": LET7})
        pool = ["".join(rng.choice(list("ACGU"), 60)) for _ in range(50)]
        few, many = (2_000, 12_000) if is_targetnet(model) else (200, 1_500)
        small = write_fasta(tmp_path / "s.fa", {f"u{i}": pool[i % 50] for i in range(few)})
        large = write_fasta(tmp_path / "l.fa", {f"u{i}": pool[i % 50] for i in range(many)})
        self.scan((mirnas, small), tmp_path / "s.tsv", model)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        self.scan((mirnas, large), tmp_path / "l.tsv", model)
        grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
        assert grown < 60, f"{grown:.0f} MiB for {many - few:,} pairs more"


class TestBadInput(BothModels):
    @pytest.mark.parametrize(
        ("mirnas", "mrnas", "message"),
        [
            (
                {"m": "UGAGGUAGU"},
                {"u": "A" * 50},
                r"record 1 \(m\): a miRNA has 10 to 41 .*, this one 9",
            ),
            ({"m": "U" * 42}, {"u": "A" * 50}, r"this one 42"),
            ({"m": LET7}, {"u": "A" * 50, "p": "MKVLAAGIVGLCAK" * 5}, r"record 2 \(p\): 'L' at position 4 .*protein"),
            ({"m": "MKVLAAGIVG"}, {"u": "A" * 50}, r"record 1 \(m\): 'L' at position 4"),
        ],
    )
    def test_raise_names_record_and_position(self, tmp_path, model, mirnas, mrnas, message):
        files = write_fasta(tmp_path / "m.fa", mirnas), write_fasta(tmp_path / "u.fa", mrnas)
        with pytest.raises(ValueError, match=message):
            scan_target_files(*files, tmp_path / "t.tsv", model=model, progress=False)
        assert not (tmp_path / "t.tsv").exists()

    def test_skip_processes_the_rest(self, tmp_path, model, sequences):
        mirnas = {"short": "ACGU", **sequences[0]}
        mrnas = {**sequences[1], "protein": "MKVLAAGIVGLCAK" * 5}
        files = write_fasta(tmp_path / "m.fa", mirnas), write_fasta(tmp_path / "u.fa", mrnas)
        (tmp_path / "p.tsv").write_text(
            "\ufeffmrna_id\tnote\tmirna_id\r\nutr-0\tx\tmir-0\r\nutr-0\tx\tshort\r\nnowhere\tx\tmir-1\r\n"
            "protein\tx\tmir-1\r\nutr-0\tx\r\nutr-2\tx\tmir-1\r\n",
            encoding="utf-8",
        )
        report = scan_target_files(
            *files, tmp_path / "t.tsv", pairs=tmp_path / "p.tsv", model=model, on_error="skip", progress=False
        )
        table = pd.read_csv(tmp_path / "t.tsv", sep="\t")
        assert table.mirna_id.tolist() == ["mir-0", "mir-1"] and table.mrna_id.tolist() == ["utr-0", "utr-2"]
        lines = "\n".join(report.lines())
        assert (
            sum(report.counts[what] for what in ("pairs left out", "rows left out")) == 4
            and report.counts["miRNA records left out"] == 1
        )
        assert "line 3: mirna_id 'short': its record could not be used" in lines
        assert "line 4: mrna_id 'nowhere': no record of this mrna_id" in lines

    def test_unknown_ids_raise(self, tmp_path, model, files):
        (tmp_path / "p.tsv").write_text("mirna_id\tmrna_id\nmir-0\tutr-0\nmir-9\tutr-0\n")
        with pytest.raises(ValueError, match=r"p.tsv line 3: mirna_id 'mir-9': no record"):
            scan_target_files(*files, tmp_path / "t.tsv", pairs=tmp_path / "p.tsv", model=model, progress=False)

    def test_a_line_of_pairs_cut_short(self, tmp_path, model, files):
        (tmp_path / "p.tsv").write_text("mirna_id\tmrna_id\nmir-0\n")
        with pytest.raises(ValueError, match=r"p.tsv line 2 has 1 of 2 columns"):
            scan_target_files(*files, tmp_path / "t.tsv", pairs=tmp_path / "p.tsv", model=model, progress=False)

    @pytest.mark.parametrize(
        ("text", "message"),
        [("mir-0\tutr-0\n", "has no column mirna_id"), ("", "is empty"), ("mirna_id\n", "has no column mrna_id")],
    )
    def test_pairs_without_header(self, tmp_path, model, files, text, message):
        (tmp_path / "p.tsv").write_text(text)
        with pytest.raises(ValueError, match=message):
            scan_target_files(*files, tmp_path / "t.tsv", pairs=tmp_path / "p.tsv", model=model, progress=False)

    @pytest.mark.parametrize(
        "data",
        [
            b'mirna_id\tmrna_id\tnote\nmir-0\tutr-0\t"5 prime\nmir-1\tutr-0\tx\nmir-1\tutr-2\ty\n',
            "mirna_id\tmrna_id\r\nmir-0\tutr-0\r\nmir-1\tutr-0\r\nmir-1\tutr-2\r\n".encode("utf-16"),
            "mirna_id\tmrna_id\tn\nmir-0\tutr-0\t\xe9\nmir-1\tutr-0\t\nmir-1\tutr-2\t\n".encode("latin-1"),
            b"mirna_id;mrna_id\nmir-0;utr-0\nmir-1;utr-0\nmir-1;utr-2\n",
        ],
    )
    def test_pairs_as_labs_have_them(self, tmp_path, model, files, data):
        (tmp_path / "p.tsv").write_bytes(data)
        report = scan_target_files(*files, tmp_path / "t.tsv", pairs=tmp_path / "p.tsv", model=model, progress=False)
        assert report.pairs == 3
        table = pd.read_csv(tmp_path / "t.tsv", sep="\t")
        found = table[["mirna_id", "mrna_id"]].to_numpy().tolist()
        assert found == [["mir-0", "utr-0"], ["mir-1", "utr-0"], ["mir-1", "utr-2"]]

    def test_repeated_ids(self, tmp_path, model):
        (tmp_path / "m.fa").write_text(f">m\n{LET7}\n")
        (tmp_path / "u.fa").write_text(f">u\n{'A' * 50}\n>v\n{'C' * 50}\n>u\n{'G' * 50}\n")
        with pytest.raises(ValueError, match=r"record 3 \(u\): id 'u' is used by record 1 already"):
            scan_target_files(tmp_path / "m.fa", tmp_path / "u.fa", tmp_path / "t.tsv", model=model, progress=False)
        report = scan_target_files(
            tmp_path / "m.fa", tmp_path / "u.fa", tmp_path / "t.tsv", model=model, progress=False, on_error="skip"
        )
        assert report.pairs == 2 and sum(report.counts.values()) == 1

    def test_odd_letters_are_counted(self, tmp_path, model):
        (tmp_path / "m.fa").write_text(">m\nugaggtaguagguugtauaguu\n")
        (tmp_path / "u.fa").write_text(f">u\n{'ACGTacgu' * 10}\n>n\n{'ACGN' * 20}\n>s\nACGU\n")
        report = scan_target_files(
            tmp_path / "m.fa", tmp_path / "u.fa", tmp_path / "t.tsv", model=model, progress=False,
            windows=is_targetnet(model),
        )  # fmt: skip
        assert sorted(report.counts.values()) == [1] * (3 + is_targetnet(model))
        lines = "\n".join(report.lines())
        assert "miRNAs mix T and U" in lines and "mRNAs mix T and U" in lines
        assert "1 mRNAs hold letters other than A, C, G, U, T, which pair with nothing: n" in lines
        assert ("shorter than 40 nt, so they have no window and score 0: s" in lines) == is_targetnet(model)
        last = pd.read_csv(tmp_path / "t.tsv", sep="\t").iloc[-1]
        assert last.score == 0 and last.num_sites == 0
        assert last.site_type == ("too-short" if is_targetnet(model) else "none")

    @pytest.mark.parametrize("functional", [10, 11])
    def test_a_threshold_that_says_nothing_is_told(self, functional):
        report = ScanReport()
        report.count(ScoredPair("m", "u", score=0.6 if i < functional else 0.4) for i in range(20))
        assert any("compare mRNAs by rank" in line for line in report.lines()) == (functional > 10)

    def test_empty_fasta(self, tmp_path, model):
        (tmp_path / "m.fa").write_text("")
        (tmp_path / "u.fa").write_text(">u\nACGU\n")
        with pytest.raises(ValueError, match="is empty"):
            scan_target_files(tmp_path / "m.fa", tmp_path / "u.fa", tmp_path / "t.tsv", model=model, progress=False)

    def test_nothing_usable(self, tmp_path, model):
        (tmp_path / "m.fa").write_text(">m\nACGU\n")
        (tmp_path / "u.fa").write_text(">u\nACGU\n")
        with pytest.raises(ValueError, match="holds no usable miRNA"):
            scan_target_files(
                tmp_path / "m.fa", tmp_path / "u.fa", tmp_path / "t.tsv", model=model, on_error="skip", progress=False
            )

    def test_warnings_from_python(self, model):
        with pytest.warns(UserWarning, match="mRNAs are empty"):
            scan_targets({"m": LET7}, {"u": "ACGU", "e": ""}, model=model)
        with pytest.raises(ValueError, match="as a dict"):
            scan_targets([LET7], {"u": "ACGU"}, model=model)

    def test_wrong_model(self, tmp_path):
        with pytest.raises(FileNotFoundError, match="no such folder"):
            TargetScanner(tmp_path / "nothing")
        (tmp_path / "config.json").write_text('{"model_type": "bert"}')
        with pytest.raises(ValueError, match="is a bert model"):
            TargetScanner(tmp_path)

    @pytest.mark.parametrize("device", ["cuda:99", "gpu"])
    def test_no_such_device(self, model, device):
        with pytest.raises(ValueError, match=f"device '{device}' cannot be used here .*; try cpu"):
            open_scanner(model, device=device)


class TestPackagedModel:
    def test_answers_without_a_model_named(self):
        site, other = "CUACCUCA", "GAUGGAGU"
        rng = np.random.default_rng(7)
        context = "".join(rng.choice(list("ACGU"), 60))
        mrnas = {name: context[:30] + word + context[30:] for name, word in (("site", site), ("other", other))}
        table = scan_targets({"let-7a": LET7}, mrnas).set_index("mrna_id")
        assert table.score["site"] > table.score["other"]
        assert table.site_type["site"] in ("8mer", "7mer-m8")

    def test_is_a_small_repository_without_pickles(self):
        from huggingface_hub import ModelCard

        from seqformers.hub.load import packaged_model

        files = {path.name: path.stat().st_size for path in packaged_model("targetnet").iterdir()}
        assert {"config.json", "model.safetensors", "processor_config.json", "README.md"} <= set(files)
        assert sum(files.values()) < 100_000 and not any(name.endswith((".bin", ".pt", ".py")) for name in files)
        card = ModelCard.load(packaged_model("targetnet") / "README.md")
        assert card.data.eval_results


class TestCommand(BothModels):
    def run(self, *words):
        from seqformers.cli import app

        return CliRunner().invoke(app, ["scan-targets", *map(str, words)])

    def test_help_shows_a_complete_call(self):
        result = self.run("--help")
        assert result.exit_code == 0
        assert "scan-targets --mirna mirnas.fa --mrna utrs.fa --output targets.tsv" in " ".join(result.output.split())

    def test_scan(self, files, tmp_path, model):
        model.save_pretrained(tmp_path / "model")
        result = self.run(
            "--mirna", files[0], "--mrna", files[1], "--output", tmp_path / "t.tsv", "--model", tmp_path / "model"
        )
        assert result.exit_code == 0, result.output
        assert len((tmp_path / "t.tsv").read_text().splitlines()) == 16
        assert "15 pairs scored" in result.stderr
