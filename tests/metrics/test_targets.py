"""Metrics of targets against published values, by hand and against the slow form."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seqformers.metrics.targets import (
    auroc_within_groups,
    lfc_by_mirna,
    lfc_curves,
    lfc_metrics,
    lfc_score,
    lfc_shift,
    top_mean_lfc,
)
from tests.conftest import golden_cases

(CASE,) = (case for case in golden_cases("targetnet") if case["kind"] == "lfc_score")


@given(st.lists(st.tuples(st.sampled_from("abc"), st.booleans(), st.integers(0, 4)), min_size=1, max_size=30))
def test_within_mirna_counts_ordered_pairs(rows):
    mirnas, labels, scores = zip(*rows, strict=True)
    right = [
        (a > b) + 0.5 * (a == b)
        for m, target, a in rows
        for n, other, b in rows
        if m == n and target and not other
    ]  # fmt: skip
    found = auroc_within_groups(scores, labels, mirnas)
    assert found == pytest.approx(np.mean(right)) if right else np.isnan(found)


def test_reference_case():
    i = np.arange(CASE["n"])
    changes, scores = 0.3 - ((53 * i) % 971) / 500, ((37 * i) % 1201) / 1201
    assert list(top_mean_lfc(scores, changes).values()) == pytest.approx(CASE["mean_predicted"], abs=1e-6)
    assert list(top_mean_lfc(-changes, changes).values()) == pytest.approx(CASE["mean_true"], abs=1e-6)
    assert lfc_score(scores, changes) == pytest.approx(CASE["value"], abs=1e-6)
    assert lfc_score(-changes, changes) == CASE["perfect_ranking_value"]


def test_by_mirna():
    rng = np.random.default_rng(0)
    names = ["a"] * 40 + ["b"] * 12 + ["c"] * 5
    changes, scores = rng.normal(size=57), rng.random(57)
    table = lfc_by_mirna(scores, changes, names).set_index("mirna_id")
    assert table.loc["a", "lfc_score"] == lfc_score(scores[:40], changes[:40], k=[10, 30])
    assert table.loc["b", "top_10"] == pytest.approx(changes[40:52][np.argsort(-scores[40:52])[:10]].mean())
    assert np.isnan(table.loc["b", "top_30"]) and np.isnan(table.loc["c", "lfc_score"])
    assert table["pairs"].tolist() == [40, 12, 5]


def test_metrics_by_name_leave_out_what_has_too_few_pairs():
    rng = np.random.default_rng(0)
    names, changes, scores = ["a"] * 40 + ["b"] * 12 + ["c"] * 5, rng.normal(size=57), rng.random(57)
    found = lfc_metrics(scores, changes, ["lfc_score_by_group", "top_30_mean_lfc", "top_100_mean_lfc"], names)
    each = [lfc_score(scores[:40], changes[:40], k=[10, 30]), lfc_score(scores[40:52], changes[40:52], k=[10])]
    assert found["lfc_score_by_group"] == pytest.approx(np.mean(each))
    assert found["top_30_mean_lfc"] == top_mean_lfc(scores, changes)[30] and np.isnan(found["top_100_mean_lfc"])


@pytest.mark.parametrize(
    ("scores", "changes", "message"),
    [
        ([1.0], [1.0, 2.0], "same length"),
        ([np.nan] * 10, [1.0] * 10, "none missing"),
        ([1.0] * 5, [1.0] * 5, "fewer than the smallest k"),
        ([1.0] * 10, [0.0] * 10, "is zero"),
    ],
)
def test_errors(scores, changes, message):
    with pytest.raises(ValueError, match=message):
        lfc_score(scores, changes)


class TestCurves:
    def test_by_hand_for_each_mirna(self):
        rng = np.random.default_rng(0)
        scores, changes, mirnas = rng.normal(size=60), rng.normal(size=60) - 0.5, np.repeat(["a", "b"], [20, 40])
        table = lfc_curves(scores, changes, mirnas, k=[5, 30, 50]).set_index("k")
        assert table["mirnas"].to_dict() == {5: 2, 30: 1}
        means, parts = [], []
        for name in "ab":
            mine = mirnas == name
            found = changes[mine][np.argsort(-scores[mine])][:5].mean()
            best = np.sort(changes[mine])[:5].mean()
            means.append(found)
            parts.append(1 - ((best - found) / best) ** 2)
        assert table.loc[5, ["mean_lfc", "slfc"]].tolist() == pytest.approx([np.mean(means), np.mean(parts)])

    def test_parts_of_the_score(self):
        rng = np.random.default_rng(1)
        scores, changes = rng.normal(size=1200), rng.normal(size=1200) - 0.2
        assert 1 - (1 - lfc_curves(scores, changes)["slfc"]).sum() == pytest.approx(lfc_score(scores, changes))


class TestShift:
    def test_against_the_definition(self):
        rng = np.random.default_rng(2)
        changes, called = rng.normal(size=200), rng.random(200) < 0.3
        changes[called] -= 0.8
        found = lfc_shift(changes, called)
        excess = [(changes[called] <= x).mean() - (changes[~called] <= x).mean() for x in changes]
        assert found["statistic"] == pytest.approx(max(excess)) and found["p_value"] < 1e-3
        assert lfc_shift(-changes, called)["p_value"] > 0.9

    def test_both_groups_are_needed(self):
        with pytest.raises(ValueError, match="0 pairs are called and 2 are not"):
            lfc_shift([0.1, 0.2], [0, 0])
