"""Training data of the pair CNN: what is drawn as a non-target, and how rows are changed."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.metrics import average_precision_score, roc_auc_score

from benchmarks.tables.pair_cnn import _weighted, intervals, seed_class
from benchmarks.tables.pair_cnn_data import QCLASH, SINGLE_COPY, UNKNOWN, NonTargets, Pairs, validation_pairs
from benchmarks.tables.pair_cnn_training import join
from seqformers import PairCnnConfig, PairCnnModel


def made_up(rows: int = 400) -> pd.DataFrame:
    generator = np.random.default_rng(0)
    seeds = generator.integers(0, 12, rows)
    mirnas = [np.random.default_rng(seed).choice(list("ACGT"), 22) for seed in range(12)]
    return pd.DataFrame(
        {
            "mirna_seq": ["".join(mirnas[seed]) for seed in seeds],
            "target_seq": ["".join(generator.choice(list("ACGT"), 50)) for _ in range(rows)],
            "label": 1,
            "source": generator.choice([QCLASH, "clash2013"], rows),
            "cluster": generator.integers(0, 150, rows),
            "split": "valid",
            "seed": seeds,
            "single": False,
        }
    ).assign(single=lambda table: (table["source"] == QCLASH) & (table.index % 3 > 0))


class TestNonTargets:
    def test_are_a_permutation_within_each_source(self):
        table = made_up()
        drawn = NonTargets(table).draw(np.random.default_rng(1))
        for source in table["source"].unique():
            rows = np.flatnonzero(table["source"] == source)
            assert sorted(drawn[rows]) == rows.tolist()

    def test_are_of_no_cluster_with_a_positive_of_the_seed(self):
        table = made_up()
        drawn = NonTargets(table).draw(np.random.default_rng(1))
        positives = set(zip(table["cluster"], table["seed"], strict=True))
        assert not positives & set(zip(table["cluster"].to_numpy()[drawn], table["seed"], strict=True))

    def test_that_do_not_exist_are_said(self):
        with pytest.raises(ValueError, match="4 of 4 miRNAs found no target"):
            NonTargets(made_up(4).assign(cluster=1, seed=1, source="clash2013")).draw(np.random.default_rng(0))


class TestPairs:
    def test_an_epoch_has_all_sites_but_the_single_copies(self):
        table = made_up()
        pairs = Pairs(table, 0)
        rows = pairs.rows.numpy()
        single = int(table["single"].sum())
        assert len(pairs) == 2 * (len(table) - single + int(single * SINGLE_COPY))
        assert set(np.flatnonzero(~table["single"])) <= set(rows) and len(set(rows)) == len(rows)

    def test_epochs_differ_and_seeds_repeat(self):
        first, again, other = Pairs(made_up(), 3), Pairs(made_up(), 3), Pairs(made_up(), 4)
        assert torch.equal(first.drawn, again.drawn) and not torch.equal(first.drawn, other.drawn)
        before = first.drawn.clone()
        first.redraw(1)
        assert not torch.equal(first.drawn, before)

    def test_every_mirna_is_as_often_without_a_target_as_with_one(self):
        pairs = Pairs(made_up(), 0)
        pairs.cut = 0.0
        batch = pairs.collate(list(range(len(pairs))))
        found = Counter(
            (tuple(mirna), label)
            for mirna, label in zip(batch["mirna_ids"].tolist(), batch["labels"].tolist(), strict=True)
        )
        assert all(found[mirna, 0.0] == found[mirna, 1.0] for mirna, _ in found)

    def test_moved_and_masked_targets_keep_their_letters_in_order(self):
        table = made_up()
        pairs = Pairs(table, 0)
        changed = pairs._mask(pairs._move(pairs.targets))
        letters = np.array(list(" ACGTN"))
        for before, after in zip(table["target_seq"], changed.tolist(), strict=True):
            assert "".join(letters[after]).strip("N") in before
        assert (changed == UNKNOWN).any(1).float().mean() > 0.5

    def test_cut_mirnas_have_20_nt(self):
        pairs = Pairs(made_up(), 0)
        lengths = (pairs._cut(pairs.mirnas) > 0).sum(1)
        assert set(lengths.tolist()) == {20, 22}


def test_validation_leaves_out_single_copies_and_keeps_the_ratio():
    found = validation_pairs(made_up())
    assert not found["single"].any()
    clash = found[found["source"] == "clash2013"]["label"].value_counts()
    assert clash[0] == 4 * clash[1]


def test_seed_classes():
    rows = pd.DataFrame({"mirna_seq": ["TGAGGTAGTAGGTTGTATAGTT"] * 5})
    rows["target_seq"] = ["GGGG", "GTACCTCG", "GTACCTCA", "CTACCTCG", "CTACCTCA"]
    assert seed_class(rows).tolist() == [0, 1, 2, 3, 4]


def test_intervals_hold_the_value_and_widen_with_few_mirnas():
    generator = np.random.default_rng(0)
    rows = pd.DataFrame(
        {"mirna_seq": generator.integers(0, 30, 600).astype(str), "label": generator.integers(0, 2, 600)}
    )
    scores = rows["label"] + generator.normal(0, 1, 600)
    found = intervals(rows, scores.to_numpy(), draws=200)
    assert all(low < high for low, high in found.values())
    assert found["auroc"][0] < 0.76 < found["auroc"][1]


def test_rows_that_count_several_times_are_measured_as_if_repeated():
    generator = np.random.default_rng(0)
    labels, scores = generator.integers(0, 2, 50), generator.integers(0, 9, 50).astype(float)
    times = generator.integers(0, 4, 50)
    order = np.argsort(-scores, kind="stable")
    ends = np.flatnonzero(np.append(np.diff(scores[order]) != 0, True))
    found = _weighted((times * labels)[order], (times * (1 - labels))[order], ends)
    repeated = np.repeat(labels, times), np.repeat(scores, times)
    assert found == pytest.approx((average_precision_score(*repeated), roc_auc_score(*repeated)))


def test_joined_models_average_their_logits():
    torch.manual_seed(0)
    models = [PairCnnModel(PairCnnConfig(pair_size=8, channels=[8], kernel_sizes=[3])).eval() for _ in range(2)]
    mirnas, targets = torch.randint(1, 5, (3, 22)), torch.randint(1, 5, (3, 50))
    with torch.no_grad():
        mean = (models[0](mirnas, targets).logits + models[1](mirnas, targets).logits) / 2
        torch.testing.assert_close(join(models)(mirnas, targets).logits, mean)
