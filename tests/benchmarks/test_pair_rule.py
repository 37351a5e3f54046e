"""Whole 3'UTRs ranked by rules: what they weigh, which miRNAs they learn from, what a scan is said to miss."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from benchmarks.tables import chimeric_utrs
from benchmarks.tables.pair_cnn_scout import lost_pairs, lost_sites
from benchmarks.tables.pair_rule import _best_three, _local_au, fold_of, ranked


def table_of(rows: list[tuple]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["mirna_id", "mrna_id", "start", "end", "score"])


def test_best_three_of_each_pair():
    pair, score = np.array([0, 0, 0, 0, 2]), np.array([0.1, 0.9, 0.5, 0.7, 0.6])
    assert _best_three(pair, score, 3).tolist() == pytest.approx([0.7, 0.0, 0.2])


def test_local_au_weighs_by_distance():
    assert _local_au("ACCUACCUCAG", 2, 10) == pytest.approx((0 + 0.5) / (1 + 0.5 + 1))
    assert _local_au("CUACCUCA", 0, 8) == 0.5


def test_a_rule_never_learns_from_the_mirna_it_ranks():
    rng = np.random.default_rng(0)
    rows = pd.DataFrame({"mirna_seq": ["".join(rng.choice(list("ACGU"), 22)) for _ in range(200)]})
    rows["label"] = rng.integers(0, 2, len(rows))
    values = rng.normal(size=(len(rows), 2))
    fold = fold_of(rows)
    assert set(fold) == set(range(5))
    before = ranked(values, rows, values, rows)
    turned = rows.assign(label=np.where(fold == 3, 1 - rows["label"], rows["label"]))
    after = ranked(values, turned, values, rows)
    assert (before[fold == 3] == after[fold == 3]).all() and (before[fold != 3] != after[fold != 3]).all()


def test_a_site_is_lost_when_no_base_of_it_is_found():
    whole = table_of([("m", "u", 10, 18, 0.9), ("m", "u", 40, 48, 0.8), ("m", "v", 5, 12, 0.7)])
    found = lost_sites(whole, table_of([("m", "u", 17, 25, 0.9), ("m", "u", 48, 56, 0.5)]), share=1.0)
    assert (found["best_sites"], found["best_sites_lost"]) == (3, 2)


def test_a_pair_is_lost_when_its_score_falls():
    whole = pd.DataFrame({"score": np.linspace(0, 1, 200)})
    found = lost_pairs(whole, whole.assign(score=whole["score"].where(whole.index < 199, 0.9)))
    assert (found["best_pairs"], found["best_pairs_lost"]) == (2, 1)


def test_pairs_from_chimeric_reads(monkeypatch, tmp_path):
    rng = np.random.default_rng(1)
    utrs = ["".join(rng.choice(list("ACGU"), 200)) for _ in range(12)]
    mirnas = ["".join(rng.choice(list("ACGU"), 22)) for _ in range(4)]
    rows = [  # the miRNA, the 3'UTR that holds its target, split, of one read copy
        *((mirnas[number % 4], number, "valid", False) for number in range(10)),
        (mirnas[0], 10, "valid", True),
        (mirnas[1], 11, "train", False),
        (mirnas[1], 1, "train", False),  # so 1 was seen in training with this seed
    ]
    pairs = pd.DataFrame(
        [(m, "NN" + utrs[u][60:100].replace("U", "T"), 1, split, single) for m, u, split, single in rows],
        columns=["mirna_seq", "target_seq", "label", "split", "single"],
    )
    monkeypatch.setattr(chimeric_utrs, "read_target_table", lambda path: pd.DataFrame({"mrna_seq": utrs}))
    monkeypatch.setattr(chimeric_utrs, "read_pairs", lambda folder: pairs)
    found = chimeric_utrs.chimeric_utr_pairs(tmp_path)
    named = {(m, utrs.index(u), label) for m, u, label in found.itertuples(index=False)}
    targets = {(m, u) for m, u, label in named if label}
    assert targets == {(mirnas[n % 4], n) for n in range(10)} - {(mirnas[1], 1)}
    known = {(m, u) for m, u, *_ in rows}
    assert not any((m, u) in known for m, u, label in named if not label)
    assert len(named) == len(found) > 2 * len(targets)
