"""Metrics of classifiers against hand-worked cases and the definition written out."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seqformers.metrics.classification import CLASSIFICATION_METRICS, classification_metrics, probabilities
from seqformers.metrics.regression import regression_metrics

LABELS = np.array([0, 0, 0, 1, 1, 1, 1, 1])
# Predicted classes 0 0 1 1 1 1 0 1: TN 2, FP 1, FN 1, TP 4.
LOGITS = np.array([[2, 0], [1, 0], [0, 1], [0, 2], [0, 3], [0, 1.5], [0.5, 0], [0, 4]])


def test_binary_metrics_by_hand():
    values = classification_metrics(LOGITS, LABELS, list(CLASSIFICATION_METRICS))
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
    found = classification_metrics(scores, labels, ["auroc"])["auroc"]
    if len(set(labels.tolist())) < 2:
        assert np.isnan(found)
        return
    p = probabilities(scores)[:, 1]
    pairs = [(a > b) + 0.5 * (a == b) for a in p[labels == 1] for b in p[labels == 0]]
    assert found == pytest.approx(np.mean(pairs))


def test_one_column_of_logits_is_binary():
    two = classification_metrics(LOGITS, LABELS)
    one = classification_metrics(LOGITS[:, 1] - LOGITS[:, 0], LABELS)
    assert one == pytest.approx(two)


def test_more_than_two_classes_and_ignored_rows():
    labels = np.array([0, 1, 2, 2, -100])
    logits = np.array([[3, 0, 0], [0, 3, 0], [0, 0, 3], [3, 0, 0], [9, 9, 9.0]])
    values = classification_metrics(logits, labels, ["accuracy", "macro_recall"])
    assert values["accuracy"] == 0.75
    assert values["macro_recall"] == pytest.approx((1 + 1 + 0.5) / 3)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: classification_metrics(LOGITS, LABELS, ["macro_recal"]), "did you mean 'macro_recall'"),
        (lambda: regression_metrics(LABELS, LABELS, ["mcc"]), "no metric 'mcc' for regression"),
        (lambda: classification_metrics(LOGITS * np.nan, LABELS), "NaN or infinite"),
        (lambda: classification_metrics(LOGITS, np.full(8, -100)), "no labelled row"),
    ],
)
def test_mistakes_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
