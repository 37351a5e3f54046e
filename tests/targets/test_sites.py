"""Windows merged into sites: against slow searches, and on what merging must not lose."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from seqformers import TargetNetConfig, TargetNetModel
from seqformers.modeling.targets.targetnet_sites import encode_rna, find_sites
from seqformers.targets.records import ScanReport, TargetRecords, pair_all
from seqformers.targets.scan import scan_targets
from seqformers.targets.scanner import TargetScanner
from seqformers.targets.sites import PADDING, merge_windows, pad_ends

LET7 = "UGAGGUAGUAGGUUGUAUAGUU"
COMPLEMENT = str.maketrans("ACGU", "UGCA")


@pytest.fixture(scope="module")
def scanner():
    torch.manual_seed(0)
    return make_scanner()


def make_scanner(**options):
    return TargetScanner(TargetNetModel(TargetNetConfig()).eval(), threads=1, **options)


def sites_of(scanner, mirna, mrna):
    report = ScanReport()
    small = TargetRecords.from_mapping({"m": mirna}, "miRNA", scanner.processor, report)
    large = TargetRecords.from_mapping({"u": mrna}, "mRNA", scanner.processor, report, padding=scanner.padding)
    (scored,) = scanner.scan(small, large, pair_all(small, large), sites=True)
    return scored


def slow_seed_matches(mirna, mrna):
    """(start, end, type) of each canonical seed match, letter by letter."""
    core, eighth = mirna[1:7].translate(COMPLEMENT)[::-1], mirna[7].translate(COMPLEMENT)
    found = []
    for at in range(len(mrna) - 5):
        if mrna[at : at + 6] == core:
            m8 = at > 0 and mrna[at - 1] == eighth
            a1 = at + 6 < len(mrna) and mrna[at + 6] == "A"
            found.append((at - m8, at + 6 + a1, ("6mer", "7mer-A1", "7mer-m8", "8mer")[a1 + 2 * m8]))
    return sorted(found)


def slow_merge(start, score):
    """Best first, each taking those no more than four places away."""
    left, chosen = set(range(len(start))), []
    while left:
        best = min(left, key=lambda i: (-score[i], start[i]))
        chosen.append(best)
        left -= {i for i in left if abs(start[i] - start[best]) <= 4}
    return sorted(chosen)


class TestMerging:
    @given(st.lists(st.tuples(st.integers(0, 60), st.integers(0, 9)), max_size=40, unique_by=lambda item: item[0]))
    def test_windows_without_a_seed_match_against_a_slow_one(self, windows):
        start, score = np.array(sorted(windows), dtype=float).reshape(-1, 2).T
        start = start.astype(int)
        none = np.zeros((len(start), 3), np.uint8)
        found, types, place = merge_windows(np.zeros(len(start), int), start, score, none)
        assert found.tolist() == slow_merge(start, score) and not types.any()
        assert (place == start[found, None] + [25, 35]).all()

    def test_pairs_do_not_touch(self):
        pair, start = np.array([0, 0, 1, 1]), np.array([3, 4, 5, 6])
        found, *_ = merge_windows(pair, start, np.array([0.1, 0.9, 0.5, 0.4]), np.zeros((4, 3), np.uint8))
        assert found.tolist() == [1, 2]


class TestSeedMatches:
    @settings(deadline=None, max_examples=60)
    @given(st.text("ACGU", min_size=10, max_size=12), st.data())
    def test_each_is_one_site_with_its_own_place_and_type(self, scanner, mirna, data):
        seed = (mirna[:8] + "A").translate(COMPLEMENT)[::-1]
        pieces = st.one_of(st.text("ACGU", max_size=12), st.just(seed[-8:-1]), st.just(seed[-7:-1] + "A"))
        mrna = "".join(data.draw(st.lists(pieces, min_size=1, max_size=5)))
        scored = sites_of(scanner, mirna, mrna)
        canonical = sorted(
            (start, end, kind) for start, end, _, _, kind, *_ in scored.sites if kind != "non-canonical"
        )
        assert canonical == slow_seed_matches(mirna, mrna)
        assert scored.num_sites == len(scored.sites)
        assert all(0 <= start < end <= len(mrna) for start, end, *_ in scored.sites)

    @settings(deadline=None, max_examples=40)
    @given(st.text("ACGU", min_size=10, max_size=22), st.text("ACGU", min_size=1, max_size=90))
    def test_no_window_scores_more_than_its_site(self, scanner, mirna, mrna):
        codes, before = pad_ends(encode_rna(mrna))
        windows = find_sites([encode_rna(mirna)], [codes], [0])
        scored = sites_of(scanner, mirna, mrna)
        assert (scored.num_sites > 0) == (len(windows) > 0)
        if len(windows):
            scores = 1 / (1 + np.exp(-scanner.site_logits(windows.input_ids).astype(float)))
            assert scored.score == pytest.approx(scores.max(), abs=1e-12)
            for start, score in zip(windows.start, scores, strict=True):
                near = [site[2] for site in scored.sites if abs(site[6] + before - start) <= 8]
                assert max(near) >= score - 1e-12

    @pytest.mark.parametrize("at", ["start", "end", "alone"])
    def test_sites_at_the_ends_are_seen(self, at):
        rest = "" if at == "alone" else "GACCGAGACCGGACAGACCGAGGACCAGACGGACCAGGACCAG"
        mrna = rest + "CUACCUCA" if at == "end" else "CUACCUCA" + rest
        place = (len(rest), len(mrna)) if at == "end" else (0, 8)
        table = scan_targets({"m": LET7}, {"u": mrna}, sites=True)
        (row,) = table[table.site_type == "8mer"].itertuples()
        assert (row.start, row.end) == place
        missed = scan_targets({"m": LET7}, {"u": mrna + "G" * 40 * (at == "alone")}, sites=True, windows=True)
        assert "8mer" not in set(missed.site_type)

    def test_a_site_is_listed_once(self):
        mrna = "A" * 25 + "AACUACCUCA" + "G" * 20
        assert len(scan_targets({"m": LET7}, {"u": mrna}, sites=True, windows=True)) == 5
        (row,) = scan_targets({"m": LET7}, {"u": mrna}, model="targetnet", sites=True).itertuples()
        assert mrna[row.start : row.end] == "CUACCUCA"

    def test_padding_moves_windows_and_changes_none(self, scanner):
        rng = np.random.default_rng(0)
        mrna = "".join(rng.choice(list("ACGU"), 200))
        inside = {site[6] for site in sites_of(scanner, LET7, mrna).sites}
        windows = {site[0] for site in sites_of(make_scanner(windows=True), LET7, mrna).sites}
        assert {start for start in inside if 0 <= start <= 160} <= windows and min(inside) < 0 < len(inside)
        assert PADDING == (25 + 4, 5 + 4)
