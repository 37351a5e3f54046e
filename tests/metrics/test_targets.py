"""Metrics of targets against published values, by hand and against the slow form."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seqformers.metrics.targets import auroc_within_groups, lfc_by_mirna, lfc_metrics, lfc_score, top_mean_lfc
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
