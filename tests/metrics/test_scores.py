"""Metrics against hand-worked cases and the definition written out."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seqformers.metrics.scores import (
    CLASSIFICATION_METRICS,
    bootstrap_intervals,
    classification_metrics,
    evaluation_module,
    probabilities,
    regression_metrics,
    spread,
)

LABELS = np.array([0, 0, 0, 1, 1, 1, 1, 1])
# Predicted classes 0 0 1 1 1 1 0 1: TN 2, FP 1, FN 1, TP 4.
LOGITS = np.array([[2, 0], [1, 0], [0, 1], [0, 2], [0, 3], [0, 1.5], [0.5, 0], [0, 4]])


def test_binary_metrics_by_hand():
    values = classification_metrics(LABELS, LOGITS, list(CLASSIFICATION_METRICS))
    assert values["accuracy"] == pytest.approx(6 / 8)
    assert values["macro_recall"] == pytest.approx((2 / 3 + 4 / 5) / 2)
    assert values["macro_precision"] == pytest.approx((2 / 3 + 4 / 5) / 2)
    assert values["f1_positive"] == pytest.approx(4 / 5)
    assert values["mcc"] == pytest.approx((4 * 2 - 1 * 1) / np.sqrt(5 * 5 * 3 * 3))
    # 15 pairs of a positive and a negative: -2, -1, 1 against 2, 3, 1.5, -0.5, 4: 14 in order, 1 not.
    assert values["auroc"] == pytest.approx(14 / 15)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 1), st.floats(-5, 5)), min_size=3, max_size=40))
def test_auroc_is_the_share_of_ordered_pairs(rows):
    labels = np.array([label for label, _ in rows])
    scores = np.array([score for _, score in rows])
    found = classification_metrics(labels, scores, ["auroc"])["auroc"]
    if len(set(labels.tolist())) < 2:
        assert np.isnan(found)
        return
    p = probabilities(scores)[:, 1]
    pairs = [(a > b) + 0.5 * (a == b) for a in p[labels == 1] for b in p[labels == 0]]
    assert found == pytest.approx(np.mean(pairs))


def test_one_column_of_logits_is_binary():
    two = classification_metrics(LABELS, LOGITS)
    one = classification_metrics(LABELS, LOGITS[:, 1] - LOGITS[:, 0])
    assert one == pytest.approx(two)


def test_more_than_two_classes_and_ignored_rows():
    labels = np.array([0, 1, 2, 2, -100])
    logits = np.array([[3, 0, 0], [0, 3, 0], [0, 0, 3], [3, 0, 0], [9, 9, 9.0]])
    values = classification_metrics(labels, logits, ["accuracy", "macro_recall"])
    assert values["accuracy"] == 0.75
    assert values["macro_recall"] == pytest.approx((1 + 1 + 0.5) / 3)


def test_regression_by_hand():
    values = regression_metrics(np.array([1.0, 2, 3, 4]), np.array([[1.0], [3], [2], [5]]), ["spearman", "mse", "mae"])
    assert values == pytest.approx({"spearman": 0.8, "mse": 0.75, "mae": 0.75})


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: classification_metrics(LABELS, LOGITS, ["macro_recal"]), "did you mean 'macro_recall'"),
        (lambda: regression_metrics(LABELS, LABELS, ["mcc"]), "no metric 'mcc' for regression"),
        (lambda: classification_metrics(LABELS, LOGITS * np.nan), "NaN or infinite"),
        (lambda: classification_metrics(np.full(8, -100), LOGITS), "no labelled row"),
    ],
)
def test_mistakes_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_spread_of_seeds():
    assert spread([0.5]) == {"mean": 0.5, "sd": None, "values": [0.5]}
    assert spread([1, 2, 3])["sd"] == pytest.approx(1.0)


def test_intervals_by_resampling_agree_with_the_normal_approximation():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 1000)
    outputs = labels + rng.normal(size=1000)
    logits = np.stack([np.full(1000, 0.5), outputs], axis=1)
    names = ["accuracy", "auroc"]
    found = bootstrap_intervals(lambda drawn: classification_metrics(labels[drawn], logits[drawn], names), 1000)
    value = classification_metrics(labels, logits, names)
    assert list(found) == names and all(low < value[name] < high for name, (low, high) in found.items())
    expected = 1.96 * np.sqrt(value["accuracy"] * (1 - value["accuracy"]) / 1000)
    low, high = found["accuracy"]
    assert (high - low) / 2 == pytest.approx(expected, rel=0.2)


def test_intervals_leave_out_draws_without_a_value():
    labels = np.array([0, 0, 0, 1])
    logits = np.array([[1.0, 0], [1, 0], [0, 1], [0, 2]])
    found = bootstrap_intervals(lambda drawn: classification_metrics(labels[drawn], logits[drawn], ["auroc"]), 4)
    assert found["auroc"][1] == 1.0
    assert bootstrap_intervals(lambda drawn: {"auroc": float("nan")}, 4) == {}


def test_the_face_of_evaluate_works_offline():
    module = evaluation_module("mcc")
    for row, label in zip(LOGITS.tolist(), LABELS.tolist(), strict=True):
        module.add_batch(predictions=[row], references=[label])
    assert module.compute() == pytest.approx(classification_metrics(LABELS, LOGITS, ["mcc"]))
    values = evaluation_module("spearman").compute(predictions=[1.0, 3.0, 2.0], references=[1.0, 2.0, 3.0])
    assert values == pytest.approx({"spearman": 0.5})
