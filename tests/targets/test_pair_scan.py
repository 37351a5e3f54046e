"""Scanning with a pair CNN: sites against slow searches, the same bytes however it is cut, the pair's score."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

import seqformers.targets.scan as scan_module
from seqformers import PairCnnConfig, PairCnnModel, TargetNetConfig, TargetNetModel
from seqformers.modeling.targets.targetnet_sites import encode_rna
from seqformers.targets.duplex import draw_duplex, energy_version
from seqformers.targets.engines import open_scanner
from seqformers.targets.pair_scanner import PairCnnScanner
from seqformers.targets.pair_score import PairRule
from seqformers.targets.places import (
    AFTER,
    BEFORE,
    ONE_SHOWN,
    WINDOW,
    Laid,
    _cut,
    join_places,
    paired_places,
    seed_places,
    slide,
    told_apart,
)
from seqformers.targets.plot import plot_target_sites
from seqformers.targets.records import ScanReport, TargetRecords, pair_all
from seqformers.targets.results import RankedPair
from seqformers.targets.scan import scan_target_files, scan_targets
from tests.targets.test_sites import LET7, slow_seed_matches

TINY = {"pair_size": 8, "target_size": 4, "channels": [8], "kernel_sizes": [3], "num_heads": 2, "hidden_size": 8}


def made_model(**options):
    torch.manual_seed(0)
    model = PairCnnModel(PairCnnConfig(**TINY, **options)).eval()
    for member in model.members:
        member.classifier.weight.data *= 8  # so that some places are sites
    return model


@pytest.fixture(scope="module")
def scanner():
    return PairCnnScanner(made_model(), threads=1, energy=False)


@pytest.fixture(scope="module")
def sequences():
    rng = np.random.default_rng(0)

    def random_rna(length):
        return "".join(rng.choice(list("ACGU"), length))

    mirnas = {f"mir-{i}": random_rna(n) for i, n in enumerate((22, 18, 26))}
    mrnas = {f"utr-{i}": random_rna(n) for i, n in enumerate((700, 39, 1300, 3, 80))}
    for name in ("utr-0", "utr-4"):  # sites, whatever a network says
        for mirna in mirnas.values():
            mrnas[name] += mirna[:8].translate(str.maketrans("ACGU", "UGCA"))[::-1] + random_rna(9)
    return mirnas, mrnas


def scan(*args, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return scan_targets(*args, **options)


def laid_of(*mrnas):
    return Laid([np.pad(encode_rna(mrna), (BEFORE, AFTER), constant_values=4) for mrna in mrnas])


def sites_of(scanner, mirna, mrna):
    report = ScanReport()
    small = TargetRecords.from_mapping({"m": mirna}, "miRNA", scanner.processor, report)
    large = TargetRecords.from_mapping({"u": mrna}, "mRNA", scanner.processor, report, padding=scanner.padding)
    (scored,) = scanner.scan(small, large, pair_all(small, large), sites=True)
    return scored


class TestPlaces:
    @settings(deadline=None, max_examples=25)
    @given(st.text("ACGU", min_size=10, max_size=24), st.lists(st.text("ACGUN", min_size=1, max_size=40), min_size=1))
    def test_seeds_lie_on_one_mrna(self, mirna, mrnas):
        laid = laid_of(*mrnas)
        at, _ = seed_places(encode_rna(mirna), laid)
        found = sorted((int(owner), int(place)) for owner, place in zip(laid.owners(at), at, strict=True))
        slow = [
            (number, int(laid.begins[number]) + BEFORE + start + 6 + (kind in ("7mer-m8", "8mer")))
            for number, mrna in enumerate(mrnas)
            for start, _, kind in slow_seed_matches(mirna, mrna)
        ]
        assert found == sorted(slow)

    def test_sliding_over_tiles_is_sliding_over_the_whole(self):
        rng = np.random.default_rng(1)
        mrnas = ["".join(rng.choice(list("ACGU"), n)) for n in (2_700, 6, 513, 30)]
        laid, model = laid_of(*mrnas), made_model()
        ids = torch.from_numpy(encode_rna(LET7)[None] + 1)
        values = slide(model, ids, laid, torch.device("cpu"))
        for number, mrna in enumerate(mrnas):
            begin, end = laid.begins[number : number + 2]
            targets = torch.from_numpy(laid.codes[begin:end].astype(np.int64) + 1)[None]
            whole = model.score_windows(ids, targets, width=WINDOW)[0].numpy()
            np.testing.assert_allclose(values[begin + BEFORE : end - AFTER + 1], whole, atol=2e-5)
            assert len(whole) == len(mrna) + 1
        assert np.isneginf(values).sum() == len(mrnas) * (WINDOW - 1)
        assert np.isneginf(slide(model, ids, laid_of("", "ACGUA"), torch.device("cpu"))).all()

    @given(st.lists(st.integers(0, 9_000), max_size=8))
    def test_tiles_hold_every_place_once_and_are_no_matter_of_neighbours(self, counts):
        owner, first, width = _cut(np.array(counts, int))
        for number, count in enumerate(counts):
            mine = owner == number
            ends = np.minimum(first[mine] + width[mine], count)
            assert np.concatenate(
                [np.arange(*each) for each in zip(first[mine], ends, strict=True)] or [[]]
            ).tolist() == [*range(count)]
            assert (width[mine].sum() - count < 512) and width[mine].tolist() == _cut(np.array([count]))[2].tolist()

    @pytest.mark.parametrize("step", [2, 4, 64])
    def test_steps_leave_places_out(self, step):
        laid, model = laid_of("ACGGUCA" * 90, "ACGUACGUAC"), made_model()
        ids = torch.from_numpy(encode_rna(LET7)[None] + 1)
        every, some = (slide(model, ids, laid, torch.device("cpu"), each) for each in (1, step))
        for begin, end in zip(laid.begins[:-1], laid.begins[1:], strict=True):
            here = slice(begin + BEFORE, end - AFTER + 1)
            np.testing.assert_allclose(some[here][::step], every[here][::step], atol=2e-5)
            assert np.isneginf(np.delete(some[here], np.s_[::step])).all()

    @settings(deadline=None)
    @given(
        st.lists(st.text("ACGUN", min_size=7, max_size=90), min_size=1, max_size=3),
        st.sampled_from([5, 20]),
        st.data(),
    )
    def test_best_pairing_where_a_network_points(self, mrnas, reach, data):
        laid, mirna = laid_of(*mrnas), encode_rna(LET7)
        values = np.full(len(laid.codes), -np.inf, np.float32)
        seen = data.draw(st.lists(st.integers(0, sum(map(len, mrnas)) - 1), max_size=4))
        letters = np.concatenate([np.arange(len(mrna)) + laid.begins[i] + BEFORE for i, mrna in enumerate(mrnas)])
        values[letters[seen]] = 2.0
        strength = {}
        for number, mrna in enumerate(mrnas):
            for place in range(len(mrna) + 1):
                facing = [(nt, place - nt) for nt in range(16) if 0 <= place - nt < len(mrna)]
                pairs = {"CG": 4, "GC": 4, "AU": 3, "UA": 3, "GU": 1, "UG": 1}
                worth = [1 + 2 * (0 < nt < 8) for nt, _ in facing]
                each = [pairs.get(LET7[nt] + mrna[at], 0) for nt, at in facing]
                sums = sum(a * b for a, b in zip(worth, each, strict=True))
                strength[int(laid.begins[number]) + BEFORE + place] = sums, (BEFORE + place) % (2 * reach + 1)
        slow = [
            at for at, mine in strength.items()
            if any(abs(at - letters[i]) <= 8 for i in seen)
            and all(mine >= strength.get(at + apart, mine) for apart in range(-reach, reach + 1))
        ]  # fmt: skip
        assert paired_places(mirna, laid, values, 1.5, reach).tolist() == slow

    def test_others_beside_seeds_are_left_out(self):
        at, types = join_places(np.array([50]), np.array([3], np.uint8), np.array([44, 57, 43, 90]))
        assert at.tolist() == [43, 50, 57, 90] and types.tolist() == [0, 3, 0, 0]

    @given(st.lists(st.tuples(st.integers(0, 1), st.integers(0, 90), st.booleans(), st.integers(-2, 2)), max_size=14))
    def test_told_apart(self, rows):
        rows = sorted({row[:2]: row for row in rows}.values())
        columns = list(zip(*rows, strict=True)) or [()] * 4
        pair, place, canonical, logit = (np.array(column, int) for column in columns)
        kept = {i for i in range(len(rows)) if rows[i][2]}
        for i in sorted(set(range(len(rows))) - kept, key=lambda i: (-rows[i][3], i)):
            near = (j for j in kept if rows[j][0] == rows[i][0] and abs(rows[j][1] - rows[i][1]) <= ONE_SHOWN)
            if not any(rows[j][3] >= rows[i][3] for j in near):
                kept.add(i)
        assert set(np.flatnonzero(told_apart(pair, place, canonical.astype(bool), logit))) == kept


class TestSites:
    @settings(deadline=None, max_examples=10)
    @given(st.text("ACGU", min_size=10, max_size=12), st.data())
    def test_each_seed_match_is_one_site(self, scanner, mirna, data):
        seed = (mirna[:8] + "A").translate(str.maketrans("ACGU", "UGCA"))[::-1]
        pieces = st.one_of(st.text("ACGU", max_size=12), st.just(seed[-8:-1]), st.just(seed[-7:-1] + "A"))
        mrna = "".join(data.draw(st.lists(pieces, min_size=1, max_size=5)))
        scored = sites_of(scanner, mirna, mrna)
        canonical = sorted((site[0], site[1], site[4]) for site in scored.sites if site[4] != "non-canonical")
        assert canonical == slow_seed_matches(mirna, mrna)
        assert scored.num_sites == len(scored.sites)
        assert all(0 <= site[0] < site[1] <= len(mrna) for site in scored.sites)

    @pytest.mark.parametrize("exhaustive", [False, True])
    def test_a_score_is_that_of_the_window_cut_out(self, sequences, exhaustive):
        scanner = PairCnnScanner(made_model(), threads=1, energy=False, exhaustive=exhaustive)
        mirna, mrna = LET7, "CUACCUCA" + sequences[1]["utr-2"] + "ACUACCUC"
        scored = sites_of(scanner, mirna, mrna)
        assert len(scored.sites) > 1
        for start, end, score, pairings, kind, drawn, window, energy in scored.sites:
            cut = mrna[max(window, 0) : window + WINDOW]
            before = "N" * max(-window, 0)
            with torch.inference_mode():
                logit = scanner.model(**scanner.processor(mirna, (before + cut).ljust(WINDOW, "N"))).logits.item()
            assert score == pytest.approx(1 / (1 + np.exp(-logit)), abs=1e-5)
            assert kind != "non-canonical" or score >= 0.5
            top, marks, bottom = drawn.split("/")
            assert top == mirna[:10] and marks.count("|") + marks.count(":") == pairings and energy is None
            place = window + BEFORE
            assert bottom == "".join(mrna[place - i] if 0 <= place - i < len(mrna) else "." for i in range(10))
            assert max(window, 0) <= start < end <= window + WINDOW

    def test_a_weak_place_is_read_on_a_short_mrna_only(self, scanner, monkeypatch):
        laid = laid_of("A" * 200, "A" * 4_000)
        values = np.full(len(laid.codes), -np.inf, np.float32)
        middles = laid.begins[:-1] + BEFORE + 100
        values[middles] = scanner.finder.least - 1
        monkeypatch.setattr(scanner.finder, "_look", lambda mirna, laid: values)
        at, kind = scanner.finder._places(encode_rna(LET7), laid)
        assert set(laid.owners(at)) == {0} and (abs(at - middles[0]) <= 8).all() and not kind.any()
        values[middles] = scanner.finder.sure
        assert set(laid.owners(scanner.finder._places(encode_rna(LET7), laid)[0])) == {0, 1}

    @pytest.mark.parametrize("at", ["start", "end", "alone"])
    def test_sites_at_the_ends_are_seen(self, at):
        rest = "" if at == "alone" else "GACCGAGACCGGACAGACCGAGGACCAGACGGACCAGGACCAG"
        mrna = rest + "CUACCUCA" if at == "end" else "CUACCUCA" + rest
        place = (len(rest), len(mrna)) if at == "end" else (0, 8)
        table = scan({"m": LET7}, {"u": mrna}, sites=True, energy=False)
        (row,) = table[table.site_type == "8mer"].itertuples()
        assert (row.start, row.end, row.to_end) == (*place, len(mrna) - place[1])
        assert 0 <= row.window_start <= row.start and row.end <= row.window_end <= len(mrna)

    @pytest.mark.parametrize("exhaustive", [False, True])
    def test_jobs_threads_and_batches_change_no_bit(self, sequences, exhaustive, monkeypatch):
        options = {"model": made_model(num_members=2), "exhaustive": exhaustive, "energy": False}
        whole = [scan(*sequences, sites=sites, **options) for sites in (False, True)]
        original = PairCnnScanner.__init__

        def smaller(self, *args, **options):
            original(self, *args, **options, batch_size=64)
            self.job_letters = 500

        monkeypatch.setattr(PairCnnScanner, "__init__", smaller)
        for sites, expected in zip((False, True), whole, strict=True):
            again = scan(*sequences, sites=sites, threads=3, **options)
            pd.testing.assert_frame_equal(expected, again, check_exact=True)
        pairs, sites = whole
        assert list(pairs.columns) == list(PairCnnScanner.pair_columns)
        assert list(sites.columns) == list(PairCnnScanner.site_columns)
        grouped = sites.groupby(["mirna_id", "mrna_id"], sort=False)
        found = pairs[pairs.num_sites > 0].reset_index(drop=True)
        assert grouped.size().tolist() == found.num_sites.tolist() and 0 < len(found) < len(pairs)
        assert grouped.score.max().tolist() == found.best_score.tolist()
        assert (pairs.score[pairs.num_sites == 0] == 0).all()

    def test_letters_as_labs_write_them(self):
        rna = "GACCGAGACCRGACCNGAGACC" * 3 + "CUACCUCA" + "GACCGAGACC" * 3
        model = made_model()
        tables = [
            scan({"m": mirna}, {"u": mrna}, model=model, sites=True, energy=False)
            for mirna, mrna in (
                (LET7, rna),
                (LET7.lower(), rna.lower()),
                (LET7.replace("U", "T"), rna.replace("U", "T").replace("R", "y")),
            )
        ]
        assert len(tables[0]) and all(tables[0].equals(table) for table in tables)

    @pytest.mark.parametrize("length", [1, 7, 8, 20, 49, 50, 51])
    def test_an_mrna_shorter_than_a_window_is_read_whole(self, length):
        mrna = ("GAC" * 20)[: max(length - 8, 0)] + "CUACCUCA"[-length:]
        table = scan({"m": LET7}, {"u": mrna}, sites=True, energy=False)
        assert len(mrna) == length and (table.site_type == "8mer").sum() == (length >= 8)
        assert (table.window_start >= 0).all() and (table.window_end <= length).all()

    def test_energy_of_the_duplex(self, sequences):
        if energy_version() is None:
            pytest.skip("ViennaRNA is in the rna extra")
        import RNA

        mrna = sequences[1]["utr-0"][:60] + "CUACCUCA" + sequences[1]["utr-0"][60:]
        table = scan({"m": LET7}, {"u": mrna}, sites=True)
        for row in table.itertuples():
            stretch = mrna[row.window_start : row.window_end]
            assert row.energy == pytest.approx(RNA.duplexfold(LET7, stretch).energy, abs=0.01)
        assert scan({"m": LET7}, {"u": mrna}, sites=True, energy=False).energy.isna().all()


class TestPrecision:
    @pytest.mark.parametrize("model", ["pair_cnn", "targetnet"])
    def test_bf16_is_near(self, sequences, model):
        mirnas, mrnas = {"m": LET7}, {"u": sequences[1]["utr-0"] + "CUACCUCA" + sequences[1]["utr-4"]}
        exact, near = (
            scan(mirnas, mrnas, model=model, energy=False, threads=1, precision=name) for name in ("fp32", "bf16")
        )
        assert near.score[0] == pytest.approx(exact.score[0], abs=0.02)
        told = [open_scanner(model, threads=1, precision=name).fingerprint for name in ("fp32", "bf16")]
        assert told[1] == told[0] | {"precision": "bf16"}

    def test_int8_is_refused(self):
        with pytest.raises(ValueError, match="a scan has no int8"):
            open_scanner(precision="int8")


class TestPairScore:
    @given(st.lists(st.tuples(st.integers(0, 3), st.floats(-4, 6)), max_size=12))
    def test_against_a_sum_by_hand(self, rows):
        rows = sorted(rows)
        pair, logit = np.array([r[0] for r in rows], int), np.array([r[1] for r in rows], float)
        lengths, rule = np.array([10, 500, 2_000, 9_000]), PairRule(bias=1.0, sites=0.8, length=-0.3)
        scores = rule.scores(pair, logit, lengths)
        for number, length in enumerate(lengths):
            mine = [value for owner, value in rows if owner == number]
            odds = 0.05 + sum(np.exp(value) for value in mine)
            by_hand = 1 / (1 + np.exp(-(1.0 + 0.8 * np.log(odds) - 0.3 * np.log(length + 50))))
            assert scores[number] == (pytest.approx(by_hand) if mine else 0.0)

    def test_the_packaged_rule_counts_sites_and_length(self):
        rule = PairRule.of(open_scanner(threads=1).model.config)
        assert rule.sites > 0 > rule.length

    def test_a_rule_of_other_numbers_is_refused(self):
        with pytest.raises(ValueError, match="pair_rule has the weights bias, sites and length"):
            PairCnnConfig(pair_rule={"slope": 1.0})


class TestFiles:
    @pytest.mark.parametrize("sites", [False, True])
    def test_resume_gives_the_same_file(self, sequences, tmp_path, monkeypatch, sites):
        for name, records in zip(("m.fa", "u.fa"), sequences, strict=True):
            (tmp_path / name).write_text("".join(f">{key}\n{value}\n" for key, value in records.items()))
        inputs = tmp_path / "m.fa", tmp_path / "u.fa"
        options = {"model": made_model(), "sites": sites, "progress": False}
        monkeypatch.setattr(scan_module, "_PAIRS_A_BLOCK", 2)
        monkeypatch.setattr(scan_module, "_PAIRS_A_BLOCK_OF_SITES", 3)
        whole = scan_target_files(*inputs, tmp_path / "whole.tsv", **options)
        rows, calls = RankedPair.rows, []

        def killed(self, *args):
            calls.append(1)
            if len(calls) > 8:
                raise KeyboardInterrupt
            return rows(self, *args)

        with monkeypatch.context() as patch:
            patch.setattr(RankedPair, "rows", killed)
            with pytest.raises(KeyboardInterrupt):
                scan_target_files(*inputs, tmp_path / "cut.tsv", **options)
        with pytest.raises(ValueError, match="other settings"):
            scan_target_files(*inputs, tmp_path / "cut.tsv", resume=True, **(options | {"exhaustive": True}))
        report = scan_target_files(*inputs, tmp_path / "cut.tsv", resume=True, **options)
        assert (tmp_path / "cut.tsv").read_bytes() == (tmp_path / "whole.tsv").read_bytes()
        assert report.resumed > 0 and report.lines() == whole.lines()
        assert "1 miRNAs are longer than the 24 nt that the model reads: mir-2" in "\n".join(report.lines())

    def test_command(self, tmp_path):
        from seqformers.cli import app

        (tmp_path / "m.fa").write_text(f">let-7\n{LET7}\n")
        (tmp_path / "u.fa").write_text(f">u\n{'GACCGAGACC' * 3}CUACCUCA{'GACCGAGACC' * 3}\n")
        words = ["scan-targets", "--mirna", tmp_path / "m.fa", "--mrna", tmp_path / "u.fa", "--quiet"]
        tables = {}
        calls = {"default": [], "criterion": ["--criterion", "pita", "--step", 5], "windows": ["--windows"]}
        for name, more in calls.items():
            result = CliRunner().invoke(app, [*map(str, words), "-o", str(tmp_path / f"{name}.tsv"), *map(str, more)])
            assert result.exit_code == 0, result.output
            tables[name] = pd.read_csv(tmp_path / f"{name}.tsv", sep="\t").iloc[0]
        assert tables["default"].site_type == "8mer" and tables["default"].best_score > 0.5
        assert (
            "best_score" not in tables["criterion"] and tables["windows"].best_end - tables["windows"].best_start == 40
        )
        assert tables["criterion"].num_sites < tables["windows"].num_sites


class TestChoice:
    def test_default_and_names(self):
        assert isinstance(open_scanner(threads=1), PairCnnScanner)
        assert type(open_scanner("targetnet", threads=1).model) is TargetNetModel
        assert open_scanner(windows=True, threads=1).windows
        chosen = open_scanner(criterion="pita", step=5, threads=1)
        assert (chosen.processor.criterion, chosen.processor.step) == ("pita", 5)

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"model": "pair_cnn", "windows": True}, "--windows is for a TargetNet"),
            ({"model": "pair_cnn", "step": 5}, "--step is for a TargetNet"),
            ({"model": TargetNetModel(TargetNetConfig()), "exhaustive": True}, "--exhaustive is for a pair CNN"),
            ({"criterion": "mine"}, "criterion 'mine' is unknown"),
            ({"threads": 0}, "threads must be 1 or more"),
        ],
    )
    def test_options_of_the_other_are_refused(self, options, message):
        with pytest.raises(ValueError, match=message):
            open_scanner(**options)

    @pytest.mark.parametrize("mirna", ["UGAGGUAGU", "U" * 42, "MKVLAAGIVGLC"])
    def test_what_is_no_mirna_is_named(self, mirna, scanner):
        with pytest.raises(ValueError, match="miRNA 'm'"):
            TargetRecords.from_mapping({"m": mirna}, "miRNA", scanner.processor, ScanReport())


class TestPictures:
    def test_duplex_keeps_every_letter(self):
        rng = np.random.default_rng(3)
        for _ in range(30):
            mirna, stretch = ("".join(rng.choice(list("ACGU"), n)) for n in (22, 50))
            count = int(rng.integers(1, 8))
            one = sorted(rng.choice(22, count, replace=False).tolist())
            other = sorted(rng.choice(50, count, replace=False).tolist(), reverse=True)
            above, marks, below = draw_duplex(mirna, stretch, list(zip(one, other, strict=True)))
            assert len(above) == len(marks) == len(below)
            assert above.strip().replace("-", "") == stretch and below.strip().replace("-", "") == mirna[::-1]
            assert len(marks.replace(" ", "")) == count

    def test_is_drawn_with_what_pairs_add(self):
        mrna = "GACCGAGACC" * 4 + "CUACCUCA" + "GACCGAGACC" * 4
        figure = plot_target_sites(LET7, mrna, made_model())
        assert len(figure.axes) == 4  # sites, matrix, its scale, text
        assert plot_target_sites(LET7, "AC", made_model()).axes
